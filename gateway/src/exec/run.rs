//! The run of one request through a graph: starts nodes and takes their outcomes.

use futures::future::{AbortHandle, Abortable, Aborted, BoxFuture};
use futures::stream::{FuturesUnordered, StreamExt};
use motet_proto::tensor::Tensor;
use motet_runtime::deadline::Deadline;
use motet_runtime::status::{self, Reason};
use tokio::time::Instant;
use tonic::{Code, Status};

use super::condition;
use super::context::Context;
use super::literal;
use super::progress::Progress;
use super::record::NodeRecord;
use super::step::{NodeCall, NodeOutcome, Started};
use super::symbols::SymbolBindings;
use super::time::{self, Schedule};
use crate::check::{Node, SettingValue, Source, Substitute};
use crate::compute::CoopBudget;
use crate::plan::{BoundBody, Graph, Liveness};
use crate::scalar::Scalar;

/// Nodes that run, by index.
type Running<'a> = FuturesUnordered<Abortable<BoxFuture<'a, (usize, NodeOutcome)>>>;

/// The run of one request through a graph.
pub(super) struct GraphRun<'a> {
    pub(super) context: Context<'a>,
    pub(super) graph: &'a Graph,
    /// `true` if the graph is a body inside a node, one of its arms or for an element of its list.
    pub(super) is_body: bool,
    pub(super) schedule: Schedule,
    inputs: Vec<Option<Tensor>>,
    lengths: SymbolBindings,
    results: Vec<Vec<Option<Tensor>>>,
    pub(super) progress: Progress<'a>,
    pub(super) records: Vec<NodeRecord>,
    /// For each node, the index of its record, if it has one.
    record_at: Vec<Option<usize>>,
    /// For each node that can be cancelled, the handle that does it.
    aborts: Vec<Option<AbortHandle>>,
    /// The start of this graph, which may be later than that of the request.
    pub(super) began: Instant,
    /// Operations done on the async runtime without waiting, since the last of them were counted
    /// against a [`CoopBudget`].
    uncounted: u64,
    /// All operations done on the async runtime.
    work: u64,
}

/// Operations that starting and ending a node takes, whatever it computes.
pub(crate) const NODE_WORK: u64 = 512;

impl<'a> GraphRun<'a> {
    pub(super) fn new(
        context: Context<'a>,
        graph: &'a Graph,
        liveness: &Liveness,
        inputs: Vec<Option<Tensor>>,
        lengths: SymbolBindings,
    ) -> Self {
        let nodes = graph.nodes.len();
        Self {
            context,
            graph,
            is_body: false,
            schedule: Schedule::new(graph, liveness, &inputs),
            inputs,
            lengths,
            results: vec![Vec::new(); nodes],
            progress: Progress::new(&graph.topology, liveness),
            records: Vec::with_capacity(nodes),
            record_at: vec![None; nodes],
            aborts: vec![None; nodes],
            began: Instant::now(),
            uncounted: 0,
            work: 0,
        }
    }

    /// Returns the operations that were done on the async runtime for the graph.
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
                None => return Err(status::internal("no node of the pipeline can run").into()),
            }
        }
    }

    /// Starts a node, and takes its outcome if it has one at once.
    fn start(&mut self, index: usize, running: &mut Running<'a>) -> Result<(), Status> {
        let bound = &self.graph.nodes[index];
        let node = &*bound.node;
        self.context.elements.start_node()?;
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
            self.record(index).stats.skipped = true;
            return self.end(index, NodeOutcome::done(vec![None; node.outputs.len()]));
        }
        let arguments = node.inputs.iter().map(|a| self.value(&a.source)).collect();
        // A setting out of range is the caller's mistake, for which there is no substitute.
        let settings = self.settings(node)?;
        self.progress.started(index);
        let mut deadline = self.context.limits.deadline;
        let started = match self.node_context(index) {
            Ok(context) => {
                deadline = context.limits.deadline;
                bound.step.run_kind().start(NodeCall {
                    context,
                    node,
                    arguments,
                    settings,
                    lengths: &self.lengths,
                })
            }
            Err(error) => Started::Ready(NodeOutcome::failed(error)),
        };
        self.drop_unneeded();
        match started {
            Started::Ready(end) => self.end(index, end),
            Started::Pending(end) => {
                let (abort, registration) = AbortHandle::new_pair();
                self.aborts[index] = Some(abort);
                let end = match node.on_error {
                    Some(_) => within(deadline, end),
                    None => end,
                };
                let end: BoxFuture<'a, _> = Box::pin(async move { (index, end.await) });
                running.push(Abortable::new(end, registration));
                Ok(())
            }
        }
    }

    /// Takes the outcome of a node.
    fn end(&mut self, index: usize, end: NodeOutcome) -> Result<(), Status> {
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
        let skipped = record.stats.skipped;
        record.stats = end.stats;
        record.stats.skipped = skipped;
        let total = record.total();
        let result = end
            .result
            .and_then(|outputs| self.check_outputs(index, &outputs).map(|()| outputs));
        let code = result.as_ref().map_or_else(Status::code, |_| Code::Ok);
        self.graph.nodes[index].metrics.record(code, total);
        if !result.as_ref().is_err_and(time::is_refusal) {
            self.record_latency(index, code, total);
        }
        self.record_follow_up(index);
        match result {
            Ok(outputs) => {
                self.results[index] = outputs;
                self.progress.done(index);
            }
            Err(error) => {
                let error = self.with_context(index, &error);
                tracing::debug!(node = %self.graph.nodes[index].node.name, %error, "a node failed");
                self.record(index).stats.error = Some(status::for_receipt(&error));
                self.progress.failed(index, error)?;
            }
        }
        self.substitute()?;
        self.drop_unneeded();
        Ok(())
    }

    /// Puts substitutes in the place of failed nodes whose substitutes are all there.
    fn substitute(&mut self) -> Result<(), Status> {
        while let Some((index, why)) = self.progress.next_substitutable() {
            let node = &self.graph.nodes[index].node;
            let Some(on_error) = &node.on_error else {
                return Err(why);
            };
            let outputs = on_error
                .values
                .iter()
                .map(|v| v.as_ref().and_then(|v| self.substitute_value(v)))
                .collect::<Vec<_>>();
            if let Err(error) = self.check_outputs(index, &outputs) {
                let error = self.with_context(index, &error);
                self.progress.lost(index, error)?;
                continue;
            }
            if on_error.mark_degraded {
                self.record(index).stats.degraded = Some(status::for_receipt(&why));
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

    /// Cancels nodes that are no longer needed, and frees results.
    fn drop_unneeded(&mut self) {
        for index in self.progress.take_cancelled() {
            if let Some(abort) = self.aborts[index].take() {
                abort.abort();
            }
            let ended = self.context.elapsed();
            let record = self.record(index);
            record.ended = ended;
            record.stats.cancelled = true;
            let total = record.total();
            self.graph.nodes[index]
                .metrics
                .record(Code::Cancelled, total);
        }
        while let Some(index) = self.progress.next_free() {
            self.results[index] = Vec::new();
        }
    }

    /// Checks the shapes of a node's results, and binds the symbols that they decide.
    fn check_outputs(&mut self, index: usize, outputs: &[Option<Tensor>]) -> Result<(), Status> {
        let node = &self.graph.nodes[index].node;
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

    /// Returns a value; `None` if it is absent.
    pub(super) fn value(&self, source: &Source) -> Option<Tensor> {
        match source {
            Source::Input(input) => self.inputs.get(*input)?.clone(),
            Source::Node { node, output } => self.results.get(*node)?.get(*output)?.clone(),
            Source::Literal(literal) => Some(literal::to_tensor(literal)),
        }
    }

    /// Returns the settings of a node for this request.
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

    /// Returns the record of a node that has started.
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

    /// Adds pipeline and node to an error.
    fn with_context(&self, index: usize, error: &Status) -> Status {
        let pipeline = self.context.plan.pipeline.name.as_str();
        let node = self.graph.nodes[index].node.name.as_str();
        let named = status::annotate(error, [("pipeline", pipeline), ("node", node)]);
        status::reworded(&named, format!("node {node}: {}", named.message()))
    }

    /// Returns the error of a request whose deadline has passed.
    pub(super) fn timed_out(&self) -> Status {
        let pipeline = &self.context.plan.pipeline;
        self.record_timeouts();
        let running: Vec<&str> = self
            .progress
            .running()
            .map(|i| self.graph.nodes[i].node.name.as_str())
            .collect();
        let running = running.join(", ");
        status::deadline_exceeded(format!(
            "pipeline {} did not finish within {:?}: still running were {running}",
            pipeline.name,
            self.context.limits.deadline.remaining(self.began)
        ))
        .pipeline(&pipeline.name)
        .node(running)
        .into()
    }

    /// Returns the records of the nodes.
    pub(super) fn into_records(self) -> Vec<NodeRecord> {
        self.records
    }
}

/// Ends a node at this deadline: it has a substitute, which must still be in time. Most nodes keep
/// to their deadline themselves; a computation does not.
fn within<'a>(deadline: Deadline, end: BoxFuture<'a, NodeOutcome>) -> BoxFuture<'a, NodeOutcome> {
    Box::pin(async move {
        let end = async { Ok(end.await) };
        deadline.run(end).await.unwrap_or_else(NodeOutcome::failed)
    })
}

/// The outcome of a body.
#[derive(Debug)]
pub(crate) struct BodyOutcome {
    /// One for each result of the body, `None` where nothing reads it or it is absent; or why
    /// there are none.
    pub(crate) result: Result<Vec<Option<Tensor>>, Status>,
    /// Records of its nodes.
    pub(crate) records: Vec<NodeRecord>,
    /// Operations that were done on the async runtime for it without waiting.
    pub(crate) work: u64,
}

/// Runs a body over the arguments of the node around it, as a part of that node.
pub(crate) async fn run_body<'a>(
    context: Context<'a>,
    body: &'a BoundBody,
    arguments: Vec<Option<Tensor>>,
    lengths: SymbolBindings,
) -> BodyOutcome {
    let graph = &body.graph;
    let mut run = GraphRun::new(context, graph, &graph.topology.liveness, arguments, lengths);
    run.is_body = true;
    let result = run.drive().await.map(|()| {
        let results = body.results.iter();
        results
            .map(|source| source.as_ref().and_then(|s| run.value(s)))
            .collect()
    });
    BodyOutcome {
        result,
        work: run.work(),
        records: run.into_records(),
    }
}
