//! `map`: a body for each element of a list.

use futures::stream::{self, StreamExt};
use motet_proto::tensor::{Tensor, TensorError};
use motet_proto::types::ElementType;
use motet_runtime::status::{self, Reason};
use tokio::time::Instant;
use tonic::Status;

use super::plan::Bound;
use super::syntax::ItemError;
use crate::compute::{CoopBudget, compute, copying};
use crate::exec::context::Context;
use crate::exec::elements::{Shapes, expected_inside};
use crate::exec::record::NodeStats;
use crate::exec::run::{NODE_WORK, run_body};
use crate::exec::step::{BodyArguments, NodeCall, NodeOutcome, RunKind, Started};
use crate::exec::time::before_way_out;

/// The most elements whose nodes are in a receipt.
const RECORDED_ITEMS_MAX: usize = 100;
/// Operations that taking a list apart, or putting one together, takes for each element.
const ELEMENT_WORK: u64 = 128;

type Item = Result<Vec<Option<Tensor>>, Status>;

impl RunKind for Bound {
    fn start<'a>(&'a self, call: NodeCall<'a, '_>) -> Started<'a> {
        call.start_bodies(move |context, arguments| run(context, self, arguments))
    }

    fn expected_elements(&self, shapes: &Shapes) -> u64 {
        let length = |at: usize| shapes.get(at)?.as_ref()?.first().copied();
        let Some(count) = length(0) else {
            return 0;
        };
        let element: Shapes = shapes
            .iter()
            .enumerate()
            .map(|(at, shape)| {
                let shape = shape.as_ref()?;
                let inner = if at < self.over { 1 } else { 0 };
                shape.get(inner..).map(<[usize]>::to_vec)
            })
            .collect();
        let each = expected_inside(&self.body, &element).saturating_add(1);
        (count as u64).saturating_mul(each)
    }
}

/// Runs the body for each element, at most `concurrency` of them at a time. An empty list gives
/// empty lists.
async fn run<'a>(
    mut context: Context<'a>,
    map: &'a Bound,
    arguments: BodyArguments<'a>,
) -> NodeOutcome {
    if map.on_item_error != ItemError::Fail {
        // The elements that are there must still be put together.
        let until = context.limits.deadline;
        context.limits.deadline = before_way_out(Instant::now(), until);
    }
    let mut stats = NodeStats::default();
    let result = match items(context, map, &arguments, &mut stats).await {
        Ok(items) => gather(map, &arguments, items, &mut stats).await,
        Err(error) => Err(error),
    };
    NodeOutcome::new(result, stats)
}

async fn items<'a>(
    context: Context<'a>,
    map: &'a Bound,
    inside: &BodyArguments<'a>,
    stats: &mut NodeStats,
) -> Result<Vec<Item>, Status> {
    let columns = columns(context, map, inside).await?;
    let count = columns.first().map_or(0, Vec::len);
    let one = |index: usize| {
        let mut arguments = inside.arguments.clone();
        for (argument, column) in arguments.iter_mut().zip(&columns) {
            *argument = column.get(index).cloned();
        }
        let lengths = inside.lengths.clone();
        async move {
            let end = run_body(context, &map.body, arguments, lengths).await;
            let work = end.work;
            (index, work, end.split(0, Some(index)))
        }
    };
    let mut items: Vec<Option<Item>> = (0..count).map(|_| None).collect();
    let mut running = stream::iter((0..count).map(one)).buffer_unordered(map.concurrency);
    let mut budget = CoopBudget::default();
    while let Some((index, work, (result, record))) = running.next().await {
        if stats.nested.len() < RECORDED_ITEMS_MAX
            || result.is_err() && map.on_item_error == ItemError::Fail
        {
            stats.nested.push(record);
        }
        if let (Err(error), ItemError::Fail) = (&result, map.on_item_error) {
            // Elements that still run are cancelled.
            return Err(status::reworded(
                error,
                format!("element {index}: {}", error.message()),
            ));
        }
        items[index] = Some(result);
        budget.spend(NODE_WORK.saturating_add(work)).await;
    }
    Ok(items.into_iter().flatten().collect())
}

/// The lists that the map goes through, taken apart into their elements.
///
/// # Errors
/// RESOURCE_EXHAUSTED when there are too many elements for the map or for the request.
async fn columns(
    context: Context<'_>,
    map: &Bound,
    inside: &BodyArguments<'_>,
) -> Result<Vec<Vec<Tensor>>, Status> {
    let lists: Vec<Tensor> = inside
        .arguments
        .iter()
        .take(map.over)
        .flatten()
        .cloned()
        .collect();
    let count = lists.first().and_then(|list| list.shape().first());
    let count = count.copied().unwrap_or(0);
    if count > map.max_items {
        return Err(status::resource_exhausted(
            format!(
                "{count} elements are more than `max_items` ({})",
                map.max_items
            ),
            None,
        )
        .reason(Reason::OverLimit)
        .into());
    }
    let shape = |argument: &Option<Tensor>| Some(argument.as_ref()?.shape().to_vec());
    let shapes: Shapes = inside.arguments.iter().map(shape).collect();
    let expected = map.expected_elements(&shapes);
    context.elements.start(count as u64, expected)?;
    let work = ELEMENT_WORK.saturating_mul((count * lists.len()) as u64);
    let rows = compute(work, move |_| {
        lists.iter().map(Tensor::to_rows).collect::<Result<_, _>>()
    });
    rows.await?.map_err(internal)
}

/// How the results of the elements become the node's outputs.
struct Gather {
    /// For each result of the body the list that it makes, `None` where nothing reads it.
    lists: Vec<Option<ListOutput>>,
    on_item_error: ItemError,
}

/// An output that has a row for each element.
struct ListOutput {
    name: String,
    element: ElementType,
    /// The shape of a row, as far as it is known without one; what is not is 0.
    inner: Vec<usize>,
    /// The output for no element; `None` where its length is known to be another.
    empty: Option<Tensor>,
}

/// The outputs of a map, and what is said of elements that failed.
struct Gathered {
    outputs: Vec<Option<Tensor>>,
    degraded: Option<String>,
}

/// Puts the results of the elements together.
async fn gather(
    map: &Bound,
    inside: &BodyArguments<'_>,
    items: Vec<Item>,
    stats: &mut NodeStats,
) -> Result<Vec<Option<Tensor>>, Status> {
    let results = map.body.results.iter().zip(&inside.node.outputs);
    let lists = results.map(|(source, produced)| {
        (source.is_some() && produced.used).then(|| ListOutput {
            name: produced.name.clone(),
            element: produced.ty.element,
            inner: inside.lengths.inner_shape(&produced.ty),
            empty: inside.lengths.empty(&produced.ty),
        })
    });
    let gather = Gather {
        lists: lists.collect(),
        on_item_error: map.on_item_error,
    };
    let tensors = items.iter().flatten().flatten().flatten();
    let bytes = tensors.map(|tensor| tensor.data().len()).sum();
    let work = ELEMENT_WORK.saturating_mul((items.len() * gather.lists.len()) as u64);
    let work = work.saturating_add(copying(bytes));
    let gathered = compute(work, move |_| gather.run(items)).await??;
    stats.degraded = gathered.degraded;
    Ok(gathered.outputs)
}

impl Gather {
    fn run(&self, items: Vec<Item>) -> Result<Gathered, Status> {
        let total = items.len();
        let failed: Vec<bool> = items.iter().map(Result::is_err).collect();
        let failures = failed.iter().filter(|f| **f).count();
        let mut errors = items.iter().zip(0..).filter_map(|(item, index)| {
            let error = item.as_ref().err()?;
            Some(format!("element {index}: {}", error.message()))
        });
        let degraded = errors
            .next()
            .map(|first| format!("{failures} of {total} elements failed; {first}"));
        let mut columns: Vec<Vec<Option<Tensor>>> = self.lists.iter().map(|_| Vec::new()).collect();
        for item in items {
            match item {
                Ok(results) => {
                    for (column, result) in columns.iter_mut().zip(results) {
                        column.push(result);
                    }
                }
                Err(_) if self.on_item_error == ItemError::Null => {
                    columns.iter_mut().for_each(|column| column.push(None));
                }
                Err(_) => {}
            }
        }
        let mut outputs = Vec::with_capacity(columns.len() + 1);
        for (column, list) in columns.into_iter().zip(&self.lists) {
            let list = list.as_ref();
            outputs.push(list.map(|list| list.of(column)).transpose()?);
        }
        match self.on_item_error {
            ItemError::Fail => {}
            ItemError::Null => outputs.push(Some(Tensor::bools(&failed))),
            ItemError::Drop => {
                let kept = failed.iter().zip(0i32..).filter(|(failed, _)| !**failed);
                let kept: Vec<i32> = kept.map(|(_, index)| index).collect();
                let kept = Tensor::from_values(vec![kept.len()], kept);
                outputs.push(Some(kept.map_err(internal)?));
            }
        }
        Ok(Gathered { outputs, degraded })
    }
}

impl ListOutput {
    /// One row for each element; zero or empty where an element has none.
    fn of(&self, column: Vec<Option<Tensor>>) -> Result<Tensor, Status> {
        if column.is_empty() {
            let empty = self.empty.clone();
            return empty
                .ok_or_else(|| status::internal("an empty list has another length").into());
        }
        let shape = column.iter().flatten().next().map(|t| t.shape().to_vec());
        let shape = shape.unwrap_or_else(|| self.inner.clone());
        let zero = || Tensor::zero(self.element, shape.clone());
        let rows = column
            .into_iter()
            .map(|row| row.map_or_else(zero, Ok))
            .collect::<Result<Vec<_>, _>>()
            .map_err(internal)?;
        Tensor::stack(rows).map_err(|error| {
            let name = &self.name;
            status::internal(format!("`{name}` of the elements makes no list: {error}")).into()
        })
    }
}

fn internal(error: TensorError) -> Status {
    status::internal(error.to_string()).into()
}
