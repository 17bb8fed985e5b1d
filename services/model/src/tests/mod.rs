//! A model whose executor runs when a test lets it, so that each state of a call can be held.

mod failures;
mod queue;
mod windows;

use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use motet_batcher::{
    BatchError, Batcher, BuildError, Executor, Measurement, Options, Policy, RowError,
};
use motet_models::{
    DeviceSpec, LoadedHead, ModelFiles, Precision, TextEncoder, TextRole, Tokenizer,
    TruncationSide, Values,
};
use motet_proto::Tensor;
use motet_proto::inference::infer_parameter::ParameterChoice;
use motet_proto::inference::{ModelInferRequest, ModelInferResponse};
use motet_proto::oip::{cost, parameter, put_inputs};
use motet_proto::signature::{Port, Signature};
use motet_runtime::health::Health;
use motet_runtime::metrics::Metrics;
use motet_runtime::status;
use tokio::task::JoinHandle;
use tonic::{Code, Status};

use crate::cpu_pool::CpuPool;
use crate::limits::Limits;
use crate::model::Model;
use crate::model::Origin;
use crate::model_health::ModelHealth;
use crate::observer::{ModelObserver, register_gauges};
use crate::task::{BatchRow, Named, Runner};
use crate::text::{
    CallDefaults, EncodeRow, ModelHeads, ModelTask, ModelTasks, Prompt, RowValues, TaskSettings,
    TextCodec, TextKind, TextModel, Truncate, finite,
};

/// Row and output of a batch.
type Row = BatchRow<EncodeRow>;
type Output = RowValues;

/// An executor whose result for a row is the number of its tokens. A run is announced, and then
/// waits for a permit. The texts `bad`, `poison` and `panic` fail their row, their run, or panic;
/// the result of `nan` is not finite.
struct GatedExecutor {
    announce: mpsc::Sender<usize>,
    permits: Arc<Mutex<mpsc::Receiver<()>>>,
    tokenizer: Arc<Tokenizer>,
}

impl Executor for GatedExecutor {
    type Row = Row;
    type Output = Output;

    fn run(&mut self, rows: &[&Row]) -> Result<Vec<Result<Output, RowError>>, BatchError> {
        let _ = self.announce.send(rows.len());
        // A test that has dropped its sender lets everything run.
        let _ = self.permits.lock().unwrap().recv();
        let is = |row: &Row, text| row.row.ids == self.tokenizer.encode(text).unwrap();
        assert!(!rows.iter().any(|row| is(row, "panic")), "told to");
        if rows.iter().any(|row| is(row, "poison")) {
            return Err(BatchError::Failed("poisoned".to_owned()));
        }
        let answer = |row: &&Row| match () {
            () if is(row, "bad") => Err(RowError::Invalid("is bad".to_owned())),
            () if is(row, "nan") => {
                finite(vec![Values::new(vec![f32::NAN], 1)]).map(RowValues::Computed)
            }
            () => {
                let length = Values::new(vec![row.row.ids.len() as f32], 1);
                Ok(RowValues::Computed(vec![length]))
            }
        };
        Ok(rows.iter().map(answer).collect())
    }
}

/// A model with one gated executor, and the test's ends of its channels.
struct TestModel {
    model: Model,
    batcher: Batcher<Row, Output>,
    metrics: Metrics,
    health: Health,
    announced: mpsc::Receiver<usize>,
    permits: mpsc::Sender<()>,
}

impl TestModel {
    /// Returns a model whose executor can be built `builds` times.
    async fn new(options: Options, builds: usize) -> Self {
        let files = ModelFiles::open(&"builtin:all-minilm-l6-v2".parse().unwrap()).unwrap();
        let tokenizer = Arc::new(Tokenizer::load(&files).unwrap());
        let (metrics, health) = (Metrics::new("test").unwrap(), Health::new());
        let (announce, announced) = mpsc::channel();
        let (permits, receiver) = mpsc::channel();
        let receiver = Arc::new(Mutex::new(receiver));
        let mut left = builds;
        let words = tokenizer.clone();
        let factory = move || {
            left = left.checked_sub(1).ok_or(BuildError("gone".to_owned()))?;
            Ok(GatedExecutor {
                announce: announce.clone(),
                permits: receiver.clone(),
                tokenizer: words.clone(),
            })
        };
        let own = ModelHealth::new("m", health.clone());
        let observer = ModelObserver::new(metrics.model("m"), own.clone());
        let batcher = Batcher::spawn("m", options, Arc::new(observer), vec![factory]).await;
        let batcher = batcher.unwrap();
        let kind = TextKind::find("embed").unwrap();
        let built = (kind.build)(&files, &TaskSettings::default()).unwrap();
        let tasks = ModelTasks::new(vec![ModelTask::new(kind, built, 1, true)]);
        let encoder = TextEncoder::load(&files, &DeviceSpec::Cpu.open().unwrap(), Precision::F32);
        let encoder = TextModel {
            codec: TextCodec {
                tasks,
                tokenizer,
                defaults: CallDefaults {
                    max_tokens: 256,
                    truncate: Truncate::Cut(TruncationSide::Right),
                    prompt: Prompt::default(),
                    role: TextRole::default(),
                    normalize: false,
                },
                prompts: Arc::default(),
                pools_prompt: true,
                limits: Limits::default(),
            },
            encoder: Arc::new(encoder.unwrap()),
            heads: ModelHeads {
                of_tasks: Vec::new(),
                of_tokens: LoadedHead::of_tokens(1),
            },
            token_vectors: None,
            measurements: Arc::default(),
        };
        let runner = Runner {
            task: Named {
                name: "embed",
                unit: "tokens",
            },
            model: Arc::new(encoder),
            gauges: Some(register_gauges(&metrics.model("m"), &batcher)),
            batcher: Some(batcher.clone()),
            pool: CpuPool::new().unwrap(),
            limits: Limits::default(),
            metrics: metrics.model("m"),
        };
        let signature = Signature {
            inputs: vec![Port::new("text", "string[N]".parse().unwrap())],
            outputs: vec![Port::new("embedding", "float[N,1]".parse().unwrap())],
            parameters: Vec::new(),
        };
        let model = Model::new(
            "m".to_owned(),
            Arc::new(signature),
            Origin::default(),
            Box::new(runner),
            metrics.model("m"),
            own,
        );
        model.begin();
        Self {
            model,
            batcher,
            metrics,
            health,
            announced,
            permits,
        }
    }

    /// Starts a call with these texts.
    fn call(&self, texts: &[&str]) -> JoinHandle<Result<ModelInferResponse, Status>> {
        self.call_with(texts, [])
    }

    /// Starts a call with these texts and parameters.
    fn call_with<const N: usize>(
        &self,
        texts: &[&str],
        parameters: [(&str, i64); N],
    ) -> JoinHandle<Result<ModelInferResponse, Status>> {
        let (model, mut request) = (self.model.clone(), request(texts));
        request.parameters = parameters
            .map(|(name, value)| (name.to_owned(), parameter(value)))
            .into();
        tokio::spawn(async move { infer(&model, request).await })
    }

    /// Waits until the next batch starts, which must have this many rows.
    fn expect_batch(&self, rows: usize) {
        assert_eq!(self.announced.recv().unwrap(), rows);
    }

    /// Lets one batch run.
    fn let_run(&self) {
        self.permits.send(()).unwrap();
    }

    /// Drains the model and returns its metrics: batches are counted after their callers are
    /// answered.
    async fn drained_metrics(&self) -> String {
        self.model.drain().await;
        self.metrics.render().unwrap()
    }

    /// Drains the model and returns the number of batches for each cause of their start.
    async fn starts(&self) -> Vec<(String, u64)> {
        let page = self.drained_metrics().await;
        let starts = page.lines().filter_map(|line| {
            let rest = line.strip_prefix("motet_batch_starts_total{cause=\"")?;
            let (cause, rest) = rest.split_once('"')?;
            let count = rest.rsplit_once(' ')?.1.parse().ok()?;
            Some((cause.to_owned(), count))
        });
        let mut starts: Vec<_> = starts.collect();
        starts.sort();
        starts
    }

    fn queued(&self) -> usize {
        self.model.batcher_stats().unwrap().rows_queued
    }

    /// Waits until this many rows are in the queue.
    async fn expect_queued(&self, rows: usize) {
        while self.queued() != rows {
            tokio::task::yield_now().await;
        }
    }
}

async fn infer(model: &Model, request: ModelInferRequest) -> Result<ModelInferResponse, Status> {
    match model.admit() {
        Some(admitted) => model.infer(request, None, admitted).await,
        None => Err(model.draining()),
    }
}

fn request(texts: &[&str]) -> ModelInferRequest {
    let mut request = ModelInferRequest::default();
    put_inputs(&mut request, [("text", &Tensor::strings(texts))]);
    request
}

fn greedy() -> Options {
    Options {
        policy: Policy::Greedy,
        ..Options::default()
    }
}

/// The outcome of a call started by [`TestModel::call`].
type Joined = Result<Result<ModelInferResponse, Status>, tokio::task::JoinError>;

fn rows(joined: Joined) -> i64 {
    joined.unwrap().unwrap().outputs[0].shape[0]
}

fn error(joined: Joined) -> Status {
    joined.unwrap().unwrap_err()
}

/// Returns a parameter of a response as text.
fn parameter_of(answer: &ModelInferResponse, name: &str) -> String {
    match answer.parameters.get(name).map(|p| &p.parameter_choice) {
        Some(Some(ParameterChoice::StringParam(text))) => text.clone(),
        Some(Some(ParameterChoice::Int64Param(number))) => number.to_string(),
        other => format!("{other:?}"),
    }
}
