//! A node that calls another pipeline.

use std::sync::Arc;

use motet_proto::tensor::Tensor;
use motet_runtime::deadline::Deadline;
use motet_runtime::status;

use super::{Started, StepEnd};
use crate::check::{Node, NodeKind};
use crate::exec::blame;
use crate::exec::context::Context;
use crate::exec::record::{BodyRecord, Facts};
use crate::exec::{self, Terms, Wanted};
use crate::plan::Plan;

/// Starts a call: the pipeline checks its inputs as it does those of any caller, and runs what
/// the outputs that are read need, as a part of this request.
pub(super) fn start<'a>(
    context: Context<'a>,
    node: &'a Node,
    plan: &'a Arc<Plan>,
    arguments: Vec<Option<Tensor>>,
) -> Started<'a> {
    let NodeKind::Pipeline(call) = &node.kind else {
        return Started::Now(StepEnd::failed(status::internal(
            "a node is not bound to what it runs",
        )));
    };
    let mut inputs = vec![None; plan.pipeline.inputs.len()];
    for (argument, input) in arguments.into_iter().zip(&call.inputs) {
        inputs[*input] = argument;
    }
    let inputs = match exec::bind_inputs(plan, inputs) {
        Ok(inputs) => inputs,
        Err(mistakes) => {
            let refused = exec::violation_status(&plan.pipeline.name, &mistakes);
            let refused = blame::for_called(context, node, call, &plan.pipeline, refused);
            return Started::Now(StepEnd::failed(refused));
        }
    };
    let deadline = context
        .node_deadline(node)
        .min(Deadline::within(plan.pipeline.deadline.max));
    let terms = Terms {
        deadline,
        ..context.terms
    };
    Started::Later(Box::pin(async move {
        let wanted: Vec<bool> = node.outputs.iter().map(|o| o.used).collect();
        let called = context.called(plan, terms);
        match exec::run_in(called, inputs, Wanted::Columns(&wanted)).await {
            Ok(outcome) => {
                let facts = Facts {
                    inside: vec![BodyRecord {
                        body: 0,
                        item: None,
                        records: outcome.records,
                    }],
                    ..Facts::default()
                };
                StepEnd::new(Ok(outcome.outputs.into_iter().flatten().collect()), facts)
            }
            Err(error) => {
                let called = &plan.pipeline;
                StepEnd::failed(blame::for_called(context, node, call, called, error))
            }
        }
    }))
}
