//! Calls that are large, or many.

use std::time::{Duration, Instant};

use motet_proto::inference::ModelInferRequest;
use motet_proto::v1::LoadRequest;
use tonic::Status;

use super::peer::Fates;
use super::{Attack, Outcome, Target};
use crate::connection::Connection;
use crate::load::words;
use crate::tensors::{raw, texts};

pub(super) const ATTACKS: &[Attack] = &[
    Attack {
        name: "large-call",
        about: "one call with 1,000 documents of 5 KB to be split and embedded",
        descriptors: None,
        has_keys: false,
        run: |target| Box::pin(large(target, 1)),
    },
    Attack {
        name: "ten-large-calls",
        about: "ten such calls at the same time, from one connection",
        descriptors: None,
        has_keys: false,
        run: |target| Box::pin(large(target, 10)),
    },
    Attack {
        name: "many-rows",
        about: "one ModelInfer of 16,384 rows",
        descriptors: None,
        has_keys: false,
        run: |target| Box::pin(many_rows(target)),
    },
    Attack {
        name: "many-callers",
        about: "2,000 callers, each with one call after another",
        descriptors: None,
        has_keys: false,
        run: |target| Box::pin(many_callers(target)),
    },
    Attack {
        name: "long-documents",
        about: "42 MB of documents to be split, in one call",
        descriptors: None,
        has_keys: false,
        run: |target| Box::pin(long_documents(target)),
    },
    Attack {
        name: "wrong-keys",
        about: "1,000 calls a second with wrong keys and tokens, from 4 connections",
        descriptors: None,
        has_keys: true,
        run: |target| Box::pin(wrong_keys(target)),
    },
];

/// Deadline of a large call.
const PATIENCE: Duration = Duration::from_secs(600);

async fn infer(connection: &Connection, request: ModelInferRequest) -> Result<(), Status> {
    connection.inference().model_infer(request).await.map(drop)
}

/// A pipeline for large calls: the built-in one gives a request 30 s at the most.
const EMBED: &str = "pipeline: attack_embed\ninputs: { documents: \"string[N]\" }\ndeadline: { \
                     default: 10m, max: 10m }\nnodes:\n  chunks: { model: chunker, in: { text: \
                     $documents } }\n  d: { model: minilm, in: { text: $chunks.text } }\noutputs: { \
                     embedding: $d.embedding }\n";

async fn large(target: Target, calls: usize) -> Outcome {
    // 830 words of the mixture are 5 KB.
    let documents = target.size.of(20, 1000 / calls);
    let documents: Vec<_> = (0..documents).map(|salt| words(830, salt)).collect();
    let connection = Connection::open(target.ready.grpc).await;
    let yaml = EMBED.to_owned();
    let loaded = connection.pipelines().load(LoadRequest { yaml }).await;
    loaded.expect("the pipeline is right");
    let request = raw("attack_embed", &[("documents", texts(&documents))]);
    let started = Instant::now();
    let calls: Vec<_> = (0..calls)
        .map(|_| {
            let (connection, request) = (connection.clone(), request.clone());
            tokio::spawn(async move {
                let mut request = tonic::Request::new(request);
                request.set_timeout(PATIENCE);
                connection.inference().model_infer(request).await.map(drop)
            })
        })
        .collect();
    let mut fates = Fates::default();
    for call in calls {
        fates.count(&call.await.expect("a caller"));
    }
    Outcome::told(format!(
        "{fates} in {:.1} s",
        started.elapsed().as_secs_f64()
    ))
}

async fn many_rows(target: Target) -> Outcome {
    let rows: Vec<_> = (0..target.size.of(1024, 16_384))
        .map(|salt| words(8, salt))
        .collect();
    let connection = Connection::open(target.ready.grpc).await;
    let started = Instant::now();
    let mut fates = Fates::default();
    fates.count(&infer(&connection, raw("minilm", &[("text", texts(&rows))])).await);
    Outcome::told(format!(
        "{fates} in {:.1} s",
        started.elapsed().as_secs_f64()
    ))
}

async fn many_callers(target: Target) -> Outcome {
    let (connections, each) = target.size.of((4, 25), (20, 100));
    let time = target
        .size
        .of(Duration::from_secs(2), Duration::from_secs(15));
    let began = Instant::now();
    let mut callers = Vec::new();
    for _ in 0..connections {
        let connection = Connection::open(target.ready.grpc).await;
        for caller in 0..each {
            let connection = connection.clone();
            callers.push(tokio::spawn(async move {
                let mut fates = Vec::new();
                while began.elapsed() < time {
                    let text = words(8, caller);
                    let outcome = infer(&connection, raw("minilm", &[("text", texts(&[text]))]));
                    let outcome = outcome.await;
                    let wait = outcome.as_ref().err();
                    let wait = wait.and_then(|e| motet_runtime::status::read(e).retry_after);
                    fates.push(outcome);
                    tokio::time::sleep(wait.unwrap_or_default()).await;
                }
                fates
            }));
        }
    }
    let mut fates = Fates::default();
    for caller in callers {
        for outcome in caller.await.expect("a caller") {
            fates.count(&outcome);
        }
    }
    let rate = fates.of("OK") as f64 / began.elapsed().as_secs_f64();
    Outcome::told(format!("{fates}: {rate:.0}/s"))
}

async fn long_documents(target: Target) -> Outcome {
    // 166,000 words of the mixture are 1 MB.
    let documents = target.size.of(2, 42);
    let documents: Vec<_> = (0..documents).map(|salt| words(166_000, salt)).collect();
    let connection = Connection::open(target.ready.grpc).await;
    let started = Instant::now();
    let mut fates = Fates::default();
    fates.count(&infer(&connection, raw("chunker", &[("text", texts(&documents))])).await);
    Outcome::told(format!(
        "{fates} in {:.1} s",
        started.elapsed().as_secs_f64()
    ))
}

async fn wrong_keys(target: Target) -> Outcome {
    const CONNECTIONS: usize = 4;
    const PAUSE: Duration = Duration::from_millis(4);
    let end = Instant::now()
        + target
            .size
            .of(Duration::from_secs(1), Duration::from_secs(20));
    let (mut fates, mut calls) = (Fates::default(), 0);
    let callers = (0..CONNECTIONS).map(|_| async {
        let connection = Connection::open(target.ready.grpc).await;
        let mut outcomes = Vec::new();
        let mut ticks = tokio::time::interval(PAUSE);
        for number in 0.. {
            if Instant::now() >= end {
                break;
            }
            ticks.tick().await;
            let credential = match number % 2 {
                0 => format!("Bearer motet_wrong_{number}"),
                _ => format!("Bearer eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJ4In0.{number:086}"),
            };
            let text = words(100, number);
            let mut request = tonic::Request::new(raw("minilm", &[("text", texts(&[text]))]));
            let credential = credential.parse().expect("a header");
            request.metadata_mut().insert("authorization", credential);
            let answer = connection.inference().model_infer(request).await;
            outcomes.push(answer.map(drop));
        }
        outcomes
    });
    for outcome in futures::future::join_all(callers).await.concat() {
        fates.count(&outcome);
        calls += 1;
    }
    let refused = fates.of("Unauthenticated NOT_AUTHENTICATED");
    Outcome::told(fates.to_string())
        .fault_unless(refused == calls, || format!("wrong credentials: {fates}"))
}
