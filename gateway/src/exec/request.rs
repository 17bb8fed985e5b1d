//! One request on its way through a plan: starts nodes, takes in what they come to.

use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use motet_proto::tensor::Tensor;
use motet_runtime::status;
use tonic::{Code, Status};

use super::context::Context;
use super::lengths::Lengths;
use super::progress::Progress;
use super::step::{self, Ready, Started, StepEnd};
use super::{Inputs, NodeRecord, Outcome, literal};
use crate::check::{Column, OutputKind, SettingValue, Source, Substitute};
use crate::spec::Scalar;

type Running<'a> = FuturesUnordered<BoxFuture<'a, (usize, StepEnd)>>;

/// One request on its way through a plan.
pub(super) struct Run<'a> {
    context: Context<'a>,
    inputs: Vec<Tensor>,
    lengths: Lengths,
    results: Vec<Vec<Option<Tensor>>>,
    progress: Progress,
    records: Vec<NodeRecord>,
}

impl<'a> Run<'a> {
    pub(super) fn new(context: Context<'a>, inputs: Inputs) -> Self {
        let nodes = context.plan.pipeline.nodes.len();
        Self {
            context,
            inputs: inputs.tensors,
            lengths: inputs.lengths,
            results: vec![Vec::new(); nodes],
            progress: Progress::new(context.plan),
            records: Vec::with_capacity(nodes),
        }
    }

    /// Runs every node.
    pub(super) async fn drive(&mut self) -> Result<(), Status> {
        let mut running = Running::new();
        loop {
            while let Some(index) = self.progress.next_ready() {
                self.start(index, &mut running)?;
            }
            if self.progress.is_finished() {
                return Ok(());
            }
            match running.next().await {
                Some((index, end)) => self.end(index, end)?,
                // Every node that is left waits for one that can never be done; a checked
                // pipeline has no cycle, so this is unreachable.
                None => return Err(status::internal("the pipeline has come to a halt").into()),
            }
        }
    }

    /// Starts a node; one that can be answered on the spot is.
    fn start(&mut self, index: usize, running: &mut Running<'a>) -> Result<(), Status> {
        let plan = self.context.plan;
        let node = &plan.pipeline.nodes[index];
        let arguments = node
            .inputs
            .iter()
            .map(|a| self.value(&a.source))
            .collect::<Result<_, _>>()?;
        let settings = self.settings(index)?;
        self.records.push(NodeRecord {
            node: index,
            started: self.context.elapsed(),
            ..Default::default()
        });
        let ready = Ready {
            node,
            step: &plan.steps[index],
            arguments,
            settings,
            lengths: &self.lengths,
        };
        match step::start(self.context, ready) {
            Started::Now(end) => self.end(index, end),
            Started::Later(end) => {
                running.push(Box::pin(async move { (index, end.await) }));
                Ok(())
            }
        }
    }

    /// Takes in what a node came to.
    fn end(&mut self, index: usize, end: StepEnd) -> Result<(), Status> {
        let plan = self.context.plan;
        let ended = self.context.elapsed();
        let record = self.record(index);
        record.ended = ended;
        record.facts = end.facts;
        let total = record.total();
        let result = end
            .result
            .and_then(|outputs| self.check_outputs(index, &outputs).map(|()| outputs));
        let code = result.as_ref().map_or_else(Status::code, |_| Code::Ok);
        plan.metrics[index].record(code, total);
        match result {
            Ok(outputs) => {
                self.results[index] = outputs;
                self.progress.done(plan, index);
            }
            Err(error) => {
                let error = self.blame(index, &error);
                tracing::debug!(node = %plan.pipeline.nodes[index].name, %error, "a node failed");
                self.progress.failed(plan, index, error)?;
            }
        }
        self.substitute()
    }

    /// Puts substitutes in the place of failed nodes, as far as they are there.
    fn substitute(&mut self) -> Result<(), Status> {
        let plan = self.context.plan;
        while let Some((index, error)) = self.progress.next_substitutable(plan) {
            let why = error.clone();
            let node = &plan.pipeline.nodes[index];
            let values = match &node.on_error {
                Some(on_error) => &on_error.values,
                None => return Err(why),
            };
            let outputs = values
                .iter()
                .map(|v| v.as_ref().map(|v| self.substitute_value(v)).transpose())
                .collect::<Result<Vec<_>, _>>()?;
            self.check_outputs(index, &outputs)
                .map_err(|e| self.blame(index, &e))?;
            if node.on_error.as_ref().is_some_and(|o| o.mark_degraded) {
                self.record(index).degraded = Some(why.message().to_owned());
            }
            self.results[index] = outputs;
            self.progress.done(plan, index);
        }
        Ok(())
    }

    fn substitute_value(&self, substitute: &Substitute) -> Result<Tensor, Status> {
        let value = self.value(&substitute.source)?;
        if !substitute.check_utf8 {
            return Ok(value);
        }
        value
            .into_text(motet_proto::ElementType::String)
            .map_err(|e| status::internal(e.to_string()).into())
    }

    /// Checks the shapes of a node's results, and learns the lengths that they decide.
    fn check_outputs(&mut self, index: usize, outputs: &[Option<Tensor>]) -> Result<(), Status> {
        let node = &self.context.plan.pipeline.nodes[index];
        for (produced, tensor) in node.outputs.iter().zip(outputs) {
            let Some(tensor) = tensor else { continue };
            self.lengths
                .bind(
                    &produced.ty,
                    tensor.shape(),
                    &self.context.plan.pipeline.symbols,
                )
                .map_err(|mismatch| {
                    Status::from(
                        status::internal(format!(
                            "node {} gave a tensor `{}` that {mismatch}",
                            node.name, produced.name
                        ))
                        .reason("BAD_ANSWER"),
                    )
                })?;
        }
        Ok(())
    }

    fn value(&self, source: &Source) -> Result<Tensor, Status> {
        let value = match source {
            Source::Input(input) => self.inputs.get(*input).cloned(),
            Source::Node { node, output } => self
                .results
                .get(*node)
                .and_then(|r| r.get(*output)?.clone()),
            Source::Literal(literal) => Some(literal::to_tensor(literal)),
        };
        value.ok_or_else(|| status::internal("a value is not there that should be").into())
    }

    /// The settings of a node for this request.
    fn settings(&self, index: usize) -> Result<Vec<Scalar>, Status> {
        let pipeline = &self.context.plan.pipeline;
        pipeline.nodes[index]
            .parameters
            .iter()
            .map(|setting| match &setting.value {
                SettingValue::Literal(value) => Ok(value.clone()),
                SettingValue::Input { input, min, max } => {
                    let value = literal::scalar(&self.inputs[*input]).ok_or_else(|| {
                        Status::from(status::internal("an input is not a scalar"))
                    })?;
                    if let Scalar::Int(n) = value
                        && (min.is_some_and(|min| n < min) || max.is_some_and(|max| n > max))
                    {
                        let why = literal::out_of_range(n, *min, *max);
                        return Err(status::invalid_argument(
                            &pipeline.inputs[*input].name,
                            format!("{why}, as node {} needs it", pipeline.nodes[index].name),
                        )
                        .pipeline(&pipeline.name)
                        .into());
                    }
                    Ok(value)
                }
            })
            .collect()
    }

    fn record(&mut self, index: usize) -> &mut NodeRecord {
        let at = self
            .records
            .iter()
            .rposition(|r| r.node == index)
            .unwrap_or_else(|| {
                self.records.push(NodeRecord {
                    node: index,
                    ..Default::default()
                });
                self.records.len() - 1
            });
        &mut self.records[at]
    }

    /// Names pipeline and node in an error.
    fn blame(&self, index: usize, error: &Status) -> Status {
        let pipeline = &self.context.plan.pipeline;
        let node = pipeline.nodes[index].name.as_str();
        let named = status::annotate(
            error,
            [("pipeline", pipeline.name.as_str()), ("node", node)],
        );
        status::reworded(&named, format!("node {node}: {}", named.message()))
    }

    /// The error of a request whose deadline has passed.
    pub(super) fn late(&self) -> Status {
        let pipeline = &self.context.plan.pipeline;
        let running: Vec<&str> = self
            .progress
            .running()
            .map(|i| pipeline.nodes[i].name.as_str())
            .collect();
        let running = running.join(", ");
        status::deadline_exceeded(format!(
            "pipeline {} did not finish within {:?}: still running were {running}",
            pipeline.name,
            self.context.terms.deadline.remaining(self.context.started)
        ))
        .pipeline(&pipeline.name)
        .node(running)
        .into()
    }

    /// The outputs, once every node is done.
    pub(super) fn finish(self) -> Result<Outcome, Status> {
        let column = |c: &Column| self.value(&c.source);
        let outputs = self
            .context
            .plan
            .pipeline
            .outputs
            .iter()
            .map(|output| match &output.kind {
                OutputKind::Value(value) => Ok(vec![column(value)?]),
                OutputKind::Records { columns, .. } => columns.iter().map(column).collect(),
            })
            .collect::<Result<_, Status>>()?;
        Ok(Outcome {
            outputs,
            total: self.context.elapsed(),
            records: self.records,
        })
    }
}
