//! `motet.v1.Pipelines`: pipelines are listed, described, loaded and unloaded.

use motet_proto::v1::{DescribeRequest, ExplainRequest, ListRequest, LoadRequest, UnloadRequest};
use motet_runtime::status;
use motet_tests::connection::Connection;
use motet_tests::reflected::{Service, Version, services};
use motet_tests::tensors::{raw, texts};
use motet_tests::{in_process, wait::soon};
use serde_json::json;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;

fn load(yaml: &str) -> LoadRequest {
    LoadRequest {
        yaml: yaml.to_owned(),
    }
}

#[tokio::test]
async fn pipelines_are_listed_described_and_explained() {
    let mut client = in_process::connect().await.pipelines();
    let list = client
        .list(ListRequest {})
        .await
        .expect("a list")
        .into_inner()
        .pipelines;
    let rag = list
        .iter()
        .find(|p| p.name == "rag")
        .expect("the built-in one");
    assert_eq!((rag.version, &*rag.service), (1, crate::rag::RAG));
    assert!(!rag.description.is_empty());

    let name = "rag".to_owned();
    let described = client
        .describe(DescribeRequest { name: name.clone() })
        .await;
    let described = described.expect("known").into_inner();
    assert_eq!(described.pipeline.as_ref(), Some(rag));
    let ports = |ports: &[motet_proto::v1::Port]| -> Vec<String> {
        ports
            .iter()
            .map(|p| format!("{}: {} = {}", p.name, p.r#type, p.default))
            .collect()
    };
    assert_eq!(
        ports(&described.inputs),
        [
            "query: string = ",
            "documents: string[N] = ",
            "top_n: int = 5"
        ]
    );
    let outputs: Vec<&str> = described.outputs.iter().map(|p| &*p.name).collect();
    assert_eq!(outputs, ["results.index", "results.score", "results.text"]);

    let explained = client
        .explain(ExplainRequest { name })
        .await
        .expect("known")
        .into_inner();
    let nodes: Vec<String> = explained
        .nodes
        .iter()
        .map(|n| format!("{} ({}) after {:?}", n.name, n.kind, n.after))
        .collect();
    for expected in [
        r#"chunks (model chunker) after []"#,
        r#"d (model minilm) after ["chunks"]"#,
        r#"q (model minilm) after []"#,
        r#"best (op topk) after ["rank"]"#,
    ] {
        assert!(
            nodes.iter().any(|n| n == expected),
            "{expected} in {nodes:#?}"
        );
    }
    assert!(explained.dot.starts_with("digraph rag {") && explained.dot.contains("chunks -> d"));

    for error in [
        client
            .describe(DescribeRequest {
                name: "nothing".to_owned(),
            })
            .await
            .expect_err("unknown"),
        client
            .explain(ExplainRequest {
                name: "nothing".to_owned(),
            })
            .await
            .expect_err("unknown"),
        client
            .unload(UnloadRequest {
                name: "nothing".to_owned(),
            })
            .await
            .expect_err("unknown"),
    ] {
        assert_eq!(error.code(), Code::NotFound);
        assert!(
            error.message().contains("nothing") && error.message().contains("rag"),
            "{error}"
        );
    }
}

/// Returns the text of a pipeline with this name that embeds one text.
fn embed(name: &str, output: &str) -> String {
    format!(
        "pipeline: {name}\n\
         inputs: {{ text: string }}\n\
         nodes:\n  e: {{ model: minilm, in: {{ text: $text }} }}\n\
         outputs: {{ {output}: $e.embedding }}\n"
    )
}

async fn health(connection: &Connection, name: &str) -> Result<ServingStatus, Code> {
    let service = name.to_owned();
    let answer = connection
        .health()
        .check(HealthCheckRequest { service })
        .await;
    answer
        .map(|a| a.into_inner().status())
        .map_err(|e| e.code())
}

#[tokio::test]
async fn a_pipeline_is_loaded_called_replaced_and_unloaded() {
    const SERVICE: &str = "motet.pipeline.ComesAndGoes";
    const NAME: &str = "comes_and_goes";
    let connection = in_process::connect().await;
    let mut client = connection.pipelines();
    assert!(Service::learn(&connection, SERVICE).await.is_err());
    assert_eq!(health(&connection, NAME).await, Err(Code::NotFound));

    let loaded = client
        .load(load(&embed(NAME, "vector")))
        .await
        .expect("it is right");
    assert_eq!(
        loaded.into_inner().pipeline.expect("a summary").service,
        SERVICE
    );
    assert_eq!(health(&connection, NAME).await, Ok(ServingStatus::Serving));
    assert_eq!(
        health(&connection, SERVICE).await,
        Ok(ServingStatus::Serving)
    );
    for version in [Version::V1, Version::V1Alpha] {
        assert!(
            services(&connection, version)
                .await
                .iter()
                .any(|s| s == SERVICE)
        );
    }
    let service = Service::learn(&connection, SERVICE)
        .await
        .expect("it is there");
    let answer = service
        .call("Run", json!({"text": "hello"}))
        .await
        .expect("an answer");
    assert_eq!(answer["vector"].as_array().map(Vec::len), Some(384));
    let over_oip = raw(NAME, &[("text", texts(&["hello"]))]);
    let over_oip = connection.inference().model_infer(over_oip.clone()).await;
    assert_eq!(
        over_oip.expect("a model too").into_inner().outputs[0].name,
        "vector"
    );

    // The connection outlives the replacement.
    client
        .load(load(&embed(NAME, "direction")))
        .await
        .expect("it is right");
    let service = Service::learn(&connection, SERVICE)
        .await
        .expect("it is there");
    let answer = service
        .call("Run", json!({"text": "hello"}))
        .await
        .expect("an answer");
    assert!(answer.get("vector").is_none() && answer.get("direction").is_some());

    // An open stream outlives its pipeline, and ends when its client ends it: each request runs on
    // what is served when it comes.
    let (sender, requests) = tokio::sync::mpsc::unbounded_channel();
    let requests = tokio_stream::wrappers::UnboundedReceiverStream::new(requests);
    let stream = service
        .stream("RunStream", tonic::Request::new(requests))
        .await;
    let mut stream = stream.expect("a stream");
    client
        .unload(UnloadRequest {
            name: NAME.to_owned(),
        })
        .await
        .expect("it is there");
    sender
        .send(service.message("RunStream", &json!({"text": "still", "request_id": "7"})))
        .expect("open");
    let unloaded = soon("the answer", stream.next())
        .await
        .expect("no error")
        .expect("an answer");
    assert_eq!(unloaded["error"]["code"], 5, "{unloaded}");
    assert_eq!(unloaded["request_id"], "7", "{unloaded}");
    client
        .load(load(&embed(NAME, "direction")))
        .await
        .expect("it is right");
    sender
        .send(service.message("RunStream", &json!({"text": "again"})))
        .expect("open");
    drop(sender);
    let last = soon("the answer", stream.next())
        .await
        .expect("no error")
        .expect("an answer");
    assert!(last.get("direction").is_some(), "{last}");
    client
        .unload(UnloadRequest {
            name: NAME.to_owned(),
        })
        .await
        .expect("it is there");
    assert!(
        soon("the end", stream.next())
            .await
            .expect("no error")
            .is_none()
    );

    assert_eq!(health(&connection, NAME).await, Err(Code::NotFound));
    assert!(Service::learn(&connection, SERVICE).await.is_err());
    let gone = service
        .call("Run", json!({"text": "hello"}))
        .await
        .expect_err("it is gone");
    assert_eq!(gone.code(), Code::NotFound);
    crate::rag::rag(&connection)
        .await
        .call("Run", json!({"query": "x"}))
        .await
        .expect("still there");
}

#[tokio::test]
async fn a_node_gives_settings_to_its_model() {
    const SERVICE: &str = "motet.pipeline.Settled";
    let connection = in_process::connect().await;
    let pipeline = "pipeline: settled\n\
         inputs:\n  text: string\n  d: { type: int, default: 64, min: 1, max: 384 }\n  \
         prompt: { type: string, default: \"\" }\n\
         nodes:\n  \
         short: { model: minilm, in: { text: $text }, with: { dimensions: 3, truncate: left } }\n  \
         chosen: { model: minilm, in: { text: $text },\n            \
         with: { dimensions: $d, prompt: $prompt, normalize: false } }\n\
         outputs: { short: $short.embedding, chosen: $chosen.embedding }\n";
    let mut client = connection.pipelines();
    client.load(load(pipeline)).await.expect("it is right");
    let service = Service::learn(&connection, SERVICE)
        .await
        .expect("it is there");
    let run = |request| service.call("Run", request);
    let answer = run(json!({"text": "hello"})).await.expect("an answer");
    let length = |name: &str, answer: &serde_json::Value| answer[name].as_array().map(Vec::len);
    assert_eq!(length("short", &answer), Some(3));
    assert_eq!(length("chosen", &answer), Some(64));
    let prompted = json!({"text": "hello", "d": 5, "prompt": "query: "});
    let prompted = run(prompted).await.expect("an answer");
    assert_eq!(length("chosen", &prompted), Some(5));
    assert_ne!(prompted["chosen"][0], answer["chosen"][0]);
    let joined = run(json!({"text": "query: hello"}))
        .await
        .expect("an answer");
    assert_eq!(joined["chosen"][0], prompted["chosen"][0]);
    let wrong = pipeline.replace("truncate: left", "truncate: sideways");
    let error = client.load(load(&wrong)).await.expect_err("no such word");
    assert!(
        error.message().contains("`truncate` must be one of"),
        "{error}"
    );
    let name = "settled".to_owned();
    client.unload(UnloadRequest { name }).await.expect("gone");
}

#[tokio::test]
async fn a_file_with_errors_changes_nothing_and_every_error_is_reported() {
    const NAME: &str = "stays_right";
    let connection = in_process::connect().await;
    let mut client = connection.pipelines();
    client
        .load(load(&embed(NAME, "vector")))
        .await
        .expect("it is right");
    let wrong = "pipeline: stays_right\n\
                 inputs: { text: string, unused: strng }\n\
                 nodes:\n  e: { model: minlm, in: { text: $txt } }\n\
                 outputs: { vector: $e.embeding }\n";
    let error = client.load(load(wrong)).await.expect_err("it is wrong");
    assert_eq!(error.code(), Code::InvalidArgument);
    assert_eq!(status::read(&error).violations[0].0, "yaml");
    for mistake in ["strng", "minlm", "txt", "did you mean"] {
        assert!(
            error.message().contains(mistake),
            "{mistake} in {}",
            error.message()
        );
    }
    let service = Service::learn(&connection, "motet.pipeline.StaysRight").await;
    let answer = service
        .expect("as before")
        .call("Run", json!({"text": "x"}))
        .await;
    assert!(answer.expect("as before").get("vector").is_some());

    for (yaml, code, part) in [
        ("", Code::InvalidArgument, "empty"),
        ("pipeline: [", Code::InvalidArgument, "pipeline"),
        (&embed("minilm", "vector"), Code::AlreadyExists, "minilm"),
        (
            &embed("staysRight", "vector"),
            Code::InvalidArgument,
            "staysRight",
        ),
        (
            &embed("stays__right", "vector"),
            Code::AlreadyExists,
            "stays_right",
        ),
    ] {
        let error = client.load(load(yaml)).await.expect_err(yaml);
        assert_eq!(error.code(), code, "{yaml}: {error}");
        assert!(
            error.message().contains(part),
            "{part} in {}",
            error.message()
        );
    }
    client
        .unload(UnloadRequest {
            name: NAME.to_owned(),
        })
        .await
        .expect("it is there");
}

/// Callers use the new version at once. A version that they could not call is refused, and so is an
/// unload.
#[tokio::test]
async fn a_called_pipeline_is_replaced_under_its_callers() {
    const INNER: &str = "counted_inner";
    const OUTER: &str = "counting_outer";
    let inner = |output: &str, ty: &str, value: &str| {
        format!(
            "pipeline: {INNER}\ninputs: {{ text: string }}\nnodes:\n  \
             n: {{ op: template, in: {{ t: $text }}, with: {{ text: \"{value} {{t}}\" }} }}\n  \
             l: {{ op: length, in: {{ of: [1, 2] }} }}\n\
             outputs: {{ {output}: {ty} }}\n"
        )
    };
    let outer = format!(
        "pipeline: {OUTER}\ninputs: {{ text: string }}\nnodes:\n  \
         i: {{ pipeline: {INNER}, in: {{ text: $text }} }}\noutputs: {{ said: $i.said }}\n"
    );
    let connection = in_process::connect().await;
    let mut client = connection.pipelines();
    let error = client
        .load(load(&outer))
        .await
        .expect_err("nothing to call");
    assert!(error.message().contains(INNER), "{error}");
    client
        .load(load(&inner("said", "$n.out", "one")))
        .await
        .expect("it is right");
    client.load(load(&outer)).await.expect("it is right");
    let service = Service::learn(&connection, "motet.pipeline.CountingOuter").await;
    let service = service.expect("it is there");
    let said = async || {
        let answer = service.call("Run", json!({"text": "x"})).await;
        answer.expect("an answer")["said"].clone()
    };
    assert_eq!(said().await, "one x");
    client
        .load(load(&inner("said", "$n.out", "two")))
        .await
        .expect("called alike");
    assert_eq!(said().await, "two x");

    for (wrong, part) in [
        (inner("told", "$n.out", "three"), OUTER),
        (inner("said", "$l.out", "three"), OUTER),
        (
            format!(
                "pipeline: {INNER}\ninputs: {{ text: string }}\nnodes:\n  \
                 o: {{ pipeline: {OUTER}, in: {{ text: $text }} }}\noutputs: {{ said: $o.said }}\n"
            ),
            "itself",
        ),
    ] {
        let error = client.load(load(&wrong)).await.expect_err(&wrong);
        assert!(error.message().contains(part), "{error}\n{wrong}");
        assert_eq!(said().await, "two x");
    }
    let unload = |name: &str| UnloadRequest {
        name: name.to_owned(),
    };
    let error = client
        .unload(unload(INNER))
        .await
        .expect_err("it is needed");
    assert_eq!(error.code(), Code::FailedPrecondition);
    assert!(error.message().contains(OUTER), "{error}");
    for name in [OUTER, INNER] {
        client.unload(unload(name)).await.expect("it is there");
    }
}
