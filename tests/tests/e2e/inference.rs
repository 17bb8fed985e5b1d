//! The Open Inference Protocol at the gateway, for pipelines and models.

use motet_proto::Tensor;
use motet_proto::inference::*;
use motet_proto::oip;
use motet_tests::in_process;
use motet_tests::tensors::{floats, max_difference, output, raw, texts, typed};
use motet_tests::{connection::Connection, repository};

use crate::motet;
use crate::rag::{PASSAGES, QUESTIONS};

/// The dimensions of an embedding of the built-in model.
const SIZE: usize = 384;

async fn infer(connection: &Connection, request: ModelInferRequest) -> ModelInferResponse {
    let name = request.model_name.clone();
    let answer = connection.inference().model_infer(request).await;
    answer
        .unwrap_or_else(|e| panic!("{name}: {e}"))
        .into_inner()
}

#[tokio::test]
async fn a_pipeline_is_a_model() {
    let connection = in_process::connect().await;
    let (question, passage) = QUESTIONS[0];
    let mut request = raw(
        "rag",
        &[
            ("query", texts(&[question])),
            ("documents", texts(&PASSAGES)),
            ("top_n", Tensor::scalar(2_i64)),
        ],
    );
    request.id = "one".to_owned();
    let answer = infer(&connection, request).await;
    assert_eq!(
        (&*answer.model_name, &*answer.model_version, &*answer.id),
        ("rag", "1", "one")
    );
    assert_eq!(answer.raw_output_contents.len(), 3, "raw in, raw out");
    let index = output(&answer, "results.index");
    assert_eq!(
        (index.element().oip_name(), index.shape()),
        ("INT32", &[2][..])
    );
    assert_eq!(index.values::<i32>().expect("integers")[0], passage as i32);
    let scores = floats(&answer, "results.score");
    assert!(scores[0] >= scores[1]);
    let text = output(&answer, "results.text").into_text(motet_proto::ElementType::String);
    let text = text.expect("UTF-8");
    let text: Vec<&str> = text.as_strings().expect("texts").texts().collect();
    assert_eq!(text[0], PASSAGES[passage]);

    // With typed contents, and the default of top_n.
    let question = [question];
    let request = typed(
        "rag",
        &[("query", &question[..]), ("documents", &PASSAGES[..])],
    );
    let answer = infer(&connection, request).await;
    assert!(answer.raw_output_contents.is_empty(), "typed in, typed out");
    assert_eq!(output(&answer, "results.index").shape(), [5]);
    assert_eq!(floats(&answer, "results.score")[..2], scores);
}

#[tokio::test]
async fn only_requested_outputs_are_sent() {
    let connection = in_process::connect().await;
    let mut request = raw(
        "rag",
        &[("query", texts(&["x"])), ("documents", texts(&["a", "b"]))],
    );
    let name = "results.score".to_owned();
    request.outputs = vec![model_infer_request::InferRequestedOutputTensor {
        name,
        ..Default::default()
    }];
    let answer = infer(&connection, request).await;
    let names: Vec<&str> = answer.outputs.iter().map(|o| &*o.name).collect();
    assert_eq!(names, ["results.score"]);
}

#[tokio::test]
async fn a_model_answers_by_its_own_name() {
    let connection = in_process::connect().await;
    let from_raw = infer(&connection, raw("minilm", &[("text", texts(&PASSAGES))])).await;
    let from_typed = infer(&connection, typed("minilm", &[("text", &PASSAGES[..])])).await;
    assert_eq!(
        output(&from_raw, "embedding").shape(),
        [PASSAGES.len(), SIZE]
    );
    let embeddings = floats(&from_raw, "embedding");
    assert!(max_difference(&embeddings, &floats(&from_typed, "embedding")) < 1e-5);
    for row in embeddings.chunks(SIZE) {
        let norm: f32 = row.iter().map(|x| x * x).sum();
        assert!((norm - 1.0).abs() < 1e-4, "normalized: {norm}");
    }
    // One text alone, one text twice in a batch.
    for (at, passage) in PASSAGES.iter().enumerate() {
        let alone = infer(&connection, raw("minilm", &[("text", texts(&[passage]))])).await;
        let row = &embeddings[at * SIZE..][..SIZE];
        assert!(
            max_difference(row, &floats(&alone, "embedding")) < 1e-5,
            "{passage}"
        );
    }
    let empty = infer(&connection, raw("minilm", &[("text", texts::<&str>(&[]))])).await;
    assert_eq!(output(&empty, "embedding").shape(), [0, SIZE]);
}

/// The texts include empty, long and unusual ones. The gateway and a model service of its own
/// process return the same vectors.
#[tokio::test]
async fn embeddings_equal_those_of_sentence_transformers() {
    let folder = repository().join("tests/expected");
    let page = std::fs::read_to_string(folder.join("embeddings.json")).expect("the texts");
    let page: serde_json::Value = serde_json::from_str(&page).expect("JSON");
    let awkward: Vec<&str> = page["texts"]
        .as_array()
        .expect("texts")
        .iter()
        .filter_map(|text| text.as_str())
        .collect();
    let expected = std::fs::read(folder.join("embeddings.f32")).expect("the numbers");
    let expected: Vec<f32> = expected
        .chunks_exact(4)
        .map(|four| f32::from_le_bytes(four.try_into().expect("four bytes")))
        .collect();
    assert_eq!(expected.len(), awkward.len() * SIZE);

    let mut service = motet(["serve", "--model", "minilm"])
        .on_free_ports()
        .start();
    let gateway = in_process::connect().await;
    let direct = service.connect().await;
    let embed = async |connection, texts: &[&str]| {
        let answer = infer(connection, raw("minilm", &[("text", self::texts(texts))])).await;
        floats(&answer, "embedding")
    };
    // A few at a time: other tests use the same model.
    let mut through = Vec::new();
    for some in awkward.chunks(20) {
        through.extend(embed(&gateway, some).await);
    }
    let direct = embed(&direct, &awkward[..40]).await;
    let to_expected = max_difference(&through, &expected);
    assert!(
        to_expected < 2e-3,
        "largest difference to sentence-transformers: {to_expected}"
    );
    let to_direct = max_difference(&through[..direct.len()], &direct);
    assert!(
        to_direct < 1e-5,
        "largest difference to the service itself: {to_direct}"
    );
}

#[tokio::test]
async fn a_response_states_its_cost() {
    let answer = infer(
        &in_process::connect().await,
        raw("minilm", &[("text", texts(&["a", "b"]))]),
    )
    .await;
    let number = |name| {
        let number = oip::integer_parameter(&answer.parameters, name);
        number
            .expect("a number")
            .unwrap_or_else(|| panic!("no {name}"))
    };
    assert!(number(oip::cost::COMPUTE_US) > 0);
    assert!(number(oip::cost::QUEUE_US) >= 0);
    assert!(number(oip::cost::BATCH_ROWS) >= 2);
}

#[tokio::test]
async fn metadata_and_configuration_describe_the_tensors() {
    let mut client = in_process::connect().await.inference();
    #[rustfmt::skip]
    let cases = [
        ("rag", "motet_pipeline",
            vec!["query BYTES [1]", "documents BYTES [-1]", "top_n INT64 [1]"],
            vec!["results.index INT32 [-1]", "results.score FP32 [-1]", "results.text BYTES [-1]"]),
        ("minilm", "", vec!["text BYTES [-1]"], vec!["embedding FP32 [-1, 384]"]),
        ("reranker", "", vec!["query BYTES [1]", "text BYTES [-1]"], vec!["score FP32 [-1]"]),
        ("chunker", "", vec!["text BYTES [-1]"],
            vec!["text BYTES [-1]", "source INT32 [-1]", "start INT32 [-1]",
                "end INT32 [-1]", "tokens INT32 [-1]"]),
    ];
    for (name, platform, inputs, outputs) in cases {
        let request = ModelMetadataRequest {
            name: name.to_owned(),
            ..Default::default()
        };
        let metadata = client
            .model_metadata(request)
            .await
            .expect("metadata")
            .into_inner();
        assert_eq!(
            (&*metadata.name, &metadata.versions[..]),
            (name, &["1".to_owned()][..])
        );
        assert!(
            !metadata.platform.is_empty() && (platform.is_empty() || platform == metadata.platform)
        );
        let tensors = |tensors: &[model_metadata_response::TensorMetadata]| -> Vec<String> {
            let text = |t: &model_metadata_response::TensorMetadata| {
                format!("{} {} {:?}", t.name, t.datatype, t.shape)
            };
            tensors.iter().map(text).collect()
        };
        assert_eq!(tensors(&metadata.inputs), inputs, "{name}");
        assert_eq!(tensors(&metadata.outputs), outputs, "{name}");

        let request = ModelConfigRequest {
            name: name.to_owned(),
            ..Default::default()
        };
        let config = client
            .model_config(request)
            .await
            .expect("a config")
            .into_inner();
        let config = config.config.expect("a config");
        assert_eq!((&*config.name, config.max_batch_size), (name, 0));
        let type_name = |data_type: i32| {
            let data_type = DataType::try_from(data_type).expect("a type");
            data_type
                .as_str_name()
                .trim_start_matches("TYPE_")
                .replace("STRING", "BYTES")
        };
        let described = |name: &str, data_type, dims: &[i64]| {
            format!("{name} {} {dims:?}", type_name(data_type))
        };
        let of_inputs: Vec<_> = config
            .input
            .iter()
            .map(|i| described(&i.name, i.data_type, &i.dims))
            .collect();
        let of_outputs: Vec<_> = config
            .output
            .iter()
            .map(|o| described(&o.name, o.data_type, &o.dims))
            .collect();
        assert_eq!(
            (of_inputs, of_outputs),
            (tensors(&metadata.inputs), tensors(&metadata.outputs))
        );
        assert!(!config.model_transaction_policy.expect("a policy").decoupled);

        let request = ModelReadyRequest {
            name: name.to_owned(),
            ..Default::default()
        };
        assert!(
            client
                .model_ready(request)
                .await
                .expect("an answer")
                .into_inner()
                .ready
        );
    }
    let live = client
        .server_live(ServerLiveRequest {})
        .await
        .expect("an answer");
    let ready = client
        .server_ready(ServerReadyRequest {})
        .await
        .expect("an answer");
    assert!(live.into_inner().live && ready.into_inner().ready);
    let server = client
        .server_metadata(ServerMetadataRequest {})
        .await
        .expect("metadata")
        .into_inner();
    assert_eq!(
        (&*server.name, &*server.version),
        ("motet", env!("CARGO_PKG_VERSION"))
    );
}

#[tokio::test]
async fn the_index_lists_pipelines_and_models() {
    let mut client = in_process::connect().await.inference();
    let index = client
        .repository_index(RepositoryIndexRequest::default())
        .await;
    let index = index.expect("an index").into_inner().models;
    let names: Vec<(&str, &str)> = index.iter().map(|m| (&*m.name, &*m.state)).collect();
    for name in ["rag", "chunker", "minilm", "reranker"] {
        assert!(names.contains(&(name, "READY")), "{names:?}");
    }
}

#[tokio::test]
async fn statistics_count_answers_and_failures() {
    // A process of its own: other tests call the shared one.
    let mut process = motet(["serve", "--model", "minilm"])
        .on_free_ports()
        .start();
    let connection = process.connect().await;
    let mut client = connection.inference();
    for rows in [1, 3] {
        infer(
            &connection,
            raw("minilm", &[("text", texts(&vec!["a"; rows]))]),
        )
        .await;
    }
    let wrong = raw("minilm", &[("txt", texts(&["a"]))]);
    client.model_infer(wrong).await.expect_err("no such tensor");
    let request = ModelStatisticsRequest {
        name: "minilm".to_owned(),
        ..Default::default()
    };
    let statistics = client
        .model_statistics(request)
        .await
        .expect("statistics")
        .into_inner();
    let [model] = &statistics.model_stats[..] else {
        panic!("{statistics:?}")
    };
    assert_eq!((&*model.name, model.inference_count), ("minilm", 4), "rows");
    let times = model.inference_stats.as_ref().expect("times");
    let count = |duration: &Option<StatisticDuration>| duration.as_ref().map(|d| d.count);
    assert_eq!(
        (count(&times.success), count(&times.fail)),
        (Some(2), Some(1))
    );
    assert!(times.compute_infer.as_ref().is_some_and(|d| d.ns > 0));
    assert!(
        model.batch_stats.iter().any(|batch| batch.batch_size == 3),
        "{model:?}"
    );
    assert!(model.last_inference > 0);
}

#[tokio::test]
async fn a_pipelines_statistics_count_both_surfaces() {
    let connection = in_process::connect().await;
    let count = async || {
        let request = ModelStatisticsRequest {
            name: "rag".to_owned(),
            ..Default::default()
        };
        let answer = connection.inference().model_statistics(request).await;
        let answer = answer.expect("statistics").into_inner();
        answer.model_stats[0].inference_count
    };
    let before = count().await;
    infer(
        &connection,
        raw(
            "rag",
            &[("query", texts(&["x"])), ("documents", texts(&["a"]))],
        ),
    )
    .await;
    let rag = crate::rag::rag(&connection).await;
    rag.call("Run", serde_json::json!({"query": "x"}))
        .await
        .expect("an answer");
    assert!(count().await >= before + 2);
}

#[tokio::test]
async fn a_stream_of_the_protocol_answers_each_request() {
    let connection = in_process::connect().await;
    let mut good = raw("minilm", &[("text", texts(&["a"]))]);
    good.id = "good".to_owned();
    let mut bad = raw("nothing", &[("text", texts(&["a"]))]);
    bad.id = "bad".to_owned();
    let mut pipeline = raw(
        "rag",
        &[("query", texts(&["x"])), ("documents", texts(&["a"]))],
    );
    pipeline.id = "pipeline".to_owned();
    let requests = tokio_stream::iter([bad, good, pipeline]);
    let answers = connection.inference().model_stream_infer(requests).await;
    let mut answers = answers.expect("a stream").into_inner();
    let mut seen = std::collections::BTreeMap::new();
    while let Some(answer) = answers.message().await.expect("no error") {
        let response = answer.infer_response.unwrap_or_default();
        seen.insert(
            response.id.clone(),
            (answer.error_message, response.outputs.len()),
        );
    }
    assert_eq!(seen["good"], (String::new(), 1));
    assert_eq!(seen["pipeline"], (String::new(), 3));
    assert!(seen["bad"].0.contains("nothing"), "{seen:?}");
}
