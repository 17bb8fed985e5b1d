//! One request on its way through a graph: starts nodes, takes in what they come to.

use futures::future::{AbortHandle, Abortable, Aborted, BoxFuture};
use futures::stream::{FuturesUnordered, StreamExt};
use motet_proto::tensor::Tensor;
use motet_runtime::status::{self, Reason};
use tokio::time::Instant;
use tonic::{Code, Status};

use super::condition;
use super::context::Context;
use super::lengths::Lengths;
use super::literal;
use super::progress::Progress;
use super::record::NodeRecord;
use super::step::{self, Started, StepEnd};
use super::time::{self, Schedule};
use crate::check::{Node, SettingValue, Source, Substitute};
use crate::compute::CoopBudget;
use crate::plan::Graph;
use crate::plan::Liveness;
use crate::scalar::Scalar;

/// A node on its way, by index.
type Running<'a> = FuturesUnordered<Abortable<BoxFuture<'a, (usize, StepEnd)>>>;

/// Nodes that can refer to each other, and what they are bound to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame<'a> {
    pub nodes: &'a [Node],
    pub graph: &'a Graph,
    /// Whether the graph stands inside a node, as one of its arms or for an element of its list.
    pub is_inside: bool,
}

/// One request on its way through a graph.
pub(super) struct Run<'a> {
    pub(super) context: Context<'a>,
    pub(super) frame: Frame<'a>,
    pub(super) schedule: Schedule,
    inputs: Vec<Option<Tensor>>,
    lengths: Lengths,
    results: Vec<Vec<Option<Tensor>>>,
    pub(super) progress: Progress<'a>,
    pub(super) records: Vec<NodeRecord>,
    /// For each node that has a record, where it is.
    record_at: Vec<Option<usize>>,
    /// For each node that can be cancelled, how.
    aborts: Vec<Option<AbortHandle>>,
    /// The start of this graph, which may be later than that of the request.
    pub(super) began: Instant,
    /// Operations done on the async runtime without waiting, since the last of them were counted
    /// against a [`CoopBudget`].
    uncounted: u64,
    /// All of them.
    work: u64,
}

/// Operations that starting and ending a node takes, whatever it computes.
pub(super) const NODE_WORK: u64 = 512;

impl<'a> Run<'a> {
    pub(super) fn new(
        context: Context<'a>,
        frame: Frame<'a>,
        liveness: &Liveness,
        inputs: Vec<Option<Tensor>>,
        lengths: Lengths,
    ) -> Self {
        let nodes = frame.nodes.len();
        Self {
            context,
            frame,
            schedule: Schedule::new(frame, liveness, &inputs),
            inputs,
            lengths,
            results: vec![Vec::new(); nodes],
            progress: Progress::new(frame.nodes, &frame.graph.topology, liveness),
            records: Vec::with_capacity(nodes),
            record_at: vec![None; nodes],
            aborts: vec![None; nodes],
            began: Instant::now(),
            uncounted: 0,
            work: 0,
        }
    }

    /// Operations that were done on the async runtime for the graph.
    pub(super) const fn work(&self) -> u64 {
        self.work
    }

    /// Runs every node that is needed.
    pub(super) async fn drive(&mut self) -> Result<(), Status> {
        let mut running = Running::new();
        let mut budget = CoopBudget::default();
        loop {
            while let Some(index) = self.progress.next_ready() {
                self.start(index, &mut running)?;
                budget.spend(std::mem::take(&mut self.uncounted)).await;
            }
            if self.progress.is_finished() {
                return Ok(());
            }
            match running.next().await {
                Some(Ok((index, end))) => self.end(index, end)?,
                Some(Err(Aborted)) => {}
                // Every node that is left waits for one that can never be done; a checked
                // pipeline has no cycle, so this is unreachable.
                None => return Err(status::internal("the pipeline has come to a halt").into()),
            }
        }
    }

    /// Starts a node; one that can be answered on the spot is.
    fn start(&mut self, index: usize, running: &mut Running<'a>) -> Result<(), Status> {
        let node = &self.frame.nodes[index];
        self.record_at[index] = Some(self.records.len());
        self.records.push(NodeRecord {
            node: index,
            started: self.context.elapsed(),
            ..Default::default()
        });
        if let Some(when) = &node.when
            && !condition::holds(when, &|source| self.value(source))
        {
            self.progress.started(index);
            self.record(index).facts.skipped = true;
            return self.end(index, StepEnd::done(vec![None; node.outputs.len()]));
        }
        let arguments = node.inputs.iter().map(|a| self.value(&a.source)).collect();
        // A setting out of range is the caller's mistake, which nothing stands in for.
        let settings = self.settings(node)?;
        self.progress.started(index);
        let step = &self.frame.graph.steps[index];
        let started = match self.time(index) {
            Ok(context) => step::start(context, node, step, arguments, settings, &self.lengths),
            Err(error) => Started::Now(StepEnd::failed(error)),
        };
        self.drop_unneeded();
        match started {
            Started::Now(end) => self.end(index, end),
            Started::Later(end) => {
                let (abort, registration) = AbortHandle::new_pair();
                self.aborts[index] = Some(abort);
                let end: BoxFuture<'a, _> = Box::pin(async move { (index, end.await) });
                running.push(Abortable::new(end, registration));
                Ok(())
            }
        }
    }

    /// Takes in what a node came to.
    fn end(&mut self, index: usize, end: StepEnd) -> Result<(), Status> {
        self.aborts[index] = None;
        let work = NODE_WORK.saturating_add(end.work);
        self.uncounted = self.uncounted.saturating_add(work);
        self.work = self.work.saturating_add(work);
        if !self.progress.is_running(index) {
            // Cancelled in the moment in which it ended.
            return Ok(());
        }
        let ended = self.context.elapsed();
        let record = self.record(index);
        record.ended = ended;
        record.available = ended;
        let skipped = record.facts.skipped;
        record.facts = end.facts;
        record.facts.skipped = skipped;
        let total = record.total();
        let result = end
            .result
            .and_then(|outputs| self.check_outputs(index, &outputs).map(|()| outputs));
        let code = result.as_ref().map_or_else(Status::code, |_| Code::Ok);
        self.frame.graph.metrics[index].record(code, total);
        if !result.as_ref().is_err_and(time::is_refusal) {
            self.learn(index, code, total);
        }
        self.learn_follow_up(index);
        match result {
            Ok(outputs) => {
                self.results[index] = outputs;
                self.progress.done(index);
            }
            Err(error) => {
                let error = self.blame(index, &error);
                tracing::debug!(node = %self.frame.nodes[index].name, %error, "a node failed");
                self.record(index).facts.error = Some(error.message().to_owned());
                self.progress.failed(index, error)?;
            }
        }
        self.substitute()?;
        self.drop_unneeded();
        Ok(())
    }

    /// Puts substitutes in the place of failed nodes, as far as they are there.
    fn substitute(&mut self) -> Result<(), Status> {
        while let Some((index, why)) = self.progress.next_substitutable() {
            let node = &self.frame.nodes[index];
            let Some(on_error) = &node.on_error else {
                return Err(why);
            };
            let outputs = on_error
                .values
                .iter()
                .map(|v| v.as_ref().and_then(|v| self.substitute_value(v)))
                .collect::<Vec<_>>();
            if let Err(error) = self.check_outputs(index, &outputs) {
                let error = self.blame(index, &error);
                self.progress.lost(index, error)?;
                continue;
            }
            if on_error.mark_degraded {
                self.record(index).facts.degraded = Some(why.message().to_owned());
            }
            let available = self.context.elapsed();
            self.record(index).available = available;
            self.results[index] = outputs;
            self.progress.done(index);
        }
        Ok(())
    }

    fn substitute_value(&self, substitute: &Substitute) -> Option<Tensor> {
        let value = self.value(&substitute.source)?;
        if !substitute.check_utf8 {
            return Some(value);
        }
        value.into_text(motet_proto::ElementType::String).ok()
    }

    /// Cancels what nobody needs any more, and frees its results.
    fn drop_unneeded(&mut self) {
        for index in self.progress.take_cancelled() {
            if let Some(abort) = self.aborts[index].take() {
                abort.abort();
            }
            let ended = self.context.elapsed();
            let record = self.record(index);
            record.ended = ended;
            record.facts.cancelled = true;
            let total = record.total();
            self.frame.graph.metrics[index].record(Code::Cancelled, total);
        }
        while let Some(index) = self.progress.next_free() {
            self.results[index] = Vec::new();
        }
    }

    /// Checks the shapes of a node's results, and learns the lengths that they decide.
    fn check_outputs(&mut self, index: usize, outputs: &[Option<Tensor>]) -> Result<(), Status> {
        let node = &self.frame.nodes[index];
        let symbols = &self.context.plan.pipeline.symbols;
        for (produced, tensor) in node.outputs.iter().zip(outputs) {
            let Some(tensor) = tensor else { continue };
            self.lengths
                .bind(&produced.ty, tensor.shape(), symbols)
                .map_err(|mismatch| {
                    Status::from(
                        status::internal(format!(
                            "node {} gave a tensor `{}` that {mismatch}",
                            node.name, produced.name
                        ))
                        .reason(Reason::BadAnswer),
                    )
                })?;
        }
        Ok(())
    }

    /// A value; `None` when it is absent.
    pub(super) fn value(&self, source: &Source) -> Option<Tensor> {
        match source {
            Source::Input(input) => self.inputs.get(*input)?.clone(),
            Source::Node { node, output } => self.results.get(*node)?.get(*output)?.clone(),
            Source::Literal(literal) => Some(literal::to_tensor(literal)),
        }
    }

    /// The settings of a node for this request.
    fn settings(&self, node: &Node) -> Result<Vec<Scalar>, Status> {
        node.parameters
            .iter()
            .map(|setting| match &setting.value {
                SettingValue::Literal(value) => Ok(value.clone()),
                SettingValue::Input {
                    input,
                    name,
                    min,
                    max,
                } => {
                    let value = self.inputs.get(*input).and_then(Option::as_ref);
                    let value = value.and_then(literal::scalar).ok_or_else(|| {
                        Status::from(status::internal("an input is not a scalar"))
                    })?;
                    if !value.is_within(setting.element, *min, *max) {
                        let found = value.format_as(setting.element);
                        let why = literal::out_of_range(found, *min, *max);
                        return Err(status::invalid_argument(
                            name,
                            format!("{why}, as node {} needs it", node.name),
                        )
                        .pipeline(&self.context.plan.pipeline.name)
                        .into());
                    }
                    Ok(value)
                }
            })
            .collect()
    }

    /// The record of a node, if it has started.
    pub(super) fn recorded(&self, index: usize) -> Option<&NodeRecord> {
        self.record_at[index].map(|at| &self.records[at])
    }

    fn record(&mut self, index: usize) -> &mut NodeRecord {
        let at = match self.record_at[index] {
            Some(at) => at,
            None => {
                let now = self.context.elapsed();
                self.records.push(NodeRecord {
                    node: index,
                    started: now,
                    ended: now,
                    ..Default::default()
                });
                let at = self.records.len() - 1;
                self.record_at[index] = Some(at);
                at
            }
        };
        &mut self.records[at]
    }

    /// Names pipeline and node in an error.
    fn blame(&self, index: usize, error: &Status) -> Status {
        let pipeline = self.context.plan.pipeline.name.as_str();
        let node = self.frame.nodes[index].name.as_str();
        let named = status::annotate(error, [("pipeline", pipeline), ("node", node)]);
        status::reworded(&named, format!("node {node}: {}", named.message()))
    }

    /// The error of a request whose deadline has passed.
    pub(super) fn late(&self) -> Status {
        let pipeline = &self.context.plan.pipeline;
        self.learn_late();
        let running: Vec<&str> = self
            .progress
            .running()
            .map(|i| self.frame.nodes[i].name.as_str())
            .collect();
        let running = running.join(", ");
        status::deadline_exceeded(format!(
            "pipeline {} did not finish within {:?}: still running were {running}",
            pipeline.name,
            self.context.terms.deadline.remaining(self.began)
        ))
        .pipeline(&pipeline.name)
        .node(running)
        .into()
    }

    /// What happened to each node.
    pub(super) fn into_records(self) -> Vec<NodeRecord> {
        self.records
    }
}
