//! `switch`: the first arm whose condition holds.

use std::sync::Arc;

use super::{Inside, StepEnd};
use crate::check::{Source, SwitchArm};
use crate::exec::condition;
use crate::exec::context::Context;
use crate::exec::record::Facts;
use crate::plan::Graph;

/// Runs the first arm whose condition holds; where none does, every output is absent.
pub(super) async fn run<'a>(
    context: Context<'a>,
    arms: &'a [SwitchArm],
    graphs: &'a [Arc<Graph>],
    inside: &Inside<'a>,
) -> StepEnd {
    let value = |source: &Source| match source {
        Source::Input(argument) => inside.arguments.get(*argument)?.clone(),
        Source::Node { .. } | Source::Literal(_) => None,
    };
    let holds = |arm: &SwitchArm| {
        let when = arm.when.as_ref();
        when.is_none_or(|when| condition::holds(when, &value))
    };
    let Some(index) = arms.iter().position(holds) else {
        return StepEnd::done(vec![None; inside.node.outputs.len()]);
    };
    let end = inside
        .body(context, &arms[index].body, &graphs[index])
        .await;
    let (result, record) = end.split(index, None);
    let facts = Facts {
        arm: Some(index),
        inside: vec![record],
        ..Facts::default()
    };
    StepEnd::new(result, facts)
}
