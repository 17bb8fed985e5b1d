//! Rows that several tasks need, and whose layers are computed once: tasks of one model, and models
//! with the same weights.

use motet_proto::inference::infer_parameter::ParameterChoice;
use motet_proto::inference::model_infer_request::InferRequestedOutputTensor;
use motet_proto::inference::{ModelInferRequest, ModelInferResponse};
use motet_proto::oip::cost::{ROWS_REUSED, TOKENS};
use motet_proto::oip::{integer_parameter, parameter};
use motet_runtime::flow::Flow;
use motet_runtime::health::Health;
use motet_runtime::metrics::Metrics;
use motet_service::ModelServer;

use crate::harness::*;

const TEXT: &str = "The river carries the heat away.";
const TEXTS: [&str; 3] = [TEXT, "", "A wing bends the flow of air down."];

async fn load_models(models: &str) -> (ModelServer, Metrics) {
    let metrics = Metrics::new("test").unwrap();
    let server = load(&format!("models:\n{models}"), &metrics, &Health::new()).await;
    (server, metrics)
}

/// Calls a model for the caller with this flow.
async fn call(server: &ModelServer, caller: u64, request: ModelInferRequest) -> ModelInferResponse {
    let mut client = client_of(server);
    let answer = Flow::new(&[7, caller]).scope(async move { client.model_infer(request).await });
    answer.await.unwrap().into_inner()
}

/// Returns an integer of a response's parameters, 0 where it is not there.
fn number(response: &ModelInferResponse, name: &str) -> i64 {
    integer_parameter(&response.parameters, name)
        .unwrap()
        .unwrap_or(0)
}

fn bits(response: &ModelInferResponse, name: &str) -> Vec<u32> {
    let tensor = output(response, name);
    tensor
        .values::<f32>()
        .unwrap()
        .iter()
        .map(|value| value.to_bits())
        .collect()
}

const PAIR: &str = "
  embedder: { task: embed, source: \"builtin:all-minilm-l6-v2\" }
  reranker: { task: rerank, source: \"builtin:all-minilm-l6-v2\" }
";

fn embed(texts_of: &[&str]) -> ModelInferRequest {
    request("embedder", &[texts(texts_of)])
}

fn rerank(query_text: &str, texts_of: &[&str]) -> ModelInferRequest {
    request("reranker", &[query(query_text), texts(texts_of)])
}

#[test]
fn what_the_embedder_has_encoded_for_a_caller_the_reranker_does_not_encode_again() {
    block_on(async {
        let (server, metrics) = load_models(PAIR).await;
        // Nobody has encoded anything: this is what the answer is.
        let fresh = call(&server, 1, rerank("heat", &TEXTS)).await;
        assert_eq!(number(&fresh, ROWS_REUSED), 0);
        let all = number(&fresh, TOKENS);

        call(&server, 2, embed(&TEXTS)).await;
        let of_other = call(&server, 3, rerank("heat", &TEXTS)).await;
        assert_eq!(number(&of_other, ROWS_REUSED), 0, "of another caller");
        assert_eq!(number(&of_other, TOKENS), all);

        let reused = call(&server, 2, rerank("heat", &TEXTS)).await;
        assert_eq!(number(&reused, ROWS_REUSED), 3);
        assert_eq!(number(&reused, TOKENS), 3, "[CLS] heat [SEP]");
        assert_eq!(bits(&reused, "score"), bits(&fresh, "score"));

        // With other rows between them, and the query known, too.
        call(&server, 4, embed(&[TEXTS[2], "heat"])).await;
        let some = call(&server, 4, rerank("heat", &TEXTS)).await;
        assert_eq!(number(&some, ROWS_REUSED), 2);
        assert_eq!(bits(&some, "score"), bits(&fresh, "score"));
        call(&server, 5, embed(&["heat", TEXTS[0], TEXTS[1], TEXTS[2]])).await;
        let none = call(&server, 5, rerank("heat", &TEXTS)).await;
        assert_eq!((number(&none, ROWS_REUSED), number(&none, TOKENS)), (4, 0));
        assert_eq!(bits(&none, "score"), bits(&fresh, "score"));

        // A model does not answer from what it has encoded itself.
        let again = call(&server, 6, rerank("heat", &TEXTS)).await;
        let again = [again, call(&server, 6, rerank("heat", &TEXTS)).await];
        assert!(again.iter().all(|answer| number(answer, ROWS_REUSED) == 0));

        let page = metrics.render().unwrap();
        let line = r#"motet_model_rows_reused_total{model="reranker"} 9"#;
        assert!(page.contains(line), "{page}");
    });
}

#[test]
fn vectors_are_pooled_from_what_the_reranker_has_encoded_with_the_same_bits() {
    block_on(async {
        let (server, _) = load_models(PAIR).await;
        let fresh = call(&server, 1, embed(&TEXTS)).await;
        call(&server, 2, rerank("heat", &TEXTS)).await;
        let reused = call(&server, 2, embed(&TEXTS)).await;
        assert_eq!(number(&reused, ROWS_REUSED), 3);
        assert_eq!(bits(&reused, "embedding"), bits(&fresh, "embedding"));
        // Cut at another place, they are other rows.
        call(&server, 3, rerank("heat", &TEXTS)).await;
        let mut cut = embed(&TEXTS);
        cut.parameters.insert(
            "max_tokens".to_owned(),
            parameter(ParameterChoice::Int64Param(4)),
        );
        assert_eq!(
            number(&call(&server, 3, cut).await, ROWS_REUSED),
            1,
            "the empty one"
        );
    });
}

#[test]
fn a_model_alone_keeps_nothing() {
    block_on(async {
        let (server, _) = load_models(PAIR.lines().nth(2).unwrap()).await;
        for _ in 0..2 {
            let scores = call(&server, 1, rerank("heat", &TEXTS)).await;
            assert_eq!(number(&scores, ROWS_REUSED), 0);
        }
    });
}

/// A model with three tasks, and one with each of them.
fn three_tasks() -> String {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/sparse/bert");
    let model =
        |name: &str, tasks: &str| format!("  {name}: {{ {tasks}, source: \"file:{folder}\" }}\n");
    [
        model("all", "tasks: [embed, embed_sparse, embed_tokens]"),
        model("embed", "task: embed"),
        model("sparse", "task: embed_sparse"),
        model("tokens", "task: embed_tokens"),
    ]
    .concat()
}

fn wanting(model: &str, outputs: &[&str]) -> ModelInferRequest {
    let outputs = outputs.iter().map(|name| InferRequestedOutputTensor {
        name: (*name).to_owned(),
        ..InferRequestedOutputTensor::default()
    });
    ModelInferRequest {
        outputs: outputs.collect(),
        ..request(model, &[texts(&TEXTS)])
    }
}

#[test]
fn tasks_of_one_model_answer_what_each_answers_alone() {
    block_on(async {
        let (server, metrics) = load_models(&three_tasks()).await;
        let all = call(&server, 1, wanting("all", &[])).await;
        let tokens = number(&all, TOKENS);
        // Callers of their own: what one model has encoded is not used for the other.
        let mut callers = 2..;
        let mut caller = || callers.next().unwrap();
        for (name, model, alone) in [
            ("embedding", "embed", "embedding"),
            ("sparse_index", "sparse", "index"),
            ("sparse_weight", "sparse", "weight"),
            ("sparse_row", "sparse", "row"),
            ("token_embedding", "tokens", "embedding"),
            ("token_row", "tokens", "row"),
        ] {
            let expected = call(&server, caller(), wanting(model, &[])).await;
            assert_eq!(number(&expected, TOKENS), tokens, "one pass has them all");
            let expected = output(&expected, alone);
            assert_eq!(output(&all, name), expected, "{name}");
            // Asked for by itself, it is all that is computed and sent.
            let only = call(&server, caller(), wanting("all", &[name])).await;
            let names: Vec<_> = only
                .outputs
                .iter()
                .map(|output| output.name.as_str())
                .collect();
            assert_eq!(names, [name]);
            assert_eq!(output(&only, name), expected, "{name} by itself");
        }
        let page = metrics.render().unwrap();
        let computed = page
            .lines()
            .find(|line| line.starts_with("motet_batch_tokens_sum{model=\"all\"}"));
        let computed = computed.and_then(|line| line.rsplit_once(' ')).unwrap().1;
        assert_eq!(computed, (7 * tokens).to_string(), "each call is one pass");
    });
}

#[test]
fn a_call_chooses_the_form_of_the_vectors_of_texts_only() {
    block_on(async {
        let (server, _) = load_models(&three_tasks()).await;
        let models = server.models();
        let all = models.iter().find(|model| model.name() == "all");
        let signature = all.unwrap().signature();
        let outputs = signature.outputs.iter();
        let outputs: Vec<_> = outputs
            .map(|port| format!("{}: {}", port.name, port.ty))
            .collect();
        assert_eq!(
            outputs,
            [
                "embedding: float[N,16]",
                "sparse_index: i32[M]",
                "sparse_weight: float[M]",
                "sparse_row: i32[M]",
                "token_embedding: float[T,16]",
                "token_row: i32[T]",
            ]
        );
        let usual = call(&server, 1, wanting("all", &[])).await;
        let mut request = wanting("all", &[]);
        request.parameters.insert(
            "dimensions".to_owned(),
            parameter(ParameterChoice::Int64Param(8)),
        );
        let cut = call(&server, 1, request).await;
        assert_eq!(output(&cut, "embedding").shape(), [3, 8]);
        let (of_tokens, usual) = (
            output(&cut, "token_embedding"),
            output(&usual, "token_embedding"),
        );
        assert_eq!(of_tokens, usual);
    });
}
