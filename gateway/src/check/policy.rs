//! Policies of nodes: those that a kind does not support, and those that can have no effect.

use motet_config::{Diagnostic, Span};

use super::callee::Callee;
use super::checker::Checker;
use crate::policy::settings::{HedgeAfter, Limit, Policies};
use crate::syntax::NodeSpec;

impl Checker<'_> {
    /// Warns of a deadline that can never pass.
    pub(crate) fn long_deadline(&mut self, node: &NodeSpec) {
        let max = self.spec.deadline.max;
        let Some(deadline) = &node.deadline else {
            return;
        };
        let Limit::Duration(limit) = deadline.value else {
            return;
        };
        if limit <= max {
            return;
        }
        let shown = humantime::format_duration;
        let mut warning = Diagnostic::warning(
            deadline.span,
            format!(
                "the node's deadline ({}) is longer than the pipeline's maximum ({}), which wins",
                shown(limit),
                shown(max)
            ),
        );
        if let Some(max) = self.spec.deadline.max_span {
            warning = warning.also(max, "the maximum");
        }
        self.diagnostics.push(warning);
    }

    /// Returns the policies of a node, as far as its callee supports them.
    pub(crate) fn policies(&mut self, node: &NodeSpec, callee: &Callee) -> Policies {
        let what = match callee.is_remote {
            true => format!("{} is none", callee.name),
            false => format!("{} runs in the gateway", callee.name),
        };
        let at = (callee.span, what.as_str());
        self.report_unsupported(node, &callee.unsupported_policies, at);
        self.late_hedge(node);
        let unsupported = callee.unsupported_policies.keys;
        let cache = node.cache.filter(|_| !unsupported.contains(&"cache"));
        Policies {
            deadline: node.deadline.map(|d| d.value),
            retry: node.retry.as_ref().map(|r| r.value.clone()),
            hedge: node.hedge.map(|h| h.hedge),
            cache: cache.and_then(|cache| self.cache(&cache, callee)),
            priority: node.priority.map(|p| p.value),
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
            deadline: node.deadline.map(|d| d.value),
            priority: node.priority.map(|p| p.value),
            ..Policies::default()
        }
    }

    fn report_unsupported(
        &mut self,
        node: &NodeSpec,
        unsupported: &UnsupportedPolicies,
        (at, what): (Span, &str),
    ) {
        for (key, span) in written(node) {
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

    /// Reports a hedge whose delay is longer than the node's time.
    fn late_hedge(&mut self, node: &NodeSpec) {
        let Some(hedge) = &node.hedge else { return };
        let HedgeAfter::Duration(after) = hedge.hedge.after else {
            return;
        };
        let (limit, span) = match &node.deadline {
            Some(deadline) => match deadline.value {
                Limit::Duration(limit) => (limit.min(self.spec.deadline.max), Some(deadline.span)),
                Limit::Share(share) => (self.spec.deadline.max.mul_f64(share), Some(deadline.span)),
            },
            None => (self.spec.deadline.max, self.spec.deadline.max_span),
        };
        if after < limit {
            return;
        }
        let shown = humantime::format_duration;
        let mut diagnostic = Diagnostic::error(
            hedge.after_span,
            format!(
                "a second call after {} never comes: the node has at most {}",
                shown(after),
                shown(limit)
            ),
        );
        if let Some(span) = span {
            diagnostic = diagnostic.also(span, "its time");
        }
        self.diagnostics
            .push(diagnostic.help("write a shorter time, or a percentile such as `p95`"));
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

/// Returns the policies that a file gives a node, with their places.
fn written(node: &NodeSpec) -> Vec<(&'static str, Span)> {
    let written = [
        ("retry", node.retry.as_ref().map(|r| r.span)),
        ("hedge", node.hedge.map(|h| h.span)),
        ("cache", node.cache.map(|c| c.span)),
        ("priority", node.priority.map(|p| p.span)),
    ];
    let written = written.into_iter();
    written
        .filter_map(|(key, span)| Some((key, span?)))
        .collect()
}
