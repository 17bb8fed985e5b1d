//! A model whose executor does what a test tells it to, when it tells it to.

use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use motet_batcher::{
    BatchError, Batcher, BuildError, Executor, Measurement, Options, Policy, RowError,
};
use motet_models::{ModelFiles, RowEmbedding, Tokenizer};
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
use crate::executor::EncodeRow;
use crate::limits::Limits;
use crate::model::Model;
use crate::observer::{ModelObserver, register_gauges};
use crate::task::{BatchedEncoder, Engine, Runner, TaskKind, TextCodec};

/// Gives each row its number of tokens; a "poison" fails the whole run. Each run is announced and
/// waits for a permit.
struct Held {
    announce: mpsc::Sender<usize>,
    permits: Arc<Mutex<mpsc::Receiver<()>>>,
    tokenizer: Arc<Tokenizer>,
}

impl Executor for Held {
    type Row = EncodeRow;
    type Output = RowEmbedding;

    fn run(
        &mut self,
        rows: &[&EncodeRow],
    ) -> Result<Vec<Result<RowEmbedding, RowError>>, BatchError> {
        let _ = self.announce.send(rows.len());
        // A test that has dropped its end lets everything run.
        let _ = self.permits.lock().unwrap().recv();
        let is = |row: &EncodeRow, text| row.ids == self.tokenizer.encode(text).unwrap();
        assert!(!rows.iter().any(|row| is(row, "panic")), "told to");
        if rows.iter().any(|row| is(row, "poison")) {
            return Err(BatchError::Failed("poisoned".to_owned()));
        }
        let answer = |row: &&EncodeRow| match is(row, "bad") {
            true => Err(RowError::Invalid("is bad".to_owned())),
            false => Ok(RowEmbedding::Pooled(vec![row.ids.len() as f32])),
        };
        Ok(rows.iter().map(answer).collect())
    }
}

/// A model with one held executor, and the test's ends of it.
struct Bench {
    model: Model,
    batcher: Batcher<EncodeRow, RowEmbedding>,
    metrics: Metrics,
    health: Health,
    announced: mpsc::Receiver<usize>,
    permits: mpsc::Sender<()>,
}

impl Bench {
    /// `builds` is how often the executor can be built.
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
            Ok(Held {
                announce: announce.clone(),
                permits: receiver.clone(),
                tokenizer: words.clone(),
            })
        };
        let observer = ModelObserver::new("m", metrics.model("m"), health.clone(), 1);
        let batcher = Batcher::spawn("m", options, Arc::new(observer), vec![factory]).await;
        let batcher = batcher.unwrap();
        let Some(Engine::Encoder(task)) = TaskKind::find("embed").map(|kind| kind.engine) else {
            panic!("embed has an encoder")
        };
        let encoder = BatchedEncoder {
            _gauges: register_gauges(&metrics.model("m"), &batcher),
            codec: TextCodec {
                task,
                tokenizer,
                max_tokens: 256,
                vector_size: 1,
                limits: Limits::default(),
            },
            batcher: batcher.clone(),
            pool: CpuPool::new().unwrap(),
        };
        let signature = Signature {
            inputs: vec![Port::new("text", "string[N]".parse().unwrap())],
            outputs: vec![Port::new("embedding", "float[N,1]".parse().unwrap())],
            parameters: Vec::new(),
        };
        let runner = Runner::Encoder(encoder);
        health.set("m", true);
        let model = Model::new(
            "m".to_owned(),
            signature,
            runner,
            metrics.model("m"),
            health.clone(),
        );
        Self {
            model,
            batcher,
            metrics,
            health,
            announced,
            permits,
        }
    }

    /// Starts a call.
    fn call(&self, texts: &[&str]) -> JoinHandle<Result<ModelInferResponse, Status>> {
        self.call_with(texts, [])
    }

    /// Starts a call with parameters.
    fn call_with<const N: usize>(
        &self,
        texts: &[&str],
        parameters: [(&str, i64); N],
    ) -> JoinHandle<Result<ModelInferResponse, Status>> {
        let (model, mut request) = (self.model.clone(), request(texts));
        request.parameters = parameters
            .map(|(name, value)| (name.to_owned(), parameter(value)))
            .into();
        tokio::spawn(async move { model.infer(request, None).await })
    }

    /// Waits until a batch of these rows has started.
    fn expect_batch(&self, rows: usize) {
        assert_eq!(self.announced.recv().unwrap(), rows);
    }

    fn let_run(&self) {
        self.permits.send(()).unwrap();
    }

    /// The metrics once everything is counted, which is after callers are answered: the model is
    /// drained.
    async fn counted(&self) -> String {
        self.model.drain().await;
        self.metrics.render().unwrap()
    }

    /// Batches that were answered, by why they began.
    async fn starts(&self) -> Vec<(String, u64)> {
        let page = self.counted().await;
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

    /// Waits until so many rows are queued.
    async fn expect_queued(&self, rows: usize) {
        while self.queued() != rows {
            tokio::task::yield_now().await;
        }
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

type Answer = Result<Result<ModelInferResponse, Status>, tokio::task::JoinError>;

fn rows(answer: Answer) -> i64 {
    answer.unwrap().unwrap().outputs[0].shape[0]
}

fn error(answer: Answer) -> Status {
    answer.unwrap().unwrap_err()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_goes_away_frees_the_queue() {
    let bench = Bench::new(greedy(), 1).await;
    let first = bench.call(&["one"]);
    bench.expect_batch(1);
    let (leaving, staying) = (bench.call(&["a", "b", "c"]), bench.call(&["d"]));
    bench.expect_queued(4).await;
    leaving.abort();
    assert!(leaving.await.unwrap_err().is_cancelled());
    assert_eq!(bench.queued(), 1);
    bench.let_run();
    bench.expect_batch(1);
    bench.let_run();
    assert_eq!((rows(first.await), rows(staying.await)), (1, 1));
    let statistics = bench.model.statistics();
    let totals = statistics.inference_stats.unwrap();
    assert_eq!(totals.success.unwrap().count, 2);
    assert_eq!(totals.fail.unwrap().count, 1);
    let page = bench.counted().await;
    assert!(page.contains(r#"motet_model_requests_total{code="CANCELLED",model="m"} 1"#));
    assert!(
        page.contains(r#"motet_queue_cancelled_total{model="m"} 3"#),
        "{page}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_frees_the_queue() {
    let bench = Bench::new(greedy(), 1).await;
    let first = bench.call(&["one"]);
    bench.expect_batch(1);
    let mut late = request(&["two"]);
    late.parameters = [("timeout".to_owned(), parameter(20_000i64))].into();
    let status = bench.model.infer(late, None).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert_eq!(status::read(&status).metadata["model"], "m");
    assert_eq!(bench.queued(), 0);
    bench.let_run();
    assert_eq!(rows(first.await), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn interactive_calls_go_before_bulk_ones() {
    // Of two calls in the queue, which one of these priorities goes first?
    for (priorities, bulk_share, first) in [
        ([0, 0], 0.0, 0),
        ([0, 1], 0.0, 0),
        ([1, 0], 0.0, 0),
        ([2, 0], 0.0, 1),
        ([2, 1], 0.0, 1),
        ([i64::MAX, 1], 0.0, 1),
        ([0, 2], 0.0, 0),
        ([2, 3], 0.0, 0),
    ] {
        let options = Options {
            max_batch_size: 1,
            bulk_share,
            ..greedy()
        };
        let bench = Bench::new(options, 1).await;
        let running = bench.call(&["one"]);
        bench.expect_batch(1);
        let mut queued = Vec::new();
        for priority in priorities {
            queued.push(bench.call_with(&["two"], [("priority", priority)]));
            bench.expect_queued(queued.len()).await;
        }
        bench.let_run();
        bench.expect_batch(1);
        bench.let_run();
        // The third batch has begun, so that only the second can have been answered.
        bench.expect_batch(1);
        let early = queued.remove(first);
        assert_eq!(rows(early.await), 1, "{priorities:?}");
        let late = queued.remove(0);
        assert!(!late.is_finished(), "{priorities:?}");
        bench.let_run();
        assert_eq!((rows(running.await), rows(late.await)), (1, 1));
    }
}

/// A parameter of an answer, as text.
fn said(answer: &ModelInferResponse, name: &str) -> String {
    match answer.parameters.get(name).map(|p| &p.parameter_choice) {
        Some(Some(ParameterChoice::StringParam(text))) => text.clone(),
        Some(Some(ParameterChoice::Int64Param(number))) => number.to_string(),
        other => format!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_says_why_its_batch_began_and_the_metrics_count_it() {
    const HOUR: Duration = Duration::from_secs(3600);
    let waits = |window| Options {
        max_batch_size: 2,
        max_queue_delay: HOUR,
        policy: Policy::Fixed(window),
        ..Options::default()
    };
    for (options, calls, cause) in [
        (greedy(), 1, "ready"),
        (waits(HOUR), 2, "size"),
        (waits(Duration::from_millis(50)), 1, "window"),
    ] {
        let bench = Bench::new(options, 1).await;
        for _ in 0..calls {
            bench.let_run();
        }
        let calls: Vec<_> = (0..calls).map(|_| bench.call(&["one"])).collect();
        let mut waits = Vec::new();
        for call in calls {
            let answer = call.await.unwrap().unwrap();
            let wait: i64 = said(&answer, cost::WINDOW_US).parse().unwrap();
            waits.push((said(&answer, cost::WINDOW_CAUSE), wait));
        }
        // An executor that comes late, when the window is over, does not wait.
        let late = cause == "window" && waits[0].1 == 0;
        let cause = if late { "ready" } else { cause };
        let page = bench.counted().await;
        let has = |line: &str| assert!(page.contains(line), "{line}\n{page}");
        for (said, wait) in waits {
            assert_eq!(said, cause);
            assert!(wait >= 0 && (cause != "ready" || wait == 0), "{wait}");
            if wait > 0 {
                has("motet_window_chosen_seconds_count{model=\"m\"} 1\n");
            }
        }
        has(&format!(
            "motet_batch_starts_total{{cause=\"{cause}\",model=\"m\"}} 1\n"
        ));
        has("motet_batch_deliberate_wait_seconds_count{model=\"m\"} 1\n");
        has("motet_executor_alive{model=\"m\"} 1\n");
    }
}

/// Waits an hour for a second row.
fn patient() -> Options {
    const HOUR: Duration = Duration::from_secs(3600);
    Options {
        max_batch_size: 2,
        max_queue_delay: HOUR,
        policy: Policy::Fixed(HOUR),
        ..Options::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_ends_in_time_for_a_deadline() {
    let bench = Bench::new(patient(), 1).await;
    // A batch takes 10 s as far as the batcher knows: with 2 s to spare for its error, it must
    // begin half a second from now.
    bench.batcher.calibrate(&[Measurement {
        rows: 1,
        tokens: 3,
        duration: Duration::from_secs(10),
    }]);
    bench.let_run();
    let call = bench.call_with(&["one"], [("timeout", 12_500_000)]);
    let answer = call.await.unwrap().unwrap();
    assert_eq!(said(&answer, cost::WINDOW_CAUSE), "deadline");
    assert!(bench.starts().await.contains(&("deadline".to_owned(), 1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn announced_rows_are_waited_for() {
    const HOUR: Duration = Duration::from_secs(3600);
    let options = Options {
        max_queue_delay: HOUR,
        ..Options::default()
    };
    let bench = Bench::new(options, 1).await;
    // A batch takes two hours, whatever its size: an hour is well spent on company.
    let run = |tokens| Measurement {
        rows: 1,
        tokens,
        duration: 2 * HOUR,
    };
    bench.batcher.calibrate(&[run(1), run(1000)]);
    let announce = [
        ("motet.request", 7),
        ("motet.sequel_rows", 2),
        ("motet.sequel_us", 3_600_000_000),
    ];
    let first = bench.call_with(&["one"], announce);
    bench.expect_queued(1).await;
    let second = bench.call_with(&["two", "three"], [("motet.request", 7)]);
    bench.expect_batch(3);
    bench.let_run();
    let answer = first.await.unwrap().unwrap();
    assert_eq!(said(&answer, cost::BATCH_ROWS), "3");
    assert_eq!(rows(second.await), 2);
    let refused = error(bench.call_with(&["one"], [("motet.sequel_rows", -1)]).await);
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert_eq!(
        status::read(&refused).violations,
        [(
            "motet.sequel_rows".to_owned(),
            "is -1, must be at least 0".to_owned()
        )]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_ends_a_wait() {
    let bench = Bench::new(patient(), 1).await;
    bench.let_run();
    let call = bench.call(&["one"]);
    bench.expect_queued(1).await;
    bench.model.drain().await;
    let answer = call.await.unwrap().unwrap();
    assert_eq!(said(&answer, cost::WINDOW_CAUSE), "drain");
    assert_eq!(bench.starts().await, [("drain".to_owned(), 1)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_fails_runs_again_in_halves() {
    let bench = Bench::new(greedy(), 1).await;
    let first = bench.call(&["one"]);
    bench.expect_batch(1);
    let (poison, good) = (bench.call(&["poison"]), bench.call(&["a", "b", "c"]));
    bench.expect_queued(4).await;
    for _ in 0..6 {
        bench.let_run();
    }
    assert_eq!(rows(first.await), 1);
    let answer = good.await.unwrap().unwrap();
    assert_eq!(said(&answer, cost::WINDOW_CAUSE), "retry");
    let failed = error(poison.await);
    assert_eq!(failed.code(), Code::Internal);
    assert_eq!(status::read(&failed).reason, "MODEL_FAILED");
    // The four rows as one fail, then the half and the row with the poison: the other half and the
    // other row are answered.
    let starts = bench.starts().await;
    assert_eq!(starts, [("ready".to_owned(), 1), ("retry".to_owned(), 2)]);
    let page = bench.metrics.render().unwrap();
    assert!(page.contains("motet_batch_bisections_total{model=\"m\"} 2\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_without_rows_rode_in_no_batch() {
    let bench = Bench::new(greedy(), 1).await;
    let answer = bench.call(&[]).await.unwrap().unwrap();
    assert_eq!(said(&answer, cost::BATCH_ROWS), "0");
    assert!(!answer.parameters.contains_key(cost::WINDOW_CAUSE));
    assert!(!answer.parameters.contains_key(cost::WINDOW_US));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_says_when_to_come_back() {
    let options = Options {
        max_batch_size: 1,
        max_queue_size: 1,
        ..greedy()
    };
    let bench = Bench::new(options, 1).await;
    let first = bench.call(&["one"]);
    bench.expect_batch(1);
    let second = bench.call(&["two"]);
    bench.expect_queued(1).await;
    let refused = error(bench.call(&["three"]).await);
    assert_eq!(refused.code(), Code::ResourceExhausted);
    let details = status::read(&refused);
    assert_eq!(details.reason, "QUEUE_FULL");
    assert!(details.retry_after.is_some());
    assert_eq!(
        (
            &*details.metadata["model"],
            &*details.metadata["max_queue_size"]
        ),
        ("m", "1")
    );
    drop(bench.permits);
    assert_eq!((rows(first.await), rows(second.await)), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_row_fails_its_call_and_no_other() {
    let bench = Bench::new(greedy(), 1).await;
    let first = bench.call(&["one"]);
    bench.expect_batch(1);
    let (bad, good) = (bench.call(&["x", "bad", "y"]), bench.call(&["a", "b"]));
    bench.expect_queued(5).await;
    bench.let_run();
    bench.expect_batch(5);
    bench.let_run();
    assert_eq!((rows(first.await), rows(good.await)), (1, 2));
    let status = error(bad.await);
    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(status.message(), "text[1]: is bad");
    assert_eq!(status::read(&status).violations[0].0, "text[1]");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_fails_its_batch_and_the_model_goes_on_or_says_that_it_cannot() {
    let mut bench = Bench::new(greedy(), 2).await;
    drop(std::mem::replace(&mut bench.permits, mpsc::channel().0));
    let crashed = error(bench.call(&["a", "panic"]).await);
    assert_eq!(crashed.code(), Code::Unavailable);
    assert_eq!(status::read(&crashed).reason, "MODEL_CRASHED");
    assert_eq!(rows(bench.call(&["a"]).await), 1);
    assert!(bench.model.is_ready());
    let _ = bench.call(&["panic"]).await;
    // It could be built twice. The crash is answered before the rebuilding fails.
    while bench.model.is_ready() {
        tokio::task::yield_now().await;
    }
    let dead = error(bench.call(&["a"]).await);
    assert_eq!(status::read(&dead).reason, "MODEL_DIED");
    while bench.health.is_serving("m") == Some(true) {
        tokio::task::yield_now().await;
    }
    let page = bench.metrics.render().unwrap();
    assert!(page.contains("motet_executor_alive{model=\"m\"} 0\n"));
    assert!(page.contains("motet_executor_crashes_total{model=\"m\"} 2\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_answers_everybody_who_was_let_in() {
    let bench = Bench::new(greedy(), 1).await;
    let running = bench.call(&["one"]);
    bench.expect_batch(1);
    let queued = bench.call(&["two", "three"]);
    bench.expect_queued(2).await;
    let draining = {
        let model = bench.model.clone();
        tokio::spawn(async move { model.drain().await })
    };
    while bench.model.is_ready() {
        tokio::task::yield_now().await;
    }
    assert_eq!(bench.health.is_serving("m"), Some(false));
    let late = error(bench.call(&["four"]).await);
    assert_eq!(
        (late.code(), &*status::read(&late).reason),
        (Code::Unavailable, "DRAINING")
    );
    assert!(!draining.is_finished());
    drop(bench.permits);
    assert_eq!((rows(running.await), rows(queued.await)), (1, 2));
    draining.await.unwrap();
}
