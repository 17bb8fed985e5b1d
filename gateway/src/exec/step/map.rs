//! `map`: a body for each element of a list.

use std::sync::Arc;

use futures::stream::{self, StreamExt};
use motet_proto::tensor::Tensor;
use motet_runtime::status::{self, Reason};
use tonic::Status;

use super::{Inside, StepEnd};
use crate::check::Map;
use crate::exec::body;
use crate::exec::context::Context;
use crate::exec::record::Facts;
use crate::plan::Graph;
use crate::syntax::ItemError;

/// The most elements whose nodes are in a receipt.
const RECORDED_ITEMS_MAX: usize = 100;

type Item = Result<Vec<Option<Tensor>>, Status>;

/// Runs the body for each element, so many at a time. A list of none gives lists of none.
pub(super) async fn run<'a>(
    context: Context<'a>,
    map: &'a Map,
    graphs: &'a [Arc<Graph>],
    inside: &Inside<'a>,
) -> StepEnd {
    let mut facts = Facts::default();
    let result = items(context, map, graphs, inside, &mut facts)
        .await
        .and_then(|items| gather(map, inside, items, &mut facts));
    StepEnd { result, facts }
}

async fn items<'a>(
    context: Context<'a>,
    map: &'a Map,
    graphs: &'a [Arc<Graph>],
    inside: &Inside<'a>,
    facts: &mut Facts,
) -> Result<Vec<Item>, Status> {
    let mut columns = Vec::with_capacity(map.over);
    for argument in inside.arguments.iter().take(map.over).flatten() {
        columns.push(argument.to_rows().map_err(internal)?);
    }
    let count = columns.first().map_or(0, Vec::len);
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
    let graph = graphs
        .first()
        .ok_or_else(|| Status::from(status::internal("a map has no body")))?;
    let one = |index: usize| {
        let mut arguments = inside.arguments.clone();
        for (argument, column) in arguments.iter_mut().zip(&columns) {
            *argument = column.get(index).cloned();
        }
        let lengths = inside.lengths.clone();
        async move {
            let end = body::run(context, &map.body, graph, arguments, lengths).await;
            (index, end.split(0, Some(index)))
        }
    };
    let mut items: Vec<Option<Item>> = (0..count).map(|_| None).collect();
    let mut running = stream::iter((0..count).map(one)).buffer_unordered(map.concurrency);
    while let Some((index, (result, record))) = running.next().await {
        if facts.inside.len() < RECORDED_ITEMS_MAX
            || result.is_err() && map.on_item_error == ItemError::Fail
        {
            facts.inside.push(record);
        }
        if let (Err(error), ItemError::Fail) = (&result, map.on_item_error) {
            // What still runs is cancelled.
            return Err(status::reworded(
                error,
                format!("element {index}: {}", error.message()),
            ));
        }
        items[index] = Some(result);
    }
    Ok(items.into_iter().flatten().collect())
}

/// The results of the elements as lists, and what is said of those that failed.
fn gather(
    map: &Map,
    inside: &Inside<'_>,
    items: Vec<Item>,
    facts: &mut Facts,
) -> Result<Vec<Option<Tensor>>, Status> {
    let total = items.len();
    let mut failed = vec![false; total];
    let mut first = None;
    for (index, item) in items.iter().enumerate() {
        if let Err(error) = item {
            failed[index] = true;
            first.get_or_insert_with(|| format!("element {index}: {}", error.message()));
        }
    }
    let failures = failed.iter().filter(|f| **f).count();
    if let Some(why) = first {
        facts.degraded = Some(format!("{failures} of {total} elements failed; {why}"));
    }
    let outputs = &inside.node.outputs;
    let mut columns: Vec<Vec<Option<Tensor>>> =
        map.body.results.iter().map(|_| Vec::new()).collect();
    for item in items {
        match item {
            Ok(results) => {
                for (column, result) in columns.iter_mut().zip(results) {
                    column.push(result);
                }
            }
            Err(_) if map.on_item_error == ItemError::Null => {
                columns.iter_mut().for_each(|column| column.push(None));
            }
            Err(_) => {}
        }
    }
    let mut lists = Vec::with_capacity(outputs.len());
    for (column, (produced, source)) in columns
        .into_iter()
        .zip(outputs.iter().zip(&map.body.results))
    {
        lists.push(if source.is_some() && produced.used {
            Some(list(column, produced, inside)?)
        } else {
            None
        });
    }
    match map.on_item_error {
        ItemError::Fail => {}
        ItemError::Null => lists.push(Some(Tensor::bools(&failed))),
        ItemError::Drop => {
            let kept = failed.iter().zip(0i32..).filter(|(failed, _)| !**failed);
            let kept: Vec<i32> = kept.map(|(_, index)| index).collect();
            lists.push(Some(
                Tensor::from_values(vec![kept.len()], kept).map_err(internal)?,
            ));
        }
    }
    Ok(lists)
}

/// The results of one output, one row for each element; zero or empty where there is none.
fn list(
    column: Vec<Option<Tensor>>,
    produced: &crate::check::Produced,
    inside: &Inside<'_>,
) -> Result<Tensor, Status> {
    if column.is_empty() {
        return inside
            .lengths
            .empty(&produced.ty)
            .ok_or_else(|| status::internal("a list of none has another length").into());
    }
    let shape = column.iter().flatten().next().map(|t| t.shape().to_vec());
    let shape = shape.unwrap_or_else(|| inside.lengths.inner_shape(&produced.ty));
    let zero = || Tensor::zero(produced.ty.element, shape.clone());
    let rows = column
        .into_iter()
        .map(|row| row.map_or_else(zero, Ok))
        .collect::<Result<Vec<_>, _>>()
        .map_err(internal)?;
    Tensor::stack(rows).map_err(|error| {
        status::internal(format!(
            "`{}` of the elements makes no list: {error}",
            produced.name
        ))
        .into()
    })
}

fn internal(error: motet_proto::tensor::TensorError) -> Status {
    status::internal(error.to_string()).into()
}
