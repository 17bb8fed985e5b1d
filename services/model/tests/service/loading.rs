//! Models that answer while others are being loaded.

use std::error::Error;
use std::sync::{Condvar, Mutex};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use motet_config::{Diagnostics, Sources};
use motet_proto::inference::{ModelReadyRequest, RepositoryIndexRequest};
use motet_proto::signature::Signature;
use motet_proto::{ElementType, Tensor};
use motet_runtime::health::Health;
use motet_runtime::metrics::Metrics;
use motet_service::task::{CheckContext, LoadContext, Problem, Task, input, output};
use motet_service::{FindModel, FoundModel, Loader, ModelServer, Repository, ResolvedModel, Tasks};
use serde::Deserialize;
use tonic::{Code, Status};

use crate::harness::{Client, block_on, client_of, output as output_of, request};
use crate::own_tasks::{Does, OddKeys};

/// A model whose loading takes until its gate is opened.
struct Gated;

#[derive(Clone, Debug, Deserialize)]
struct GateKeys {
    gate: usize,
}

/// Gates of the models, by number.
struct Gates {
    begun: [bool; MODELS],
    open: [bool; MODELS],
}

const MODELS: usize = 6;
/// Loads that go on at the same time.
const AT_ONCE: usize = 4;

static GATES: Mutex<Gates> = Mutex::new(Gates {
    begun: [false; MODELS],
    open: [false; MODELS],
});
static CHANGED: Condvar = Condvar::new();

impl Task for Gated {
    const NAME: &'static str = "gated";
    const ABOUT: &'static str = "numbers, once it is let in";

    type Config = GateKeys;
    type Checked = GateKeys;
    type Model = OddKeys;

    fn check(keys: &GateKeys, _: &CheckContext<'_>) -> Result<(Signature, GateKeys), Vec<Problem>> {
        let signature = Signature {
            inputs: vec![input("x", ElementType::F32, ["N"])],
            outputs: vec![output("y", ElementType::F32, ["N"])],
            parameters: Vec::new(),
        };
        Ok((signature, keys.clone()))
    }

    fn load(keys: GateKeys, _: &LoadContext) -> Result<OddKeys, Box<dyn Error + Send + Sync>> {
        let mut gates = GATES.lock().expect("no panic");
        gates.begun[keys.gate] = true;
        drop(CHANGED.wait_while(gates, |gates| !gates.open[keys.gate]));
        Ok(OddKeys {
            does: Does::KnowOnes,
        })
    }
}

fn open(gate: usize) {
    GATES.lock().expect("no panic").open[gate] = true;
    CHANGED.notify_all();
}

/// Returns the numbers of the models whose loading has begun.
fn begun() -> Vec<usize> {
    let gates = GATES.lock().expect("no panic");
    (0..MODELS).filter(|gate| gates.begun[*gate]).collect()
}

struct NoOther;

impl FindModel for NoOther {
    fn find<'f>(
        &'f self,
        name: &'f str,
        _: Option<&'f str>,
    ) -> BoxFuture<'f, Result<FoundModel, Status>> {
        async move { Err(Status::not_found(name)) }.boxed()
    }
}

fn resolve() -> Vec<ResolvedModel> {
    let tasks = Tasks::builtin().with::<Gated>().expect("a new name");
    let models = (0..MODELS).map(|n| format!("  m{n}: {{ task: gated, gate: {n} }}\n"));
    let text = format!("models:\n{}", models.collect::<String>());
    let (mut sources, mut diagnostics) = (Sources::new(), Diagnostics::new());
    let models =
        motet_service::spec::read_text("test.yaml", &text, &tasks, &mut sources, &mut diagnostics);
    let resolved = motet_service::check(&models, &sources, &mut diagnostics);
    assert!(diagnostics.is_empty(), "{:?}", diagnostics.sorted());
    resolved
}

/// Waits until the condition holds; fails after a minute.
async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    for _ in 0..12_000 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("{what}: not within a minute");
}

async fn is_ready(client: &mut Client, model: &str) -> bool {
    let request = ModelReadyRequest {
        name: model.to_owned(),
        ..ModelReadyRequest::default()
    };
    let answer = client.model_ready(request).await;
    answer.is_ok_and(|answer| answer.into_inner().ready)
}

async fn call(client: &mut Client, model: &str) -> Result<Vec<f32>, Status> {
    let x = Tensor::from_values(vec![2], vec![2f32, 3.]).expect("a tensor");
    let answer = client.model_infer(request(model, &[("x", x)])).await?;
    let y = output_of(&answer.into_inner(), "y");
    Ok(y.values().expect("floats").to_vec())
}

/// Returns the states of all models, by name.
async fn states(client: &mut Client) -> Vec<(String, String)> {
    let index = client.repository_index(RepositoryIndexRequest::default());
    let models = index.await.expect("an index").into_inner().models;
    let mut states: Vec<_> = models.into_iter().map(|m| (m.name, m.state)).collect();
    states.sort();
    states
}

#[test]
fn each_model_answers_once_it_is_loaded_while_others_load() {
    block_on(async {
        let metrics = Metrics::new("test").expect("metrics");
        let health = Health::new();
        let loader = Loader::new(metrics, health.clone()).expect("threads");
        let repository = Repository::new(loader, health, NoOther);
        let server = ModelServer::of_repository(repository.clone());
        let mut client = client_of(&server);
        let start = {
            let repository = repository.clone();
            tokio::spawn(async move { repository.start(resolve()).await })
        };
        until("four begin", async || begun().len() == AT_ONCE).await;
        assert_eq!(begun(), [0, 1, 2, 3]);
        let loading = |n: usize| (format!("m{n}"), "LOADING".to_owned());
        let expected: Vec<_> = (0..MODELS).map(loading).collect();
        assert_eq!(states(&mut client).await, expected);
        let error = call(&mut client, "m2").await.expect_err("it is loaded");
        assert_eq!(error.code(), Code::Unavailable, "{error}");

        // The third is the first to be ready, and makes room for the fifth.
        open(2);
        until("m2 is ready", async || is_ready(&mut client, "m2").await).await;
        assert_eq!(call(&mut client, "m2").await.expect("numbers"), [20., 30.]);
        until("the fifth begins", async || begun().contains(&4)).await;
        assert_eq!(begun(), [0, 1, 2, 3, 4]);
        for n in [0, 1, 3, 4, 5] {
            assert!(!is_ready(&mut client, &format!("m{n}")).await, "m{n}");
        }

        for gate in 0..MODELS {
            open(gate);
        }
        start.await.expect("no panic").expect("all are loaded");
        for n in 0..MODELS {
            let answer = call(&mut client, &format!("m{n}")).await;
            assert_eq!(answer.expect("numbers"), [20., 30.], "m{n}");
        }
        server.drain().await;
    });
}
