//! Settings of a call: tokens, truncation, prompts, and the form of the vectors.

use std::fs;
use std::path::{Path, PathBuf};

use motet_models::architecture::Readout;
use motet_models::{
    DeviceSpec, Head, ModelFiles, Pooling, Precision, RowInput, TextEncoder, ThreadTeam, Tokenizer,
    TruncationSide,
};
use motet_proto::inference::infer_parameter::ParameterChoice;
use motet_proto::inference::{ModelInferRequest, ModelInferResponse, ModelMetadataRequest};
use motet_proto::oip::parameter;
use motet_proto::oip::truncation::{QUERY_TOKENS_CUT, TOKENS_CUT, TOKENS_CUT_AT_LEAST};
use motet_proto::signature::Signature;
use motet_proto::types::{Dim, ElementType};
use motet_runtime::health::Health;
use motet_runtime::metrics::Metrics;
use motet_runtime::status;
use motet_service::ModelServer;
use tokio::sync::OnceCell;
use tonic::{Code, Status};

use crate::harness::*;

/// A model of tests/fixtures with files of its own: 32 values, at most 40 tokens, and its words.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("motet-{name}-{}", std::process::id()));
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/bert");
        fs::create_dir_all(path.join("1_Pooling")).unwrap();
        for file in [
            "config.json",
            "modules.json",
            "1_Pooling/config.json",
            "sentence_bert_config.json",
            "tokenizer.json",
            "tokenizer_config.json",
            "model.safetensors",
        ] {
            fs::copy(from.join(file), path.join(file)).unwrap();
        }
        Self(path)
    }

    fn write(self, file: &str, text: &str) -> Self {
        fs::write(self.0.join(file), text).unwrap();
        self
    }

    fn model(&self, name: &str, task: &str, rest: &str) -> String {
        let source = self.0.display();
        format!("  {name}: {{ task: {task}, source: \"file:{source}\"{rest} }}\n")
    }

    fn files(&self) -> ModelFiles {
        ModelFiles::open(&format!("file:{}", self.0.display()).parse().unwrap()).unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const PROMPTS: &str = r#"{
    "prompts": { "query": "the river: ", "plain": "wing", "document": "" },
    "default_prompt_name": "query"
}"#;
/// All but the default prompt.
const NAMED: &str = r#"{ "prompts": { "query": "the river: ", "plain": "wing", "document": "" } }"#;
const LEFT_OUT: &str =
    r#"{"embedding_dimension": 32, "pooling_mode": "mean", "include_prompt": false}"#;

struct Models {
    /// With [`NAMED`] prompts, cut on the left by its files.
    named: Folder,
    /// With a default prompt, left out of pooling.
    left_out: Folder,
    server: ModelServer,
}

async fn models() -> &'static Models {
    static MODELS: OnceCell<Models> = OnceCell::const_new();
    MODELS
        .get_or_init(|| async {
            let named = Folder::new("named")
                .write("config_sentence_transformers.json", NAMED)
                .write(
                    "tokenizer_config.json",
                    r#"{"model_max_length": 40, "truncation_side": "left"}"#,
                );
            let left_out = Folder::new("left-out")
                .write("config_sentence_transformers.json", PROMPTS)
                .write("1_Pooling/config.json", LEFT_OUT);
            let config = [
                "models:\n",
                &named.model("named", "embed", ""),
                &named.model("by_name", "embed", ", prompt_name: query, truncate: right"),
                &named.model("strict", "embed", ", prompt: \"heat \", truncate: error"),
                &named.model("half", "embed", ", output_dtype: f16"),
                &named.model("bytes", "embed", ", output_dtype: int8"),
                &named.model("bits", "embed", ", output_dtype: binary"),
                &named.model("tokens", "embed_tokens", ""),
                &named.model("ranker", "rerank", ""),
                &left_out.model("left_out", "embed", ""),
            ]
            .concat();
            let metrics = Metrics::new("settings").unwrap();
            let server = load(&config, &metrics, &Health::new()).await;
            Models {
                named,
                left_out,
                server,
            }
        })
        .await
}

type Setting<'a> = (&'a str, ParameterChoice);

fn word(value: &str) -> ParameterChoice {
    value.into()
}

fn number(value: i64) -> ParameterChoice {
    value.into()
}

fn set(mut request: ModelInferRequest, settings: &[Setting<'_>]) -> ModelInferRequest {
    let settings = settings.iter();
    request.parameters = settings
        .map(|(name, value)| ((*name).to_owned(), parameter(value.clone())))
        .collect();
    request
}

async fn call(request: ModelInferRequest) -> Result<ModelInferResponse, Status> {
    let mut client = client_of(&models().await.server);
    Ok(client.model_infer(request).await?.into_inner())
}

fn embed(model: &str, given: &[&str], settings: &[Setting<'_>]) -> ModelInferResponse {
    block_on(call(set(request(model, &[texts(given)]), settings))).unwrap()
}

fn vectors(response: &ModelInferResponse) -> Vec<f32> {
    let tensor = output(response, "embedding");
    tensor.values::<f32>().unwrap().into_owned()
}

/// Returns the vector of one text for these settings.
fn vector(model: &str, text: &str, settings: &[Setting<'_>]) -> Vec<f32> {
    vectors(&embed(model, &[text], settings))
}

/// Returns the pooled vector of a row as the models crate makes it.
fn expected(folder: &Folder, text: &str, limit: usize, side: TruncationSide) -> Vec<f32> {
    let files = folder.files();
    let ids = Tokenizer::load(&files).unwrap();
    let ids = ids.encode_prompted("", text, limit, side).unwrap();
    encoded(&files, RowInput::from(&ids), &files.config().head)
}

fn encoded(files: &ModelFiles, row: RowInput<'_>, head: &Head) -> Vec<f32> {
    let encoder = TextEncoder::load(files, &DeviceSpec::Cpu.open().unwrap(), Precision::F32);
    let encoder = encoder.unwrap();
    let head = encoder.load_head(head).unwrap();
    let team = ThreadTeam::current_or_default().unwrap();
    let mut rows = encoder.encode(&[row], &head, &team).unwrap();
    rows.remove(0).unwrap().into_vec()
}

fn refused(request: ModelInferRequest, code: Code, field: &str, message: &str) {
    let error = block_on(call(request)).unwrap_err();
    assert_eq!(error.code(), code, "{error:?}");
    assert!(error.message().contains(message), "{}", error.message());
    let details = status::read(&error);
    let fields: Vec<&str> = details.violations.iter().map(|(f, _)| f.as_str()).collect();
    assert_eq!(fields, [field], "{error:?}");
}

#[test]
fn a_signature_lists_the_settings_of_a_call() {
    let parameters = |model: &str| -> Vec<(String, String, String)> {
        let request = ModelMetadataRequest {
            name: model.to_owned(),
            version: String::new(),
        };
        let metadata = async {
            let mut client = client_of(&models().await.server);
            client.model_metadata(request).await.unwrap().into_inner()
        };
        let signature = Signature::from_metadata(&block_on(metadata)).unwrap();
        let show = |p: &motet_proto::signature::Parameter| {
            let words = p.one_of.join("|");
            let range = p.min.zip(p.max).map(|(min, max)| format!("{min}..{max}"));
            let default = p.default.as_ref().map(ToString::to_string);
            (
                format!("{}: {}", p.name, p.ty),
                range.unwrap_or(words),
                default.unwrap_or_default(),
            )
        };
        signature.parameters.iter().map(show).collect()
    };
    let check = |model: &str, expected: &[(&str, &str, &str)]| {
        let found = parameters(model);
        let found: Vec<_> = found.iter().map(|(a, b, c)| (&**a, &**b, &**c)).collect();
        assert_eq!(found, expected, "{model}");
    };
    let prompts = ("prompt_name: string", "document|plain|query", "");
    check(
        "named",
        &[
            ("max_tokens: int", "3..40", "40"),
            ("truncate: string", "error|right|left", "\"left\""),
            prompts,
            ("prompt: string", "", "\"\""),
            ("dimensions: int", "1..32", "32"),
            ("normalize: bool", "", "true"),
        ],
    );
    check(
        "ranker",
        &[
            ("max_tokens: int", "3..40", "40"),
            ("truncate: string", "error|right|left", "\"left\""),
            prompts,
            ("prompt: string", "", "\"\""),
        ],
    );
    assert_eq!(parameters("half").len(), 6);
    let bits = parameters("bits");
    assert!(
        bits.iter()
            .all(|(name, ..)| !name.starts_with("dimensions"))
    );
    assert_eq!(bits.len(), 5);
    let strict = parameters("strict");
    assert_eq!(strict[1].2, "\"error\"");
    assert_eq!(strict[3].2, "\"heat \"");
    assert_eq!(parameters("tokens").len(), 6);
}

#[test]
fn tokens_that_are_cut_are_counted_up_to_a_bound_and_the_answer_says_so() {
    let settings = [("max_tokens", number(10)), ("truncate", word("right"))];
    for (words, is_over) in [(100, false), (3000, false), (12_000, true)] {
        let response = embed("named", &["wing", &"heat ".repeat(words)], &settings);
        let said = response.parameters.get(TOKENS_CUT_AT_LEAST).cloned();
        let expected = is_over.then(|| parameter(ParameterChoice::BoolParam(true)));
        assert_eq!(said, expected, "{words}");
        assert!(response.parameters.contains_key(TOKENS_CUT), "{words}");
    }
}

#[test]
fn a_text_is_cut_as_the_call_says_and_the_answer_counts_the_cut_tokens() {
    let folder = block_on(async { &models().await.named });
    let long: Vec<String> = (0..30)
        .map(|at| ["wing", "heat", "flow"][at % 3].to_owned())
        .collect();
    let long = long.join(" ");
    let check =
        |settings: &[Setting<'_>], limit: usize, side: TruncationSide, cut: Option<&str>| {
            let response = embed("named", &["wing flow", &long], settings);
            let both = vectors(&response);
            assert_close(&both[..32], &expected(folder, "wing flow", limit, side));
            assert_close(&both[32..], &expected(folder, &long, limit, side));
            let said = response.parameters.get(TOKENS_CUT).cloned();
            assert_eq!(said, cut.map(parameter), "{settings:?}");
            assert!(!response.parameters.contains_key(QUERY_TOKENS_CUT));
        };
    use TruncationSide::{Left, Right};
    let limit = |tokens| ("max_tokens", number(tokens));
    check(&[], 40, Right, None);
    // The files say that the left side is cut.
    check(&[limit(10)], 10, Left, Some("[0,22]"));
    check(
        &[limit(10), ("truncate", word("right"))],
        10,
        Right,
        Some("[0,22]"),
    );
    check(
        &[limit(4), ("truncate", word("left"))],
        4,
        Left,
        Some("[0,28]"),
    );
    check(
        &[limit(3), ("truncate", word("left"))],
        3,
        Left,
        Some("[1,29]"),
    );
    check(&[limit(32), ("truncate", word("error"))], 32, Right, None);
    assert_ne!(
        vector("named", &long, &[limit(10)]),
        vector("by_name", &long, &[limit(10)])
    );
}

#[test]
fn a_call_that_wants_no_cut_is_refused_with_row_length_and_limit() {
    let strict = |given: &[&str], settings: &[Setting<'_>]| {
        set(request("strict", &[texts(given)]), settings)
    };
    let message = "a row of 6 tokens, special tokens and prompt included; the limit is 5";
    let limit = ("max_tokens", number(5));
    let given = ["wing", "wing flow river"];
    refused(
        strict(&given, std::slice::from_ref(&limit)),
        Code::InvalidArgument,
        "text[1]",
        message,
    );
    block_on(call(strict(
        &given,
        &[limit.clone(), ("truncate", word("left"))],
    )))
    .unwrap();
    block_on(call(strict(&given, &[("max_tokens", number(6))]))).unwrap();
    let pair = [query("wing wing wing wing"), texts(&["wing"])];
    let pair = set(
        request("ranker", &pair),
        &[limit, ("truncate", word("error"))],
    );
    refused(pair, Code::InvalidArgument, "query", "a row of 6 tokens");
}

#[test]
fn a_prompt_and_its_text_are_one_string() {
    let named = |settings: &[Setting<'_>]| vector("named", "flow heat", settings);
    let text = |text: &str| vector("named", text, &[]);
    let prompt = |value: &str| ("prompt", word(value));
    let name = |value: &str| ("prompt_name", word(value));
    assert_eq!(named(&[name("query")]), text("the river: flow heat"));
    assert_eq!(
        named(&[prompt("the river: ")]),
        text("the river: flow heat")
    );
    // Without a space between them they are other words.
    assert_eq!(named(&[name("plain")]), text("wingflow heat"));
    assert_ne!(named(&[name("plain")]), text("wing flow heat"));
    assert_eq!(named(&[prompt("é")]), text("éflow heat"));
    assert_eq!(named(&[name("document")]), text("flow heat"));
    assert_eq!(named(&[]), text("flow heat"));
    // The configuration chooses one, a call another or none.
    let by_name = |settings: &[Setting<'_>]| vector("by_name", "flow heat", settings);
    assert_eq!(by_name(&[]), text("the river: flow heat"));
    assert_eq!(by_name(&[prompt("")]), text("flow heat"));
    assert_eq!(by_name(&[name("plain")]), text("wingflow heat"));
    assert_eq!(vector("strict", "flow", &[]), text("heat flow"));
}

#[test]
fn a_query_has_the_prompt_before_it_and_its_texts_have_none() {
    let score = |question: &str, settings: &[Setting<'_>]| {
        let pair = [query(question), texts(&["flow river", "heat"])];
        let response = block_on(call(set(request("ranker", &pair), settings))).unwrap();
        let cut = response.parameters.get(QUERY_TOKENS_CUT).cloned();
        let score = output(&response, "score");
        (score.values::<f32>().unwrap().into_owned(), cut)
    };
    let prompt = [("prompt_name", word("query"))];
    let (prompted, cut) = score("wing", &prompt);
    assert_eq!((&prompted, cut), (&score("the river: wing", &[]).0, None));
    assert_ne!(prompted, score("wing", &[]).0);
    let short = [("max_tokens", number(4))];
    assert_eq!(score("wing flow heat", &short).1, Some(parameter(1i64)));
}

#[test]
fn a_prompt_that_is_left_out_of_pooling_is_still_attended_to() {
    let folder = block_on(async { &models().await.left_out });
    let files = folder.files();
    let whole = Tokenizer::load(&files)
        .unwrap()
        .encode("the river: flow heat");
    let whole = whole.unwrap();
    let tokens = encoded(&files, RowInput::from(&whole), &Head::tokens());
    assert_eq!(
        files.config().head.readout,
        Head::pooled(Default::default()).readout
    );
    // `[CLS] the river :` are left out; `flow heat [SEP]` remain.
    assert_eq!(whole.len(), 7);
    let mut mean = vec![0.0; 32];
    for vector in tokens.chunks_exact(32).skip(4) {
        mean.iter_mut()
            .zip(vector)
            .for_each(|(sum, x)| *sum += x / 3.0);
    }
    let length = mean.iter().map(|x| x * x).sum::<f32>().sqrt();
    mean.iter_mut().for_each(|x| *x /= length);
    let raw = vector("left_out", "flow heat", &[]);
    assert_close(&raw, &mean);
    assert!(matches!(files.config().head.readout, Readout::Pooled(_)));
    // Without a prompt all tokens count.
    let bare = vector("left_out", "flow heat", &[("prompt", word(""))]);
    assert_close(&bare, &vector("named", "flow heat", &[]));
    // Of a row that is cut on the left, what remains of the prompt is left out.
    let cut = [("truncate", word("left")), ("max_tokens", number(6))];
    let row = Tokenizer::load(&files).unwrap();
    let row = row.encode_prompted("", "the river: flow heat", 6, TruncationSide::Left);
    let row = row.unwrap().with_unpooled(3);
    let remaining = encoded(&files, RowInput::from(&row), &files.config().head);
    assert_close(&vector("left_out", "flow heat", &cut), &remaining);
}

#[test]
fn vectors_are_cut_and_scaled_as_the_call_says() {
    let unit = vector("named", "wing", &[]);
    let raw = vector("named", "wing", &[("normalize", false.into())]);
    let length = |vector: &[f32]| vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    assert!((length(&unit) - 1.0).abs() < 1e-6 && length(&raw) > 1.5);
    let scaled: Vec<f32> = raw.iter().map(|x| x / length(&raw)).collect();
    assert_close(&unit, &scaled);
    let dimensions = |number: i64| ("dimensions", ParameterChoice::from(number));
    let short = embed("named", &["wing", "flow"], &[dimensions(5)]);
    assert_eq!(output(&short, "embedding").shape(), [2, 5]);
    let again: Vec<f32> = raw[..5].iter().map(|x| x / length(&raw[..5])).collect();
    assert_close(&vectors(&short)[..5], &again);
    let both = [dimensions(5), ("normalize", false.into())];
    assert_eq!(vector("named", "wing", &both), raw[..5]);
    assert_eq!(vector("named", "wing", &[dimensions(32)]), unit);
    let tokens = embed("tokens", &["wing"], &[dimensions(7)]);
    assert_eq!(output(&tokens, "embedding").shape(), [3, 7]);
    for vector in vectors(&tokens).chunks_exact(7) {
        assert!((length(vector) - 1.0).abs() < 1e-6);
    }
    // Values that a call writes as strings are read, too.
    let words = [("dimensions", word("5")), ("normalize", word("false"))];
    assert_eq!(vector("named", "wing", &words), raw[..5]);
}

#[test]
fn vectors_are_answered_in_the_type_of_the_configuration() {
    let unit = vector("named", "wing", &[]);
    let largest = unit.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
    let of = |model: &str, settings: &[Setting<'_>]| {
        let response = embed(model, &["wing", "flow"], settings);
        output(&response, "embedding")
    };

    let half = of("half", &[]);
    assert_eq!(
        (half.element(), half.shape()),
        (ElementType::F16, &[2, 32][..])
    );
    let rows = half.raw_rows().unwrap();
    let bits = rows[0]
        .chunks_exact(2)
        .map(|bytes| u16::from_le_bytes([bytes[0], bytes[1]]));
    for (value, bits) in unit.iter().zip(bits) {
        // 11 bits: a unit in the last place is at most 2^-10 of a value.
        let exponent = i32::from(bits >> 10 & 31) - 25;
        let magnitude = f32::from(bits & 1023 | 1024) * 2_f32.powi(exponent);
        let close = (value.abs() - magnitude).abs() <= value.abs() / 2048.0;
        assert!(
            close && (bits >> 15 == 1) == (*value < 0.0),
            "{value} {bits:x}"
        );
    }
    assert_eq!(of("half", &[("dimensions", number(5))]).shape(), [2, 5]);

    let bytes = of("bytes", &[]);
    assert_eq!(bytes.shape(), [2, 32]);
    for (value, byte) in unit.iter().zip(&bytes.values::<i8>().unwrap()[..32]) {
        assert!(
            (value / largest * 127.0 - f32::from(*byte)).abs() <= 0.5001,
            "{value} {byte}"
        );
    }
    // In units of its own largest value, whatever its length.
    assert_eq!(of("bytes", &[("normalize", false.into())]), bytes);
    assert_eq!(of("bytes", &[("dimensions", number(5))]).shape(), [2, 5]);

    let bits = of("bits", &[]);
    assert_eq!(
        (bits.element(), bits.shape()),
        (ElementType::U8, &[2, 4][..])
    );
    let bits = bits.values::<u8>().unwrap();
    for (at, value) in unit.iter().enumerate() {
        assert_eq!(bits[at / 8] >> (7 - at % 8) & 1 == 1, *value > 0.0, "{at}");
    }
}

#[test]
fn an_output_axis_is_named_by_the_parameter_that_sets_it() {
    let model = block_on(async { models().await.server.models() });
    let model = model.iter().find(|model| model.name() == "named").unwrap();
    let signature = model.signature();
    let sets = &signature.parameter("dimensions").unwrap().sets_length;
    let [axis] = &sets[..] else {
        panic!("{sets:?}")
    };
    let dims = &signature.output(&axis.output).unwrap().ty.dims;
    assert_eq!(dims[axis.axis], Dim::Fixed(32));
}

#[test]
fn a_setting_that_cannot_be_is_refused() {
    let bad = |settings: &[Setting<'_>], field: &str, message: &str| {
        let request = set(request("named", &[texts(&["wing"])]), settings);
        refused(request, Code::InvalidArgument, field, message);
    };
    bad(
        &[("max_tokens", number(2))],
        "max_tokens",
        "is 2, must be between 3 and 40",
    );
    bad(
        &[("max_tokens", number(41))],
        "max_tokens",
        "between 3 and 40",
    );
    bad(
        &[("dimensions", number(33))],
        "dimensions",
        "is 33, must be between 1 and 32",
    );
    bad(
        &[("dimensions", number(0))],
        "dimensions",
        "between 1 and 32",
    );
    bad(
        &[("truncate", word("sideways"))],
        "truncate",
        "is `sideways`, must be one of `error`, `right` and `left`",
    );
    bad(
        &[("prompt_name", word("passage"))],
        "prompt_name",
        "is `passage`, must be one of `document`, `plain` and `query`",
    );
    bad(
        &[("normalize", word("perhaps"))],
        "normalize",
        "must be true or false",
    );
    bad(
        &[("normalize", number(1))],
        "normalize",
        "must be true or false",
    );
    bad(&[("prompt", number(1))], "prompt", "must be a string");
    bad(&[("truncate", true.into())], "truncate", "must be a string");
    bad(
        &[("prompt", word("a")), ("prompt_name", word("query"))],
        "prompt",
        "`prompt` and `prompt_name` are both given",
    );
    bad(
        &[
            ("prompt", word("the river wing")),
            ("max_tokens", number(5)),
        ],
        "prompt",
        "leaves no room for a text in the limit of 5",
    );
    block_on(call(set(
        request("named", &[texts(&["wing"])]),
        &[
            ("prompt", word("the river wing")),
            ("max_tokens", number(6)),
        ],
    )))
    .unwrap();
    let long = "a".repeat(4097);
    let long = set(
        request("named", &[texts(&["wing"])]),
        &[("prompt", word(&long))],
    );
    refused(
        long,
        Code::ResourceExhausted,
        "prompt",
        "a prompt has at most 4096",
    );
}

#[test]
fn the_configuration_may_choose_any_pooling() {
    let folder = Folder::new("pooling");
    for name in [
        "cls",
        "max",
        "mean",
        "mean_sqrt_len_tokens",
        "weightedmean",
        "lasttoken",
    ] {
        let config = folder.model(
            "m",
            "embed",
            &format!(", normalize: false, pooling: {name}"),
        );
        let (metrics, health) = (Metrics::new("pooling").unwrap(), Health::new());
        let found = block_on(async {
            let server = load(&format!("models:\n{config}"), &metrics, &health).await;
            let request = request("m", &[texts(&["wing flow"])]);
            let response = client_of(&server).model_infer(request).await.unwrap();
            vectors(&response.into_inner())
        });
        let files = folder.files();
        let row = Tokenizer::load(&files)
            .unwrap()
            .encode("wing flow")
            .unwrap();
        let (_, pooling) = Pooling::NAMES
            .into_iter()
            .find(|(n, _)| *n == name)
            .unwrap();
        let expected = encoded(&files, RowInput::from(&row), &Head::pooled(pooling));
        assert_close(&found, &expected);
    }
}
