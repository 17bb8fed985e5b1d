//! Outputs: single values, and columns of one length.

use motet_config::{Diagnostic, Spanned};

use super::checker::{Checker, Flow, OutputDraft};
use super::dims::DimId;
use crate::syntax::{Named, OutputSpec, OutputValue, Reference};

impl<'a> Checker<'a> {
    /// The references of the outputs.
    pub(crate) fn output_references(&mut self) -> Vec<&'a Reference> {
        let mut references = Vec::new();
        for output in &self.spec.outputs {
            match &output.value {
                Some(OutputValue::Single(reference)) => references.push(&reference.value),
                Some(OutputValue::Records(columns)) => {
                    for column in columns {
                        match &column.value {
                            Some(reference) => references.push(&reference.value),
                            None => self.incomplete = true,
                        }
                    }
                }
                None => self.incomplete = true,
            }
        }
        references
    }

    pub(crate) fn check_outputs(&mut self) {
        for spec in &self.spec.outputs {
            let draft = match &spec.value {
                None => OutputDraft::Broken,
                Some(OutputValue::Single(reference)) => self
                    .flow(reference)
                    .map_or(OutputDraft::Broken, OutputDraft::Value),
                Some(OutputValue::Records(columns)) => self.records(spec, columns),
            };
            self.incomplete |= matches!(draft, OutputDraft::Broken);
            self.outputs.push(draft);
        }
    }

    fn records(
        &mut self,
        spec: &OutputSpec,
        columns: &[Named<Option<Spanned<Reference>>>],
    ) -> OutputDraft {
        let mut flows: Vec<(String, Flow)> = Vec::with_capacity(columns.len());
        let mut length: Option<(DimId, &str)> = None;
        let mut broken = false;
        for column in columns {
            let flow = column
                .value
                .as_ref()
                .and_then(|r| Some((r.span, self.flow(r)?)));
            let Some((span, flow)) = flow else {
                broken = true;
                continue;
            };
            let shown = self.show(&flow.ty);
            let name = &column.name.value;
            match (flow.ty.dims.first(), length) {
                (None, _) => {
                    broken = true;
                    self.diagnostics.push(
                        Diagnostic::error(
                            span,
                            format!("column `{name}` must be a list, not a single {shown}"),
                        )
                        .label(format!("this is {shown}"))
                        .help(
                            "a map of columns is a list of records; give a single value an \
                             output of its own",
                        ),
                    );
                }
                (Some(dim), None) => length = Some((*dim, name)),
                (Some(dim), Some((first, first_name))) => {
                    let why = format!(
                        "the columns of `{}` make records, so `{name}` and `{first_name}` must \
                         have one length",
                        spec.name.value
                    );
                    broken |= !self.unify(*dim, first, span, &format!("this is {shown}"), &why);
                }
            }
            flows.push((name.clone(), flow));
        }
        match length {
            Some((length, _)) if !broken => OutputDraft::Records {
                columns: flows,
                length,
            },
            _ => OutputDraft::Broken,
        }
    }
}
