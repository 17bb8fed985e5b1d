//! `switch`: the first arm whose condition holds.

use super::plan::Bound;
use crate::check::Source;
use crate::exec::condition;
use crate::exec::context::Context;
use crate::exec::record::NodeStats;
use crate::exec::step::{BodyArguments, NodeCall, NodeOutcome, RunKind, Started};

impl RunKind for Bound {
    fn start<'a>(&'a self, call: NodeCall<'a, '_>) -> Started<'a> {
        call.start_bodies(move |context, arguments| run(context, self, arguments))
    }
}

/// Runs the first arm whose condition holds; where none does, every output is absent.
async fn run<'a>(
    context: Context<'a>,
    switch: &'a Bound,
    arguments: BodyArguments<'a>,
) -> NodeOutcome {
    let value = |source: &Source| match source {
        Source::Input(argument) => arguments.arguments.get(*argument)?.clone(),
        Source::Node { .. } | Source::Literal(_) => None,
    };
    let chosen = switch.arms.iter().enumerate().find(|(_, arm)| {
        let when = arm.when.as_ref();
        when.is_none_or(|when| condition::holds(when, &value))
    });
    let Some((index, arm)) = chosen else {
        return NodeOutcome::done(vec![None; arguments.node.outputs.len()]);
    };
    let end = arguments.run(context, &arm.body).await;
    let (result, record) = end.split(index, None);
    let stats = NodeStats {
        arm: Some(index),
        nested: vec![record],
        ..NodeStats::default()
    };
    NodeOutcome::new(result, stats)
}
