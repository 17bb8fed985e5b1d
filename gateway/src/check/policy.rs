//! Policies of nodes: those that a kind does not support, and those that can have no effect.

use std::time::Duration;

use motet_config::{Diagnostic, Span, Spanned};
use motet_proto::types::TensorType;

use super::callee::{Callee, CalleePort};
use super::checker::Checker;
use crate::call::Policies;
use crate::call::layers::cache::{Cache, CacheSettings};
use crate::call::layers::{deadline, hedge};
use crate::syntax::NodeSpec;

impl Checker<'_> {
    /// Returns the longest time of a request, and its place if the file states it.
    fn max_time(&self) -> (Duration, Option<Span>) {
        (self.spec.deadline.max, self.spec.deadline.max_span)
    }

    /// Warns of a deadline that can never pass.
    pub(crate) fn check_deadline(&mut self, node: &NodeSpec) {
        let written = node.policies.deadline.as_ref();
        if let Some(warning) = written.and_then(|d| deadline::check(d, self.max_time())) {
            self.diagnostics.push(warning);
        }
    }

    /// Returns the policies of a node, as far as its callee supports them.
    pub(crate) fn policies(&mut self, node: &NodeSpec, callee: &Callee) -> Policies {
        let what = match callee.is_remote {
            true => format!("{} is none", callee.name),
            false => format!("{} runs in the gateway", callee.name),
        };
        let at = (callee.span, what.as_str());
        self.report_unsupported(node, &callee.unsupported_policies, at);
        let written = &node.policies;
        let (hedge, deadline) = (written.hedge.as_ref(), written.deadline.as_ref());
        if let Some(error) = hedge.and_then(|h| hedge::check(h, deadline, self.max_time())) {
            self.diagnostics.push(error);
        }
        let unsupported = callee.unsupported_policies.keys;
        let cache = written.cache.filter(|_| !unsupported.contains(&"cache"));
        Policies {
            deadline: written.deadline.as_ref().map(|d| d.value),
            retry: written.retry.as_ref().map(|r| r.value.clone()),
            hedge: written.hedge.map(|h| h.hedge),
            cache: cache.and_then(|cache| self.cache(&cache, callee)),
            priority: written.priority.map(|p| p.value),
        }
    }

    /// Resolves `cache` against the signature of the model that a node calls; `None` if the model
    /// does not answer row by row, which is reported.
    fn cache(&mut self, settings: &Spanned<CacheSettings>, callee: &Callee) -> Option<Cache> {
        let types = |ports: &'_ [CalleePort]| -> Vec<(String, TensorType)> {
            let known = ports
                .iter()
                .filter_map(|p| Some((p.name.clone(), p.ty.clone()?)));
            known.collect()
        };
        let (inputs, outputs) = (types(&callee.inputs), types(&callee.outputs));
        match Cache::resolve(settings.value, &inputs, &outputs) {
            Ok(cache) => Some(cache),
            Err(why) => {
                self.diagnostics.push(
                    Diagnostic::error(settings.span, "`cache` keeps answers row by row")
                        .label(format!("{} does not answer so", callee.name))
                        .note(why),
                );
                None
            }
        }
    }

    /// Returns the policies of a node that calls nothing itself: those that hold for its bodies.
    pub(crate) fn outer_policies(&mut self, node: &NodeSpec) -> Policies {
        let at = node.kind.as_ref().map_or(node.name.span, |kind| kind.span);
        let runs = format!("node `{}` runs in the gateway", node.name.value);
        let unsupported = UnsupportedPolicies {
            keys: &["retry", "hedge", "cache"],
            note: "put it on the arm that makes the call",
        };
        self.report_unsupported(node, &unsupported, (at, &runs));
        Policies {
            deadline: node.policies.deadline.as_ref().map(|d| d.value),
            priority: node.policies.priority.map(|p| p.value),
            ..Policies::default()
        }
    }

    fn report_unsupported(
        &mut self,
        node: &NodeSpec,
        unsupported: &UnsupportedPolicies,
        (at, what): (Span, &str),
    ) {
        for (key, span) in node.policies.written() {
            if !unsupported.keys.contains(&key) {
                continue;
            }
            self.incomplete = true;
            let callees = match key {
                "retry" | "hedge" => "models and gRPC methods",
                _ => "models",
            };
            self.diagnostics.push(
                Diagnostic::error(span, format!("`{key}` is for calls of {callees}"))
                    .also(at, what)
                    .note(unsupported.note),
            );
        }
    }
}

/// Policies that make no sense for a node, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct UnsupportedPolicies {
    /// Their keys.
    pub(crate) keys: &'static [&'static str],
    /// The reason, as a note of the message.
    pub(crate) note: &'static str,
}
