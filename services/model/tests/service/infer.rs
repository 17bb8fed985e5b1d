//! Responses have the results of the models crate, in the form of the request.

use std::sync::{Arc, OnceLock};

use motet_models::{
    Chunker, ChunkerOptions, DeviceSpec, Head, ModelFiles, Pooling, Precision, RowInput,
    TextEncoder, ThreadTeam, Tokenizer, Values, maxsim,
};
use motet_proto::Tensor;
use motet_proto::inference::model_infer_request::{InferInputTensor, InferRequestedOutputTensor};
use motet_proto::inference::{InferTensorContents, ModelInferRequest};
use motet_proto::oip::{cost, integer_parameter, parameter};

use crate::harness::*;

/// Awkward texts, none of which may fail.
const TEXTS: [&str; 8] = [
    "How do vaccines work?",
    "",
    " \t\n ",
    "\u{0}\u{7}\u{1b}[1mbold\u{200b}",
    "👩‍🚀🎶🎶 emoji",
    "日本語の文章です。次の文。",
    "Zürich — naïve café, ﬁn",
    "a",
];

struct Reference {
    tokenizer: Arc<Tokenizer>,
    encoder: TextEncoder,
}

fn reference() -> &'static Reference {
    static REFERENCE: OnceLock<Reference> = OnceLock::new();
    REFERENCE.get_or_init(|| {
        let files = ModelFiles::open(&"builtin:all-minilm-l6-v2".parse().unwrap()).unwrap();
        let device = DeviceSpec::Cpu.open().unwrap();
        Reference {
            tokenizer: Arc::new(Tokenizer::load(&files).unwrap()),
            encoder: TextEncoder::load(&files, &device, Precision::F32).unwrap(),
        }
    })
}

impl Reference {
    fn encode(&self, text: &str, max_tokens: usize, head: &Head) -> Values {
        let ids = self.tokenizer.encode_within(text, max_tokens).unwrap();
        let threads = ThreadTeam::current_or_default().unwrap();
        let head = self.encoder.load_head(head).unwrap();
        let row = RowInput::from(&ids);
        let mut rows = self.encoder.encode(&[row], &head, &threads).unwrap();
        rows.remove(0).unwrap()
    }
}

fn floats(tensor: &Tensor) -> Vec<f32> {
    tensor.values::<f32>().unwrap().into_owned()
}

fn ints(tensor: &Tensor) -> Vec<i32> {
    tensor.values::<i32>().unwrap().into_owned()
}

#[test]
fn embeddings_equal_those_of_each_text_alone() {
    block_on(async {
        let long = "word ".repeat(5000);
        let given: Vec<&str> = TEXTS.iter().copied().chain([long.as_str()]).collect();
        let own = &reference().encoder.config().head;
        for (model, head) in [("minilm", own), ("cls", &Head::pooled(Pooling::Cls))] {
            let response = infer(request(model, &[texts(&given)])).await;
            let embedding = output(&response, "embedding");
            assert_eq!(embedding.shape(), [given.len(), 384]);
            let expected = given.iter().flat_map(|text| {
                let row = reference().encode(text, 256, head);
                row.into_vec()
            });
            assert_close(&floats(&embedding), &expected.collect::<Vec<_>>());
        }
    });
}

#[test]
fn token_vectors_come_with_their_rows() {
    block_on(async {
        let response = infer(request("tokens", &[texts(&TEXTS)])).await;
        let rows = ints(&output(&response, "row"));
        let embedding = output(&response, "embedding");
        assert_eq!(embedding.shape(), [rows.len(), 384]);
        let mut expected = Vec::new();
        let mut expected_rows = Vec::new();
        for (number, text) in (0..).zip(TEXTS) {
            let vectors = reference().encode(text, 8, &Head::tokens().normalized(true));
            assert!((2..=8).contains(&vectors.rows()));
            expected_rows.extend(vec![number; vectors.rows()]);
            expected.extend(vectors.into_vec());
        }
        assert_eq!(rows, expected_rows);
        assert_close(&floats(&embedding), &expected);
    });
}

#[test]
fn the_best_answer_scores_highest() {
    block_on(async {
        let question = "how do vaccines work";
        let answers = [
            "The stock market fell on Monday.",
            "A vaccine shows the immune system a harmless part of a germ, so that it learns to \
             fight it.",
            "Bread needs flour, water, salt and yeast.",
        ];
        let inputs = [query(question), texts(&answers)];
        let score = output(&infer(request("reranker", &inputs)).await, "score");
        assert_eq!(score.shape(), [3]);
        let score = floats(&score);
        assert!(score[1] > score[0] && score[1] > score[2], "{score:?}");
        let head = Head::tokens().normalized(true);
        let vectors = |text| reference().encode(text, 256, &head);
        let expected = answers.map(|text| maxsim(&vectors(question), &vectors(text)));
        assert_close(&score, &expected);
        let awkward = [query(""), texts(&TEXTS)];
        let score = floats(&output(
            &infer(request("reranker", &awkward)).await,
            "score",
        ));
        assert!(
            score.iter().all(|s| (-1.01..=1.01).contains(s)),
            "{score:?}"
        );
    });
}

type Column = fn(&motet_models::Chunk) -> usize;

#[test]
fn chunks_equal_those_of_the_chunker() {
    let text = "The wing lifts. The tail steers, and the engine pushes!\n\n".repeat(40);
    let given = [text.as_str(), "", "Короткий текст 日本"];
    let check = |parameters: &[(&str, i64)], max_tokens: usize, overlap: usize| {
        let mut request = request("chunker", &[texts(&given)]);
        let parameters = parameters.iter();
        request.parameters = parameters
            .map(|(name, value)| ((*name).to_owned(), parameter(*value)))
            .collect();
        let response = block_on(infer(request));
        let options = ChunkerOptions {
            max_tokens,
            overlap,
        };
        let chunker = Chunker::new(reference().tokenizer.clone(), options).unwrap();
        let expected: Vec<_> = (0..)
            .zip(given)
            .flat_map(|(source, text)| {
                let chunks = chunker.split(text).unwrap();
                chunks.into_iter().map(move |chunk| (source, chunk))
            })
            .collect();
        assert!(expected.len() > 3);
        let found = output(&response, "text");
        let found: Vec<&str> = found.as_strings().unwrap().texts().collect();
        let pieces: Vec<&str> = expected.iter().map(|(_, c)| c.text.as_str()).collect();
        assert_eq!(found, pieces);
        let columns: [(&str, Column); 3] = [
            ("start", |c| c.start),
            ("end", |c| c.end),
            ("tokens", |c| c.tokens),
        ];
        for (name, column) in columns {
            let column: Vec<i32> = expected.iter().map(|(_, c)| column(c) as i32).collect();
            assert_eq!(ints(&output(&response, name)), column, "{name}");
        }
        let sources: Vec<i32> = expected.iter().map(|(source, _)| *source).collect();
        assert_eq!(ints(&output(&response, "source")), sources);
    };
    check(&[], 128, 16);
    check(&[("max_tokens", 32), ("overlap", 8)], 32, 8);
    check(&[("max_tokens", 8), ("overlap", 0)], 8, 0);
    // The default overlap shrinks with the chunks.
    check(&[("max_tokens", 20)], 20, 10);
    check(&[("max_tokens", 254), ("overlap", 127)], 254, 127);
}

#[test]
fn a_call_without_texts_has_empty_outputs() {
    block_on(async {
        let none = || texts(&[]);
        let cases = [
            ("minilm", vec![none()], vec![("embedding", vec![0, 384])]),
            (
                "tokens",
                vec![none()],
                vec![("embedding", vec![0, 384]), ("row", vec![0])],
            ),
            (
                "reranker",
                vec![query("q"), none()],
                vec![("score", vec![0])],
            ),
            (
                "chunker",
                vec![none()],
                ["text", "source", "start", "end", "tokens"]
                    .map(|name| (name, vec![0]))
                    .to_vec(),
            ),
        ];
        for (model, inputs, outputs) in cases {
            let response = infer(request(model, &inputs)).await;
            for (name, shape) in outputs {
                assert_eq!(output(&response, name).shape(), shape, "{model}.{name}");
            }
        }
    });
}

/// Like `request`, with the elements in typed lists.
fn typed(model: &str, inputs: &[(&str, &[&str])]) -> ModelInferRequest {
    let input = |(name, texts): &(&str, &[&str])| InferInputTensor {
        name: (*name).to_owned(),
        datatype: "BYTES".to_owned(),
        shape: vec![texts.len() as i64],
        contents: Some(InferTensorContents {
            bytes_contents: texts.iter().map(|t| t.as_bytes().to_vec().into()).collect(),
            ..InferTensorContents::default()
        }),
        ..InferInputTensor::default()
    };
    ModelInferRequest {
        model_name: model.to_owned(),
        inputs: inputs.iter().map(input).collect(),
        ..ModelInferRequest::default()
    }
}

#[test]
fn a_response_has_the_form_of_its_request() {
    block_on(async {
        for model in ["minilm", "chunker"] {
            let raw = infer(request(model, &[texts(&TEXTS)])).await;
            let lists = infer(typed(model, &[("text", &TEXTS)])).await;
            assert!(lists.raw_output_contents.is_empty());
            assert_eq!(raw.raw_output_contents.len(), raw.outputs.len());
            assert!(raw.outputs.iter().all(|tensor| tensor.contents.is_none()));
            for tensor in &raw.outputs {
                let (raw, lists) = (output(&raw, &tensor.name), output(&lists, &tensor.name));
                assert_eq!(raw.shape(), lists.shape());
                match raw.values::<f32>() {
                    Ok(values) => assert_close(&values, &floats(&lists)),
                    Err(_) => assert_eq!(raw, lists, "{model}.{}", tensor.name),
                }
            }
        }
    });
}

#[test]
fn a_response_has_only_the_outputs_asked_for() {
    block_on(async {
        let mut request = request("chunker", &[texts(&TEXTS)]);
        request.id = "seven".to_owned();
        request.model_version = "1".to_owned();
        request.outputs = ["tokens", "text"]
            .map(|name| InferRequestedOutputTensor {
                name: name.to_owned(),
                ..InferRequestedOutputTensor::default()
            })
            .to_vec();
        let response = infer(request).await;
        let names: Vec<&str> = response.outputs.iter().map(|t| t.name.as_str()).collect();
        assert_eq!(names, ["tokens", "text"]);
        assert_eq!(response.raw_output_contents.len(), 2);
        assert_eq!(
            (response.id.as_str(), response.model_version.as_str()),
            ("seven", "1")
        );
        assert_eq!(response.model_name, "chunker");
    });
}

#[test]
fn a_response_states_its_cost() {
    block_on(async {
        let response = infer(request("minilm", &[texts(&["one", "two"])])).await;
        let cost = |name| {
            integer_parameter(&response.parameters, name)
                .unwrap()
                .unwrap()
        };
        assert!(cost(cost::COMPUTE_US) > 0 && cost(cost::QUEUE_US) >= 0);
        // Rows of other tests may share the batch.
        assert!(cost(cost::BATCH_ROWS) >= 2 && cost(cost::BATCH_TOKENS) >= 6);
        let response = infer(request("chunker", &[texts(&["one"])])).await;
        assert!(response.parameters.contains_key(cost::COMPUTE_US));
        assert!(!response.parameters.contains_key(cost::BATCH_ROWS));
    });
}

#[test]
fn parameters_of_triton_clients_are_accepted() {
    block_on(async {
        let mut request = request("minilm", &[texts(&["one"])]);
        request.parameters = [
            ("priority".to_owned(), parameter(7u64)),
            ("timeout".to_owned(), parameter(30_000_000i64)),
            (
                "triton_enable_empty_final_response".to_owned(),
                parameter(true),
            ),
        ]
        .into();
        infer(request).await;
    });
}
