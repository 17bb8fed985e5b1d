//! `op: template`: its places are its inputs.

use motet_runtime::config::{Diagnostic, shown};

use super::callee::Callee;
use super::checked::{Setting, SettingValue};
use super::state::Checker;
use crate::ops::template::{Piece, pieces};
use crate::spec::{NodeSpec, Scalar};

impl Checker<'_> {
    /// Holds the places of a template against the inputs of its node, and puts their indices into
    /// the places.
    pub(super) fn template(&mut self, node: &NodeSpec, callee: &Callee, settings: &mut [Setting]) {
        let Some(written) = node.settings.iter().find(|s| s.name.value == "text") else {
            return;
        };
        let at = written.value.span;
        let Some(setting) = settings.iter_mut().find(|s| s.name == "text") else {
            return;
        };
        let SettingValue::Literal(Scalar::String(text)) = &setting.value else {
            self.incomplete = true;
            self.diagnostics.push(
                Diagnostic::error(at, "`text` must be written out").help(
                    "its places are checked when the pipeline is loaded; a text of a request can stand in one",
                ),
            );
            return;
        };
        let pieces = match pieces(text) {
            Ok(pieces) => pieces,
            Err(brace) => {
                self.incomplete = true;
                let sign = if text[brace..].starts_with('{') {
                    "not closed"
                } else {
                    "not opened"
                };
                self.diagnostics.push(
                    Diagnostic::error(at, format!("the brace after {brace} bytes is {sign}"))
                        .help("write `{name}` for a value, and `{{` or `}}` for a brace"),
                );
                return;
            }
        };
        let names: Vec<&str> = callee.inputs.iter().map(|p| p.name.as_str()).collect();
        let mut used = vec![false; names.len()];
        let mut filled = String::with_capacity(text.len());
        for piece in pieces {
            match piece {
                Piece::Text(text) => {
                    filled.push_str(&text.replace('{', "{{").replace('}', "}}"));
                }
                Piece::Place(place) => match names.iter().position(|n| *n == place) {
                    Some(input) => {
                        used[input] = true;
                        filled.push_str(&format!("{{{input}}}"));
                    }
                    None => {
                        self.incomplete = true;
                        self.diagnostics.push(
                            Diagnostic::error(
                                at,
                                format!(
                                    "the text has a place `{{{}}}`, but `in` has no such value",
                                    shown(place)
                                ),
                            )
                            .suggest(place, names.iter().copied()),
                        );
                    }
                },
            }
        }
        for (name, used) in names.iter().zip(used) {
            if !used && let Some(input) = node.inputs.iter().find(|i| i.name.value == *name) {
                self.diagnostics.push(Diagnostic::warning(
                    input.name.span,
                    format!("the text has no place `{{{name}}}`"),
                ));
            }
        }
        setting.value = SettingValue::Literal(Scalar::String(filled));
    }
}
