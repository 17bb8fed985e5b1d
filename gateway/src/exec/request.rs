//! One request on its way through a plan: starts nodes, takes in what they come to.

use std::sync::Arc;
use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt};
use motet_proto::oip;
use motet_proto::tensor::Tensor;
use motet_runtime::deadline::Deadline;
use motet_runtime::status;
use tokio::time::Instant;
use tonic::{Code, Status};
use tracing::{Instrument, info_span};

use super::lengths::Lengths;
use super::progress::Progress;
use super::{Inputs, NodeRecord, Outcome, PRIORITY, Terms, call, literal};
use crate::check::{Column, Node, OutputKind, SettingValue, Source, Substitute};
use crate::ops;
use crate::plan::{Plan, Step};
use crate::spec::Scalar;

/// What a node came to.
enum NodeResult {
    Outputs {
        outputs: Vec<Option<Tensor>>,
        queue: Duration,
        compute: Duration,
        batch_rows: usize,
    },
    Failed(Status),
}

type Running<'a> = FuturesUnordered<futures::future::BoxFuture<'a, (usize, NodeResult)>>;

/// One request on its way through a plan.
pub(super) struct Run<'a> {
    plan: &'a Arc<Plan>,
    inputs: Vec<Tensor>,
    lengths: Lengths,
    results: Vec<Vec<Option<Tensor>>>,
    progress: Progress,
    records: Vec<NodeRecord>,
    started: Instant,
    terms: Terms,
}

impl<'a> Run<'a> {
    pub(super) fn new(plan: &'a Arc<Plan>, inputs: Inputs, terms: Terms) -> Self {
        Self {
            plan,
            inputs: inputs.tensors,
            lengths: inputs.lengths,
            results: vec![Vec::new(); plan.pipeline.nodes.len()],
            progress: Progress::new(plan),
            records: Vec::with_capacity(plan.pipeline.nodes.len()),
            started: Instant::now(),
            terms,
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
                Some((index, result)) => self.end(index, result)?,
                // Every node that is left waits for one that can never be done; a checked
                // pipeline has no cycle, so this is unreachable.
                None => return Err(status::internal("the pipeline has come to a halt").into()),
            }
        }
    }

    /// Starts a node; one that can be answered on the spot is.
    fn start(&mut self, index: usize, running: &mut Running<'a>) -> Result<(), Status> {
        let plan: &'a Plan = self.plan;
        let node = &plan.pipeline.nodes[index];
        let arguments: Vec<Tensor> = node
            .inputs
            .iter()
            .map(|a| self.value(&a.source))
            .collect::<Result<_, _>>()?;
        let settings = self.settings(index)?;
        self.records.push(NodeRecord {
            node: index,
            started: self.started.elapsed(),
            rows: match plan.steps[index] {
                Step::Model(_) => call::rows(node, &arguments),
                Step::Op(_) => 0,
            },
            ..Default::default()
        });
        match &plan.steps[index] {
            Step::Model(backend) => {
                if call::is_empty(node, &arguments)
                    && let Some(outputs) = self.empty_outputs(index)
                {
                    return self.end(index, NodeResult::done(outputs));
                }
                let mut request = match call::request(node, arguments, settings) {
                    Ok(request) => request,
                    Err(error) => return self.end(index, NodeResult::Failed(error)),
                };
                if let Some(priority) = self.terms.priority {
                    let priority = oip::parameter(priority);
                    request.parameters.insert(PRIORITY.to_owned(), priority);
                }
                let deadline = self.node_deadline(index);
                let span = info_span!("node", node = %node.name, model = backend.model());
                let call = async move {
                    let result = match backend.infer(request, Some(deadline)).await {
                        Ok(response) => call::answer(node, response),
                        Err(error) => Err(error),
                    };
                    let result = match result {
                        Ok(answer) => NodeResult::Outputs {
                            outputs: answer.outputs,
                            queue: answer.queue,
                            compute: answer.compute,
                            batch_rows: answer.batch_rows,
                        },
                        Err(error) => NodeResult::Failed(error),
                    };
                    (index, result)
                };
                running.push(Box::pin(call.instrument(span)));
                Ok(())
            }
            Step::Op(kind) => {
                let kind = *kind;
                let name = node.name.as_str();
                let span = info_span!("node", node = %name, op = ?kind);
                if !ops::is_heavy(kind, &arguments) {
                    let result = span.in_scope(|| ops::run(kind, &arguments, &settings));
                    return self.end(index, NodeResult::of_op(node, result));
                }
                let task = tokio::task::spawn_blocking(move || {
                    span.in_scope(|| ops::run(kind, &arguments, &settings))
                });
                running.push(Box::pin(async move {
                    let result = match task.await {
                        Ok(result) => NodeResult::of_op(node, result),
                        Err(_) => NodeResult::Failed(
                            status::internal(format!("node {name} panicked")).into(),
                        ),
                    };
                    (index, result)
                }));
                Ok(())
            }
        }
    }

    /// Takes in what a node came to.
    fn end(&mut self, index: usize, result: NodeResult) -> Result<(), Status> {
        let node = &self.plan.pipeline.nodes[index];
        let ended = self.started.elapsed();
        let result = match result {
            NodeResult::Outputs {
                outputs,
                queue,
                compute,
                batch_rows,
            } => {
                let record = self.record(index);
                record.ended = ended;
                record.queue = queue;
                record.compute = compute;
                record.batch_rows = batch_rows;
                self.check_outputs(index, &outputs).map(|()| outputs)
            }
            NodeResult::Failed(error) => {
                self.record(index).ended = ended;
                Err(error)
            }
        };
        let total = self.record(index).total();
        let metrics = &self.plan.metrics[index];
        match result {
            Ok(outputs) => {
                metrics.record(Code::Ok, total);
                self.results[index] = outputs;
                self.progress.done(self.plan, index);
            }
            Err(error) => {
                metrics.record(error.code(), total);
                let error = self.blame(index, &error);
                tracing::debug!(node = %node.name, %error, "a node failed");
                self.progress.failed(self.plan, index, error)?;
            }
        }
        self.substitute()
    }

    /// Puts substitutes in the place of failed nodes, as far as they are there.
    fn substitute(&mut self) -> Result<(), Status> {
        let plan = self.plan;
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
        let node = &self.plan.pipeline.nodes[index];
        for (produced, tensor) in node.outputs.iter().zip(outputs) {
            let Some(tensor) = tensor else { continue };
            self.lengths
                .bind(&produced.ty, tensor.shape(), &self.plan.pipeline.symbols)
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

    fn empty_outputs(&self, index: usize) -> Option<Vec<Option<Tensor>>> {
        self.plan.pipeline.nodes[index]
            .outputs
            .iter()
            .map(|o| self.lengths.empty(&o.ty).map(Some))
            .collect()
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
        let pipeline = &self.plan.pipeline;
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

    fn node_deadline(&self, index: usize) -> Deadline {
        match self.plan.pipeline.nodes[index].deadline {
            Some(limit) => self.terms.deadline.min(Deadline::within(limit)),
            None => self.terms.deadline,
        }
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
        let pipeline = &self.plan.pipeline;
        let node = pipeline.nodes[index].name.as_str();
        let named = status::annotate(
            error,
            [("pipeline", pipeline.name.as_str()), ("node", node)],
        );
        status::reworded(&named, format!("node {node}: {}", named.message()))
    }

    /// The error of a request whose deadline has passed.
    pub(super) fn late(&self) -> Status {
        let pipeline = &self.plan.pipeline;
        let running: Vec<&str> = self
            .progress
            .running()
            .map(|i| pipeline.nodes[i].name.as_str())
            .collect();
        let running = running.join(", ");
        status::deadline_exceeded(format!(
            "pipeline {} did not finish within {:?}: still running were {running}",
            pipeline.name,
            self.terms
                .deadline
                .instant()
                .saturating_duration_since(self.started)
        ))
        .pipeline(&pipeline.name)
        .node(running)
        .into()
    }

    /// The outputs, once every node is done.
    pub(super) fn finish(self) -> Result<Outcome, Status> {
        let column = |c: &Column| self.value(&c.source);
        let outputs = self
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
            total: self.started.elapsed(),
            records: self.records,
        })
    }
}

impl NodeResult {
    fn done(outputs: Vec<Option<Tensor>>) -> Self {
        Self::Outputs {
            outputs,
            queue: Duration::ZERO,
            compute: Duration::ZERO,
            batch_rows: 0,
        }
    }

    fn of_op(node: &Node, result: Result<Vec<Tensor>, ops::OpError>) -> Self {
        let error = match result {
            Ok(outputs) => return Self::done(outputs.into_iter().map(Some).collect()),
            Err(error) => error,
        };
        // Values that come straight from the request are the caller's to mend.
        let of_request = node
            .inputs
            .iter()
            .find_map(|argument| match argument.source {
                Source::Input(_) => Some(argument.port.as_str()),
                _ => None,
            });
        let status = match (&error, of_request) {
            (ops::OpError::TooLarge, _) => {
                status::resource_exhausted(error.to_string(), None).reason("OVER_LIMIT")
            }
            (ops::OpError::Index { .. } | ops::OpError::Width { .. }, Some(port)) => {
                status::invalid_argument(port, error.to_string())
            }
            _ => status::internal(error.to_string()).reason("OP_FAILED"),
        };
        Self::Failed(status.node(&node.name).into())
    }
}
