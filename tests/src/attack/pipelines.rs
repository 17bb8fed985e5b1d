//! Pipeline files that nest, call each other, or are many.

use std::fmt::Write;
use std::time::Duration;

use motet_proto::Tensor;
use motet_proto::v1::{LoadRequest, UnloadRequest};
use tokio::time::timeout;
use tonic::Status;

use super::peer::Fates;
use super::{Attack, Outcome, Target};
use crate::connection::Connection;
use crate::http;
use crate::program::resident_bytes;
use crate::tensors::raw;

pub(super) const ATTACKS: &[Attack] = &[
    Attack {
        name: "nested-fallbacks",
        about: "14 levels of pipelines, each of 8 nested fallbacks that call the one before",
        descriptors: None,
        has_keys: false,
        run: |target| Box::pin(load_all(target, (0..14).map(fallbacks).collect())),
    },
    Attack {
        name: "long-chain",
        about: "700 pipelines, each of which calls the one before",
        descriptors: None,
        has_keys: false,
        run: |target| Box::pin(load_all(target, (0..700).map(|n| calls(n, 1)).collect())),
    },
    Attack {
        name: "doubling",
        about: "40 levels of pipelines, each of which calls the one before twice",
        descriptors: None,
        has_keys: false,
        run: |target| Box::pin(load_all(target, (0..40).map(|n| calls(n, 2)).collect())),
    },
    Attack {
        name: "nested-map",
        about: "a map of 8,000 elements over a map of 8,000 elements",
        descriptors: None,
        has_keys: false,
        run: |target| Box::pin(nested_map(target)),
    },
    Attack {
        name: "loads-and-unloads",
        about: "2,000 pipelines loaded and unloaded, one after another",
        descriptors: None,
        has_keys: false,
        run: |target| Box::pin(loads_and_unloads(target)),
    },
    Attack {
        name: "many-pipelines",
        about: "900 small pipelines loaded",
        descriptors: None,
        has_keys: false,
        run: |target| Box::pin(many_pipelines(target)),
    },
];

/// Longest wait for one change.
const PATIENCE: Duration = Duration::from_secs(20);
/// Most memory that a small pipeline may take, in bytes.
const PIPELINE_BYTES_MAX: u64 = 100 << 10;

const SELECT: &str = "{ op: select, in: { text: $text } }";

fn pipeline(name: &str, nodes: &str, output: &str) -> String {
    format!(
        "pipeline: {name}\ninputs: {{ text: string }}\nnodes:\n{nodes}outputs: {{ text: \
         ${output}.text }}\n"
    )
}

/// Returns the pipeline of this number, which calls the one before so often.
fn calls(number: usize, times: usize) -> String {
    let mut nodes = String::new();
    for node in 0..times {
        let step = match number {
            0 => SELECT.to_owned(),
            _ => format!("{{ pipeline: p{}, in: {{ text: $text }} }}", number - 1),
        };
        let _ = writeln!(nodes, "  n{node}: {step}");
    }
    pipeline(&format!("p{number}"), &nodes, "n0")
}

/// Returns the pipeline of this number: fallbacks inside fallbacks, all of whose arms call the one
/// before.
fn fallbacks(number: usize) -> String {
    let step = match number {
        0 => SELECT.to_owned(),
        _ => format!("{{ pipeline: p{}, in: {{ text: $text }} }}", number - 1),
    };
    let mut nested = step.clone();
    for _ in 0..8 {
        nested = format!("{{ fallback: [{nested}, {step}] }}");
    }
    pipeline(&format!("p{number}"), &format!("  n: {nested}\n"), "n")
}

async fn load(connection: &Connection, yaml: String) -> Result<(), Status> {
    let mut client = connection.pipelines();
    match timeout(PATIENCE, client.load(LoadRequest { yaml })).await {
        Ok(loaded) => loaded.map(drop),
        Err(_) => Err(Status::unknown("no answer")),
    }
}

/// Calls a pipeline with one text.
async fn call(connection: &Connection, pipeline: &str) -> Result<(), Status> {
    let text = Tensor::byte_strings([b"moon"]);
    let text = text.reshape(Vec::new()).expect("a scalar");
    let request = raw(pipeline, &[("text", text)]);
    let mut client = connection.inference();
    match timeout(PATIENCE, client.model_infer(request)).await {
        Ok(answer) => answer.map(drop),
        Err(_) => Err(Status::unknown("no answer")),
    }
}

/// Loads pipelines until one is refused, then calls the last.
async fn load_all(target: Target, files: Vec<String>) -> Outcome {
    let connection = Connection::open(target.ready.grpc).await;
    let (mut loaded, mut refused) = (0, String::new());
    for yaml in files {
        match load(&connection, yaml).await {
            Ok(()) => loaded += 1,
            Err(status) => {
                let first = status.message().lines().next().unwrap_or_default();
                refused = format!("{:?}: {first}", status.code());
                break;
            }
        }
    }
    let last = format!("p{}", loaded.max(1) - 1);
    let text = Tensor::byte_strings([b"moon"])
        .reshape(Vec::new())
        .expect("a scalar");
    let call = raw(&last, &[("text", text)]);
    let called = timeout(PATIENCE, connection.inference().model_infer(call)).await;
    let called = match called {
        Ok(answer) => answer.map(drop),
        Err(_) => Err(Status::unknown("no answer")),
    };
    let told = format!("{loaded} loaded, then {refused}").replace('|', "/");
    Outcome::told(told).fault_unless(called.is_ok(), || format!("{last} answers {called:?}"))
}

/// A map in a map, whose length is known only inside: that of the outer one less its element.
const MAPS: &str = r"
pipeline: maps
inputs: { n: int }
deadline: { default: 1m, max: 1m }
nodes:
  outer: { op: range, in: { end: $n } }
  m:
    map:
      over: $outer.index
      as: a
      max_items: 65536
      nodes:
        first: { op: cast, in: { value: $a }, with: { to: int } }
        inner: { op: range, in: { end: $n, start: $first.out } }
        each:
          map: { over: $inner.index, as: b, max_items: 65536, do: { op: max, in: { x: $b, y: $b } } }
        count: { op: length, in: { of: $each.out } }
      outputs: { x: $count.out }
outputs: { x: $m.x }
";

async fn nested_map(target: Target) -> Outcome {
    let items = target.size.of(4000, 8000);
    let connection = Connection::open(target.ready.grpc).await;
    let loaded = load(&connection, MAPS.to_owned()).await;
    let mut fates = Fates::default();
    let count = Tensor::from_values(Vec::new(), vec![i64::from(items)]).expect("a scalar");
    let call = connection.inference();
    let call = async move {
        let mut call = call;
        call.model_infer(raw("maps", &[("n", count)])).await
    };
    match timeout(PATIENCE, call).await {
        Ok(answer) => fates.count(&answer.map(drop)),
        Err(_) => fates.count(&Err(Status::unknown("no answer"))),
    }
    Outcome::told(fates.to_string())
        .fault_unless(loaded.is_ok(), || format!("not loaded: {loaded:?}"))
}

/// Returns the number of lines of `/metrics`.
async fn series(target: Target) -> usize {
    let Some(http) = target.ready.http else {
        return 0;
    };
    let page = http::get(http, "/metrics").await;
    page.map_or(0, |(_, page)| {
        page.lines().filter(|l| !l.starts_with('#')).count()
    })
}

async fn loads_and_unloads(target: Target) -> Outcome {
    let connection = Connection::open(target.ready.grpc).await;
    let before = series(target).await;
    let mut fates = Fates::default();
    for number in 0..target.size.of(100, 2000) {
        let name = format!("q{number}");
        let yaml = pipeline(&name, &format!("  n: {SELECT}\n"), "n");
        fates.count(&load(&connection, yaml).await);
        fates.count(&call(&connection, &name).await);
        let unloaded = connection.pipelines().unload(UnloadRequest { name }).await;
        fates.count(&unloaded.map(drop));
    }
    let more = series(target).await.saturating_sub(before);
    Outcome::told(format!("{fates}; {more} series more")).fault_unless(more < 100, || {
        format!("{more} series of pipelines that are gone")
    })
}

async fn many_pipelines(target: Target) -> Outcome {
    let connection = Connection::open(target.ready.grpc).await;
    let count = target.size.of(100, 900);
    let before = resident_bytes(target.process).unwrap_or(0);
    let mut fates = Fates::default();
    for number in 0..count {
        let yaml = pipeline(&format!("r{number}"), &format!("  n: {SELECT}\n"), "n");
        fates.count(&load(&connection, yaml).await);
    }
    let more = resident_bytes(target.process)
        .unwrap_or(0)
        .saturating_sub(before);
    let each = more / count;
    for number in 0..count {
        let name = format!("r{number}");
        let unloaded = connection.pipelines().unload(UnloadRequest { name }).await;
        fates.count(&unloaded.map(drop));
    }
    Outcome::told(format!("{fates}; {} KB a pipeline", each >> 10))
        .fault_unless(each <= PIPELINE_BYTES_MAX, || {
            format!("a small pipeline takes {} KB", each >> 10)
        })
}
