//! Tasks of one's own: from a configuration to an answer, and whatever such a task does wrong.

use std::collections::HashMap;
use std::error::Error;
use std::fs;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

use candle_core::{DType, Device, Module, Tensor as CandleTensor};
use candle_nn::Linear;
use motet_batcher::{BatchError, RowError};
use motet_config::{Colour, Diagnostics, Sources};
use motet_proto::inference::ModelInferResponse;
use motet_proto::inference::infer_parameter::ParameterChoice;
use motet_proto::oip::{cost, integer_parameter};
use motet_proto::signature::Signature;
use motet_proto::{ElementType, Tensor};
use motet_runtime::health::Health;
use motet_runtime::metrics::Metrics;
use motet_runtime::status;
use motet_service::task::{
    Answer, Batching, CheckContext, LoadContext, LoadedModel, Preparation, PreparedRow,
    PreparedRows, Problem, Request, Task, TaskNameError, Weights, Worker, batch_error, input,
    output, stack,
};
use motet_service::{Limits, Loader, ModelServer, Tasks};
use serde::Deserialize;
use tonic::{Code, Status};

use crate::harness::{block_on, client_of, output as output_of, request};

/// Rows of two numbers through a linear layer of the model's own, `x: float[N,2] -> y:
/// float[N,3]`.
struct Project;

#[derive(Clone, Debug, Deserialize)]
struct ProjectKeys {
    /// Added to each result.
    #[serde(default)]
    offset: f32,
    #[serde(default)]
    on: Vec<Side>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Side {
    Left,
    Right,
}

struct Projection {
    layer: Linear,
    device: Device,
    offset: f32,
}

impl Task for Project {
    const NAME: &'static str = "project";
    const ABOUT: &'static str = "numbers through a linear layer";
    const NEEDS_SOURCE: bool = true;

    type Config = ProjectKeys;
    type Checked = (ProjectKeys, Weights);
    type Model = Projection;

    fn check(
        keys: &ProjectKeys,
        context: &CheckContext<'_>,
    ) -> Result<(Signature, Self::Checked), Vec<Problem>> {
        let weights = context.folder().map_err(|problem| vec![problem])?.weights();
        let checked = weights.and_then(|weights| {
            weights.expect("layer.weight", &[3, 2])?;
            Ok(weights)
        });
        let place = context
            .source()
            .map_or(context.name_span(), |source| source.span);
        let weights =
            checked.map_err(|error| vec![context.problem("source", place, error.to_string())])?;
        let signature = Signature {
            inputs: vec![input("x", ElementType::F32, ["N", "2"])],
            outputs: vec![output("y", ElementType::F32, ["N", "3"])],
            parameters: Vec::new(),
        };
        Ok((signature, (keys.clone(), weights)))
    }

    fn load(
        (keys, weights): Self::Checked,
        context: &LoadContext,
    ) -> Result<Projection, Box<dyn Error + Send + Sync>> {
        let device = context.device()?;
        let variables = weights.var_builder(context.dtype(), &device);
        Ok(Projection {
            layer: candle_nn::linear_no_bias(2, 3, variables.pp("layer"))?,
            device,
            offset: if keys.on.contains(&Side::Right) {
                -keys.offset
            } else {
                keys.offset
            },
        })
    }
}

impl LoadedModel for Projection {
    type Row = CandleTensor;
    type Output = Vec<f32>;
    type Call = Request;
    type Part = ();

    fn begin(&self, request: Request) -> Result<Request, Status> {
        Ok(request)
    }

    fn rows(
        &self,
        call: &Request,
        _: Range<usize>,
    ) -> Result<PreparedRows<CandleTensor, Vec<f32>, ()>, Status> {
        let values = call.values::<f32>("x")?;
        let rows = values.chunks_exact(2);
        let row = |row: &[f32]| {
            let tensor = CandleTensor::new(row, &self.device);
            tensor.map(|tensor| (tensor, 1))
        };
        let rows: candle_core::Result<_> = rows.map(row).collect();
        rows.map_err(|error| Status::internal(error.to_string()))
    }

    fn run(
        &self,
        rows: &[&CandleTensor],
        _: &Worker<'_>,
    ) -> Result<Vec<Result<Vec<f32>, RowError>>, BatchError> {
        let outputs = || -> candle_core::Result<Vec<Vec<f32>>> {
            let outputs = self.layer.forward(&stack(rows)?)?;
            (outputs + f64::from(self.offset))?.to_vec2()
        };
        let outputs = outputs().map_err(batch_error)?;
        Ok(outputs.into_iter().map(Ok).collect())
    }

    fn answer(&self, _: &Request, _: Vec<()>, rows: Vec<Vec<f32>>) -> Result<Answer, Status> {
        let y = Tensor::from_values(vec![rows.len(), 3], rows.concat());
        let y = y.map_err(|error| Status::internal(error.to_string()))?;
        Ok(Answer::new([("y", y)]))
    }

    fn sample(&self, _: u32) -> Option<(CandleTensor, u32)> {
        let row = CandleTensor::new(&[1f32, 2.], &self.device);
        Some((row.ok()?, 1))
    }
}

/// A model that does what its key `does` says, `x: float[N] -> y: float[N]`.
struct Odd;

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct OddKeys {
    pub(crate) does: Does,
}

/// The device of a model that loses it.
static DEVICE_IS_LOST: AtomicBool = AtomicBool::new(false);
/// A driver's words.
const LOST: &str = "DriverError(CUDA_ERROR_ILLEGAL_ADDRESS, \"an illegal memory access\")";

#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Does {
    AnswerTheLength,
    DropARow,
    PanicInABatch,
    PanicBefore,
    FailNegatives,
    RunOutOfMemory,
    LoseTheDevice,
    AnswerIntegers,
    AnswerAMatrix,
    AnswerTooMany,
    AnswerNothing,
    AnswerAnother,
    AnswerNan,
    FailToLoad,
    KnowOnes,
    RunTwoAtOnce,
}

impl Task for Odd {
    const NAME: &'static str = "odd";
    const ABOUT: &'static str = "numbers, or mistakes";
    const UNIT: &'static str = "numbers";
    const MODEL_KEYS: &'static [&'static str] = &["batcher"];

    type Config = OddKeys;
    type Checked = OddKeys;
    type Model = OddKeys;

    fn check(keys: &OddKeys, _: &CheckContext<'_>) -> Result<(Signature, OddKeys), Vec<Problem>> {
        let signature = Signature {
            inputs: vec![input("x", ElementType::F32, ["N"])],
            outputs: vec![output("y", ElementType::F32, ["N"])],
            parameters: Vec::new(),
        };
        Ok((signature, keys.clone()))
    }

    fn load(keys: OddKeys, _: &LoadContext) -> Result<OddKeys, Box<dyn Error + Send + Sync>> {
        match keys.does {
            Does::FailToLoad => Err("it was told to".into()),
            _ => Ok(keys),
        }
    }
}

impl LoadedModel for OddKeys {
    type Row = f32;
    type Output = f32;
    type Call = Request;
    type Part = ();

    fn begin(&self, request: Request) -> Result<Request, Status> {
        Ok(request)
    }

    fn preparation(&self, call: &Request) -> Preparation {
        let rows = call.values::<f32>("x").map_or(0, |x| x.len());
        match rows {
            0..=2 => Preparation::Inline,
            _ => Preparation::Pool(vec![0..2, 2..rows]),
        }
    }

    fn rows(
        &self,
        call: &Request,
        part: Range<usize>,
    ) -> Result<PreparedRows<f32, f32, ()>, Status> {
        assert!(self.does != Does::PanicBefore, "told to");
        let x = call.values::<f32>("x")?;
        let rows = x.iter().skip(part.start).take(part.len());
        let row = |x: &f32| match self.does {
            Does::KnowOnes if *x == 1.0 => PreparedRow::Known(1.0),
            _ => PreparedRow::Run { row: *x, cost: 1 },
        };
        Ok(PreparedRows {
            rows: rows.map(row).collect(),
            part: (),
        })
    }

    fn run(&self, rows: &[&f32], _: &Worker<'_>) -> Result<Vec<Result<f32, RowError>>, BatchError> {
        assert!(self.does != Does::PanicInABatch, "told to");
        if self.does == Does::RunOutOfMemory && rows.len() > 1 {
            return Err(batch_error("CUDA_ERROR_OUT_OF_MEMORY"));
        }
        if self.does == Does::LoseTheDevice {
            // From then on nothing runs there.
            let loses = rows.iter().any(|x| **x == 13.0);
            if DEVICE_IS_LOST.fetch_or(loses, Ordering::Relaxed) || loses {
                return Err(batch_error(LOST));
            }
        }
        let row = |x: &&f32| match self.does {
            Does::FailNegatives if **x < 0.0 => Err(RowError::Invalid("is negative".to_owned())),
            Does::AnswerNan => Ok(f32::NAN),
            Does::AnswerTheLength | Does::RunTwoAtOnce => Ok(rows.len() as f32),
            _ => Ok(10.0 * **x),
        };
        let mut outputs: Vec<_> = rows.iter().map(row).collect();
        if self.does == Does::DropARow {
            outputs.pop();
        }
        Ok(outputs)
    }

    /// A model that may lose its device is warmed up, also when it is built again.
    fn sample(&self, _: u32) -> Option<(f32, u32)> {
        (self.does == Does::LoseTheDevice).then_some((1.0, 1))
    }

    /// Negative numbers are not computed beside others.
    fn group(&self, row: &f32) -> u64 {
        u64::from(*row < 0.0)
    }

    fn answer(&self, _: &Request, _: Vec<()>, mut rows: Vec<f32>) -> Result<Answer, Status> {
        let count = rows.len();
        let tensor = match self.does {
            Does::AnswerNothing => return Ok(Answer::default()),
            Does::AnswerIntegers => Tensor::from_values(vec![count], vec![1i64; count]),
            Does::AnswerAMatrix => Tensor::from_values(vec![count, 1], rows),
            Does::AnswerTooMany => {
                rows.push(0.0);
                Tensor::from_values(vec![count + 1], rows)
            }
            _ => Tensor::from_values(vec![count], rows),
        };
        let tensor = tensor.map_err(|error| Status::internal(error.to_string()))?;
        let mut outputs = vec![("y", tensor.clone())];
        if self.does == Does::AnswerAnother {
            outputs.push(("z", tensor));
        }
        Ok(Answer::new(outputs))
    }

    fn batching(&self) -> Batching {
        Batching {
            max_batch_cost: (self.does == Does::RunTwoAtOnce).then_some(2),
            ..Batching::default()
        }
    }
}

fn tasks() -> Tasks {
    let tasks = Tasks::builtin().with::<Project>();
    tasks
        .and_then(|tasks| tasks.with::<Odd>())
        .expect("different names")
}

/// Returns the models of a configuration, or the report of its mistakes.
fn resolve(models: &str) -> Result<Vec<motet_service::ResolvedModel>, String> {
    let (mut sources, mut diagnostics) = (Sources::new(), Diagnostics::new());
    let text = format!("models:\n{models}");
    let models = motet_service::spec::read_text(
        "test.yaml",
        &text,
        &tasks(),
        &mut sources,
        &mut diagnostics,
    );
    let resolved = motet_service::check(&models, &sources, &mut diagnostics);
    match diagnostics.has_errors() {
        true => Err(diagnostics.render(&sources, Colour::Never)),
        false => Ok(resolved),
    }
}

async fn serve(models: &str) -> Result<ModelServer, String> {
    let metrics = Metrics::new("test").expect("metrics");
    let loader = Loader::new(metrics, Health::new()).expect("threads");
    let loader = loader.with_limits(Limits::default());
    let loaded = loader.load_all(resolve(models)?).await;
    Ok(ModelServer::new(loaded.map_err(|error| error.to_string())?))
}

/// Calls the model `m` of a configuration with one vector or matrix.
async fn call(models: &str, shape: &[usize], x: &[f32]) -> Result<ModelInferResponse, Status> {
    let server = serve(models).await.expect("a server");
    let x = Tensor::from_values(shape.to_vec(), x.to_vec()).expect("a tensor");
    let reply = client_of(&server)
        .model_infer(request("m", &[("x", x)]))
        .await;
    server.drain().await;
    reply.map(tonic::Response::into_inner)
}

fn odd(does: &str) -> String {
    format!("  m: {{ task: odd, does: {does} }}\n")
}

fn answer_of(does: &str, x: &[f32]) -> Result<Vec<f32>, Status> {
    let reply = block_on(call(&odd(does), &[x.len()], x))?;
    Ok(output_of(&reply, "y").values().expect("floats").to_vec())
}

/// A folder with the weights of [`Project`].
struct Folder(std::path::PathBuf);

impl Folder {
    fn new(name: &str, rows: usize) -> Self {
        let path = std::env::temp_dir().join(format!("motet-own-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).expect("a folder");
        let weights: Vec<f32> = (0..rows * 2).map(|at| at as f32).collect();
        let weights = CandleTensor::from_vec(weights, (rows, 2), &Device::Cpu).expect("a tensor");
        let weights = weights.to_dtype(DType::F16).expect("halves");
        let tensors = HashMap::from([("layer.weight".to_owned(), weights)]);
        candle_core::safetensors::save(&tensors, path.join("model.safetensors")).expect("a file");
        Self(path)
    }

    fn model(&self, keys: &str) -> String {
        format!(
            "  m: {{ task: project, source: \"file:{}\"{keys} }}\n",
            self.0.display()
        )
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_candle_model_answers_by_its_own_weights_and_keys() {
    let folder = Folder::new("answers", 3);
    let model = folder.model(", offset: 0.5, on: [left], device: cpu, threads: 1");
    let reply = block_on(call(&model, &[2, 2], &[1., 0., 1., 2.])).expect("an answer");
    let y = output_of(&reply, "y");
    assert_eq!(y.shape(), [2, 3]);
    // The weights are [[0, 1], [2, 3], [4, 5]].
    let expected = [0.5, 2.5, 4.5, 2.5, 8.5, 14.5];
    assert_eq!(y.values::<f32>().expect("floats").to_vec(), expected);
}

#[test]
fn mistakes_in_its_configuration_are_found_before_it_is_loaded() {
    let (good, small) = (Folder::new("good", 3), Folder::new("small", 2));
    let empty = good.0.join("empty");
    fs::create_dir_all(&empty).expect("a folder");
    let cut = Folder::new("cut", 3);
    let file = cut.0.join("model.safetensors");
    let bytes = fs::read(&file).expect("a file");
    fs::write(&file, &bytes[..bytes.len() - 3]).expect("a file");
    let with_source = |source: &str| format!("  m: {{ task: project, source: {source} }}\n");
    for (models, expected) in [
        (
            good.model(", ofset: 1"),
            &["unknown key `ofset` in model `m`", "did you mean `offset`?"][..],
        ),
        (
            good.model(", offset: high"),
            &["`offset` must be a number, not a string"],
        ),
        (
            good.model(", on: [left, rigth]"),
            &[
                "`on[1]` must be one of `left` and `right`, not `rigth`",
                "did you mean `right`?",
            ],
        ),
        (
            good.model(", pooling: cls"),
            &["`pooling` has no meaning for the task `project`"],
        ),
        (
            small.model(""),
            &["the tensor `layer.weight` has the shape [2, 2], which must be [3, 2]"],
        ),
        (cut.model(""), &["it is cut short"]),
        (
            "  m: { task: project }\n".to_owned(),
            &["model `m` needs `source`"],
        ),
        (
            with_source("\"builtin:all-minilm-l6-v2\""),
            &["is a model for texts"],
        ),
        (
            with_source("\"file:/nowhere\""),
            &["/nowhere: no such file"],
        ),
        (
            with_source(&format!("\"file:{}\"", empty.display())),
            &["it has no weights"],
        ),
        (odd("nonsense"), &["`does` must be one of"]),
        (
            "  m: { task: odd }\n".to_owned(),
            &["model `m` needs the key `does`"],
        ),
        ("  m: { task: od }\n".to_owned(), &["did you mean `odd`?"]),
        (
            "  m: { task: odd, does: know_ones, device: cpu }\n".to_owned(),
            &["`device` has no meaning for the task `odd`"],
        ),
        (
            "  m: { tasks: [odd, project] }\n".to_owned(),
            &["must be one of `embed`"],
        ),
    ] {
        let report = resolve(&models).expect_err(&models);
        for part in expected {
            assert!(report.contains(part), "{models}lacks: {part}\n{report}");
        }
    }
    let error = block_on(serve(&odd("fail_to_load"))).expect_err("a failure");
    assert_eq!(error, "m: it was told to");
}

#[test]
fn names_of_tasks_differ() {
    let twice = Tasks::builtin()
        .with::<Odd>()
        .and_then(|tasks| tasks.with::<Odd>());
    assert_eq!(twice.unwrap_err(), TaskNameError::Taken("odd".to_owned()));
}

#[test]
fn rows_of_one_group_run_together_and_come_back_in_order() {
    let x = [1., -1., 2., -2., -3.];
    assert_eq!(
        answer_of("answer_the_length", &x).expect("an answer"),
        [2., 3., 2., 3., 3.]
    );
    assert_eq!(
        answer_of("run_out_of_memory", &x).expect("an answer"),
        [10., -10., 20., -20., -30.]
    );
    // A row whose output is known does not run.
    assert_eq!(
        answer_of("know_ones", &[1., 2., 1.]).expect("an answer"),
        [1., 20., 1.]
    );
    assert_eq!(answer_of("know_ones", &[]).expect("an answer"), [0.; 0]);
}

#[test]
fn a_lost_device_ends_its_model_in_the_drivers_words() {
    block_on(async {
        let metrics = Metrics::new("test").expect("metrics");
        let health = Health::new();
        let loader = Loader::new(metrics, health.clone()).expect("threads");
        let loaded = loader.load_all(resolve(&odd("lose_the_device")).expect("a model"));
        let server = ModelServer::new(loaded.await.expect("loaded"));
        let ask = async |x: f32| {
            let x = Tensor::from_values(vec![1], vec![x]).expect("a tensor");
            let request = request("m", &[("x", x)]);
            client_of(&server).model_infer(request).await
        };
        ask(1.0).await.expect("an answer");
        assert_eq!(health.is_serving("m"), Some(true));
        let lost = ask(13.0).await.expect_err("the device is lost");
        assert_eq!(lost.code(), Code::Unavailable);
        assert_eq!(status::read(&lost).reason, "DEVICE_LOST");
        assert!(lost.message().contains(LOST), "{lost}");
        // It is built again, which fails, and is then gone.
        while health.is_serving("m") == Some(true) {
            tokio::task::yield_now().await;
        }
        let gone = ask(1.0).await.expect_err("no device");
        assert_eq!(status::read(&gone).reason, "MODEL_DIED");
        let words = format!("the model is gone: the device is lost: {LOST}");
        assert!(gone.message().contains(&words), "{gone}");
        server.drain().await;
    });
}

#[test]
fn a_model_says_the_most_that_a_batch_may_cost_and_a_configuration_less() {
    let x = [1., 2., 3., 4., 5., 6.];
    let lengths = answer_of("run_two_at_once", &x).expect("an answer");
    assert_eq!(lengths, [2.; 6]);
    let model = "  m: { task: odd, does: run_two_at_once, batcher: { max_batch_tokens: 1 } }\n";
    let reply = block_on(call(model, &[6], &x)).expect("an answer");
    let lengths = output_of(&reply, "y")
        .values::<f32>()
        .expect("floats")
        .to_vec();
    assert_eq!(lengths, [1.; 6]);
}

#[test]
fn costs_are_shown_in_the_unit_of_the_task() {
    let reply = block_on(call(&odd("know_ones"), &[3], &[1., 2., 3.])).expect("an answer");
    let of_reply = |name| integer_parameter(&reply.parameters, name).expect("a number");
    assert_eq!(of_reply(cost::COST), Some(2));
    assert_eq!(of_reply(cost::BATCH_COST), Some(2));
    assert_eq!(
        (of_reply(cost::TOKENS), of_reply(cost::BATCH_TOKENS)),
        (None, None)
    );
    let unit = reply.parameters[cost::UNIT].parameter_choice.clone();
    assert_eq!(
        unit,
        Some(ParameterChoice::StringParam("numbers".to_owned()))
    );

    let metrics = Metrics::new("test").expect("metrics");
    block_on(async {
        let loader = Loader::new(metrics.clone(), Health::new()).expect("threads");
        let models = resolve(&odd("know_ones")).expect("a model");
        let loaded = loader.load_all(models).await.expect("a model");
        let server = ModelServer::new(loaded);
        let page = metrics.render().expect("metrics");
        let line = r#"motet_model_info{model="m",task="odd",unit="numbers"} 1"#;
        assert!(page.contains(line), "{page}");
        server.drain().await;
    });
}

#[test]
fn a_task_that_breaks_its_promises_fails_its_own_call() {
    for (does, code, expected) in [
        (
            "drop_a_row",
            Code::Internal,
            "the task odd gave 0 outputs for 1 rows",
        ),
        ("panic_in_a_batch", Code::Unavailable, "told to"),
        ("panic_before", Code::Internal, "told to"),
        (
            "answer_integers",
            Code::Internal,
            "the task odd: the output `y` is of the type INT64",
        ),
        (
            "answer_a_matrix",
            Code::Internal,
            "`y` has the shape [3, 1], but the signature says float[N], here [3]",
        ),
        (
            "answer_too_many",
            Code::Internal,
            "`y` has the shape [4], but the signature says float[N], here [3]",
        ),
        (
            "answer_nothing",
            Code::Internal,
            "the task odd: the output `y` is missing",
        ),
        (
            "answer_another",
            Code::Internal,
            "the task odd: the signature has no output `z`",
        ),
        ("answer_nan", Code::Internal, "the output `y` is not finite"),
    ] {
        let status = answer_of(does, &[1., 2., 3.]).expect_err(does);
        assert_eq!(status.code(), code, "{does}: {status:?}");
        assert!(
            status.message().contains(expected),
            "{does}: {}",
            status.message()
        );
    }
    let status = answer_of("fail_negatives", &[1., -2.]).expect_err("a negative row");
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(
        status.message().contains("is negative"),
        "{}",
        status.message()
    );
}
