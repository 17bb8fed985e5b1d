//! Random graphs with failures, delays, substitutes and cancellation, on a paused clock.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use motet_proto::tensor::Tensor;
use motet_runtime::deadline::Deadline;
use proptest::prelude::*;
use tokio::time::{Duration, Instant};
use tonic::{Code, Status};

use crate::exec::{OutputSelection, RequestLimits, bind_inputs, run};
use crate::testing::{FakeModel, backend, lengths_of, plan_over};

/// A node of a random graph: a model of its own that answers or fails after a while.
#[derive(Debug, Clone)]
struct Node {
    /// Nodes before it whose results it reads: chosen among those that there are.
    reads: Vec<prop::sample::Index>,
    /// A node before it that substitutes it when it fails.
    stand_in: Option<prop::sample::Index>,
    delay_ms: u64,
    fails: bool,
    /// It is an arm of a `fallback`, the second being the value 0.
    guarded: bool,
}

fn node() -> impl Strategy<Value = Node> {
    (
        prop::collection::vec(any::<prop::sample::Index>(), 0..3),
        prop::option::weighted(0.4, any::<prop::sample::Index>()),
        0u64..50,
        prop::bool::weighted(0.25),
        prop::bool::weighted(0.2),
    )
        .prop_map(|(reads, stand_in, delay_ms, fails, guarded)| Node {
            reads,
            stand_in,
            delay_ms,
            fails,
            guarded,
        })
}

/// The pipeline of some nodes; those that `outputs` names are its outputs.
fn yaml(nodes: &[Node], outputs: &[prop::sample::Index]) -> String {
    let mut text = String::from("pipeline: random\ninputs: { text: string }\nnodes:\n");
    for (i, node) in nodes.iter().enumerate() {
        // Its text is made of all that it reads, so that it waits for all of it.
        let mut reads: Vec<usize> = match i {
            0 => Vec::new(),
            i => node.reads.iter().map(|r| r.index(i)).collect(),
        };
        reads.sort_unstable();
        reads.dedup();
        let mut input = "$text".to_owned();
        if !reads.is_empty() {
            let parts: Vec<String> = reads.iter().map(|r| format!("r{r}: $n{r}.size")).collect();
            let places: Vec<String> = reads.iter().map(|r| format!("{{r{r}}}")).collect();
            let _ = writeln!(
                text,
                "  t{i}: {{ op: template, in: {{ {} }}, with: {{ text: \"{}\" }} }}",
                parts.join(", "),
                places.join(" ")
            );
            input = format!("$t{i}.out");
        }
        let on_error = match (node.stand_in, i) {
            (Some(other), i) if i > 0 => {
                format!(
                    ", on_error: {{ use: {{ size: $n{}.size }} }}",
                    other.index(i)
                )
            }
            _ => String::new(),
        };
        let call = format!("model: m{i}, in: {{ text: {input} }}");
        let _ = if node.guarded {
            writeln!(
                text,
                "  n{i}: {{ fallback: [ {{ {call} }}, {{ value: {{ size: 0.5 }} }} ]{on_error} }}"
            )
        } else {
            writeln!(text, "  n{i}: {{ {call}{on_error} }}")
        };
    }
    let mut wanted: Vec<usize> = outputs.iter().map(|o| o.index(nodes.len())).collect();
    wanted.sort_unstable();
    wanted.dedup();
    let outputs: Vec<String> = wanted.iter().map(|o| format!("o{o}: $n{o}.size")).collect();
    format!("{text}outputs: {{ {} }}\n", outputs.join(", "))
}

/// Calls that the models received.
#[derive(Debug, Default)]
struct Log {
    calls: HashMap<usize, usize>,
    running: usize,
    last: Option<Instant>,
}

/// Marks a call as running until it ends or is dropped.
struct Mark(Arc<Mutex<Log>>);

impl Drop for Mark {
    fn drop(&mut self) {
        self.0.lock().unwrap().running -= 1;
    }
}

fn model(index: usize, node: &Node, log: &Arc<Mutex<Log>>) -> FakeModel {
    let (log, node) = (log.clone(), node.clone());
    FakeModel::new(move |request| {
        {
            let mut log = log.lock().unwrap();
            *log.calls.entry(index).or_default() += 1;
            log.running += 1;
            log.last = Some(Instant::now());
        }
        let mark = Mark(log.clone());
        let node = node.clone();
        async move {
            let _mark = mark;
            tokio::time::sleep(Duration::from_millis(node.delay_ms)).await;
            if node.fails {
                return Err(Status::internal("it broke"));
            }
            Ok(lengths_of(request))
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn every_request_ends_once_in_time_and_leaves_nothing_running(
        nodes in prop::collection::vec(node(), 1..9),
        outputs in prop::collection::vec(any::<prop::sample::Index>(), 1..4),
        deadline_ms in 1u64..200,
        given_up_ms in prop::option::weighted(0.3, 0u64..100),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let log = Arc::new(Mutex::new(Log::default()));
            let models: Vec<FakeModel> = nodes
                .iter()
                .enumerate()
                .map(|(i, node)| model(i, node, &log))
                .collect();
            let backends: Vec<_> = models
                .iter()
                .enumerate()
                .map(|(i, model)| backend(&format!("m{i}"), model))
                .collect();
            let plan = plan_over(&yaml(&nodes, &outputs), &backends);
            let inputs = bind_inputs(&plan, vec![Some(Tensor::scalar_string("a"))]).unwrap();
            let started = Instant::now();
            let limits = RequestLimits {
                deadline: Deadline::after(started, Duration::from_millis(deadline_ms)),
                priority: None,
            };
            let request = run(&plan, inputs, OutputSelection::All, limits);
            let given_up = Duration::from_millis(given_up_ms.unwrap_or(u64::from(u32::MAX)));
            let result = tokio::time::timeout(given_up, request).await;

            let elapsed = started.elapsed();
            // The clock of a paused runtime counts whole milliseconds.
            prop_assert!(elapsed <= Duration::from_millis(deadline_ms + 1), "{elapsed:?}");
            match &result {
                Err(_) => prop_assert!(elapsed >= given_up),
                Ok(Ok(outcome)) => {
                    prop_assert!(outcome.outputs.iter().flatten().all(Option::is_some));
                    prop_assert!(outcome.records.iter().all(|r| r.started <= r.ended));
                    let mut seen: Vec<usize> = outcome.records.iter().map(|r| r.node).collect();
                    seen.sort_unstable();
                    let count = seen.len();
                    seen.dedup();
                    prop_assert_eq!(count, seen.len(), "one record for a node");
                }
                Ok(Err(error)) if error.code() == Code::DeadlineExceeded => {
                    // Only a node that has a way out ends early for it, at half its time or later;
                    // the way out may fail, too.
                    let has_way_out = |n: &Node| n.guarded || n.stand_in.is_some();
                    let early = if nodes.iter().any(has_way_out) { 2 } else { 1 };
                    prop_assert!(elapsed >= Duration::from_millis(deadline_ms / early));
                }
                Ok(Err(error)) => {
                    prop_assert_eq!(error.code(), Code::Internal);
                    prop_assert!(nodes.iter().any(|n| n.fails));
                }
            }
            // Cancelled nodes are dropped by now; nothing starts any more.
            let calls = log.lock().unwrap().calls.clone();
            prop_assert_eq!(log.lock().unwrap().running, 0);
            tokio::time::sleep(Duration::from_secs(10)).await;
            prop_assert_eq!(&log.lock().unwrap().calls, &calls);
            prop_assert!(calls.values().all(|n| *n == 1), "no node runs twice: {:?}", calls);
            Ok(())
        })?;
    }
}
