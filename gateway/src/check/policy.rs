//! Policies of a node that cannot mean what they say.

use motet_runtime::config::{Diagnostic, Span};

use super::callee::Callee;
use super::checked::{NodeKind, Policies};
use super::state::Checker;
use crate::policy::terms::{HedgeAfter, Limit};
use crate::spec::NodeSpec;

impl Checker<'_> {
    /// Warns of a deadline that can never pass.
    pub(super) fn long_deadline(&mut self, node: &NodeSpec) {
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

    /// The policies of a node, as far as they make sense for what it calls.
    pub(super) fn policies(&mut self, node: &NodeSpec, callee: &Callee) -> Policies {
        if let NodeKind::Op(_) = callee.kind {
            for (key, span) in [
                ("retry", node.retry.as_ref().map(|r| r.span)),
                ("hedge", node.hedge.map(|h| h.span)),
                ("cache", node.cache.map(|c| c.span)),
            ] {
                if let Some(span) = span {
                    self.only_for_calls(key, span, callee);
                }
            }
        }
        self.late_hedge(node);
        let cache = node
            .cache
            .filter(|_| matches!(callee.kind, NodeKind::Model(_)));
        Policies {
            deadline: node.deadline.map(|d| d.value),
            retry: node.retry.as_ref().map(|r| r.value.clone()),
            hedge: node.hedge.map(|h| h.hedge),
            cache: cache.and_then(|cache| self.cache(&cache, callee)),
        }
    }

    fn only_for_calls(&mut self, key: &str, span: Span, callee: &Callee) {
        self.diagnostics.push(
            Diagnostic::error(span, format!("`{key}` is for calls of models"))
                .also(callee.span, format!("{} runs in the gateway", callee.name))
                .note("an op comes to the same each time"),
        );
    }

    /// Reports a hedge that comes only after the node's time is over.
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
