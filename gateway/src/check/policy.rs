//! Policies of a node that cannot mean what they say.

use motet_config::{Diagnostic, Span};

use super::callee::{Called, Callee};
use super::checker::Checker;
use crate::policy::settings::{HedgeAfter, Limit, Policies};
use crate::syntax::NodeSpec;

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
        let is_model = matches!(callee.kind, Called::Model(_));
        let priority = node.priority.map(|p| ("priority", p.span));
        let cache = node.cache.map(|c| ("cache", c.span));
        let (wrong, note): (Vec<_>, _) = match callee.kind {
            Called::Model(_) => (Vec::new(), ""),
            Called::Grpc(_) => (
                cache.into_iter().chain(priority).collect(),
                "only models have rows and batchers",
            ),
            Called::Op(_) => (
                calls(node).into_iter().chain(priority).collect(),
                "an op comes to the same each time",
            ),
            Called::Pipeline(..) => (calls(node), "its own nodes can say so"),
        };
        for (key, span) in wrong {
            let what = match callee.kind {
                Called::Grpc(_) => format!("{} is none", callee.name),
                _ => format!("{} runs in the gateway", callee.name),
            };
            self.only_for_calls(key, span, note, (callee.span, what));
        }
        self.late_hedge(node);
        let cache = node.cache.filter(|_| is_model);
        Policies {
            deadline: node.deadline.map(|d| d.value),
            retry: node.retry.as_ref().map(|r| r.value.clone()),
            hedge: node.hedge.map(|h| h.hedge),
            cache: cache.and_then(|cache| self.cache(&cache, callee)),
            priority: node.priority.map(|p| p.value),
        }
    }

    /// The policies of a node that calls nothing itself: those that hold for all that it does.
    pub(super) fn outer_policies(&mut self, node: &NodeSpec) -> Policies {
        let at = node.kind.as_ref().map_or(node.name.span, |kind| kind.span);
        for (key, span) in calls(node) {
            let runs = format!("node `{}` runs in the gateway", node.name.value);
            let note = "put it on the arm that makes the call";
            self.only_for_calls(key, span, note, (at, runs));
        }
        Policies {
            deadline: node.deadline.map(|d| d.value),
            priority: node.priority.map(|p| p.value),
            ..Policies::default()
        }
    }

    fn only_for_calls(&mut self, key: &str, span: Span, note: &str, (at, what): (Span, String)) {
        self.incomplete = true;
        let callees = match key {
            "retry" | "hedge" => "models and gRPC methods",
            _ => "models",
        };
        self.diagnostics.push(
            Diagnostic::error(span, format!("`{key}` is for calls of {callees}"))
                .also(at, what)
                .note(note),
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

/// The policies of a node that only a call can have.
fn calls(node: &NodeSpec) -> Vec<(&'static str, Span)> {
    let written = [
        ("retry", node.retry.as_ref().map(|r| r.span)),
        ("hedge", node.hedge.map(|h| h.span)),
        ("cache", node.cache.map(|c| c.span)),
    ];
    let written = written.into_iter();
    written
        .filter_map(|(key, span)| Some((key, span?)))
        .collect()
}
