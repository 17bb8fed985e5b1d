//! A node that calls another pipeline.

use motet_runtime::deadline::Deadline;

use super::plan::Bound;
use crate::exec::record::{BodyRecord, NodeStats};
use crate::exec::step::{NodeCall, NodeOutcome, RunKind, Started};
use crate::exec::{self, OutputSelection, RequestLimits, blame};

impl RunKind for Bound {
    /// Starts a call: the pipeline checks its inputs as it does those of any caller, and runs what
    /// the outputs that are read need, as a part of this request.
    fn start<'a>(&'a self, call: NodeCall<'a, '_>) -> Started<'a> {
        start(self, call)
    }
}

fn start<'a>(bound: &'a Bound, call: NodeCall<'a, '_>) -> Started<'a> {
    let (context, node, plan) = (call.context, call.node, &bound.plan);
    let mut inputs = vec![None; plan.pipeline.inputs.len()];
    for (argument, input) in call.arguments.into_iter().zip(&bound.inputs) {
        inputs[*input] = argument;
    }
    let inputs = match exec::bind_inputs(plan, inputs) {
        Ok(inputs) => inputs,
        Err(violations) => {
            let refused = exec::violation_status(&plan.pipeline.name, &violations);
            let refused = blame::for_called(context, node, &bound.inputs, &plan.pipeline, refused);
            return Started::Ready(NodeOutcome::failed(refused));
        }
    };
    let deadline = context
        .node_deadline(node)
        .min(Deadline::within(plan.pipeline.deadline.max));
    let limits = RequestLimits {
        deadline,
        ..context.limits
    };
    Started::Pending(Box::pin(async move {
        let wanted: Vec<bool> = node.outputs.iter().map(|o| o.used).collect();
        let called = context.called(plan, limits);
        match exec::run_in(called, inputs, OutputSelection::Columns(&wanted)).await {
            Ok(outcome) => {
                let stats = NodeStats {
                    nested: vec![BodyRecord {
                        body: 0,
                        item: None,
                        records: outcome.records,
                    }],
                    ..NodeStats::default()
                };
                NodeOutcome::new(Ok(outcome.outputs.into_iter().flatten().collect()), stats)
            }
            Err(error) => {
                let called = &plan.pipeline;
                NodeOutcome::failed(blame::for_called(
                    context,
                    node,
                    &bound.inputs,
                    called,
                    error,
                ))
            }
        }
    }))
}
