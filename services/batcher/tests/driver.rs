//! The running batcher: real threads, no sleeps.

use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use motet_batcher::{
    BatchError, Batcher, BuildError, Call, CallReply, Event, Executor, Flow, Lookahead,
    Measurement, NoObserver, Observer, Options, Policy, Priority, Refusal, RowError, SpawnError,
};

/// A row that says how it ends.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Row {
    Double(u32),
    Invalid,
    FailBatch,
    Panic,
    Huge,
}

/// Doubles numbers. Each run is announced and waits for a permit, so a test decides which events
/// overlap it.
struct Gated {
    announce: mpsc::Sender<usize>,
    permit: Arc<Mutex<mpsc::Receiver<()>>>,
}

impl Executor for Gated {
    type Row = Row;
    type Output = u32;

    fn run(&mut self, rows: &[&Row]) -> Result<Vec<Result<u32, RowError>>, BatchError> {
        let _ = self.announce.send(rows.len());
        // A test that has dropped its end of the channel lets every run go on.
        let _ = self.permit.lock().expect("no test panics here").recv();
        if rows.contains(&&Row::Panic) {
            panic!("the model is confused");
        }
        if rows.contains(&&Row::FailBatch) {
            return Err(BatchError::Failed("a bad kernel".to_owned()));
        }
        if rows.contains(&&Row::Huge) {
            return Err(BatchError::OutOfMemory);
        }
        let answer = |row: &&Row| match row {
            Row::Double(number) => Ok(2 * number),
            _ => Err(RowError::Invalid("not a number".to_owned())),
        };
        Ok(rows.iter().map(answer).collect())
    }
}

/// A batcher of one gated executor, and the test's ends of its channels.
struct Bench {
    batcher: Batcher<Row, u32>,
    announced: mpsc::Receiver<usize>,
    permits: mpsc::Sender<()>,
    built: Arc<AtomicUsize>,
    events: Arc<Events>,
}

#[derive(Default)]
struct Events(Mutex<Vec<Event>>);

impl Observer for Events {
    fn observe(&self, event: &Event) {
        self.0
            .lock()
            .expect("no test panics here")
            .push(event.clone());
    }
}

impl Bench {
    /// The executor can be built `builds` times.
    async fn new(options: Options, builds: usize) -> Self {
        let (announce, announced) = mpsc::channel();
        let (permits, permit) = mpsc::channel();
        let (permit, built, events) = (
            Arc::new(Mutex::new(permit)),
            Arc::new(AtomicUsize::new(0)),
            Arc::new(Events::default()),
        );
        let counter = built.clone();
        let factory = move || {
            if counter.fetch_add(1, Ordering::SeqCst) >= builds {
                return Err(BuildError("no weights".to_owned()));
            }
            Ok(Gated {
                announce: announce.clone(),
                permit: permit.clone(),
            })
        };
        let batcher = Batcher::spawn("test", options, events.clone(), vec![factory])
            .await
            .expect("it starts");
        Bench {
            batcher,
            announced,
            permits,
            built,
            events,
        }
    }

    fn submit(&self, rows: &[Row]) -> tokio::task::JoinHandle<Result<CallReply<u32>, Refusal>> {
        let (batcher, call) = (self.batcher.clone(), call(rows));
        tokio::spawn(async move { batcher.submit(call).await })
    }

    /// Waits until a run has begun; returns the number of its rows.
    fn run_begins(&self) -> usize {
        self.announced.recv().expect("the executor lives")
    }

    fn let_run(&self) {
        self.permits.send(()).expect("the executor lives");
    }

    /// Lets every run go on from now on.
    fn open(self) -> Batcher<Row, u32> {
        self.batcher
    }

    async fn queued(&self, rows: usize) {
        while self.batcher.stats().rows_queued != rows {
            tokio::task::yield_now().await;
        }
    }
}

fn call(rows: &[Row]) -> Call<Row> {
    Call {
        rows: rows.iter().map(|row| (*row, 8)).collect(),
        groups: Vec::new(),
        deadline: None,
        priority: Priority::Interactive,
        flow: Flow::default(),
        lookahead: Lookahead::default(),
    }
}

fn small_batches() -> Options {
    Options {
        max_batch_size: Some(4),
        max_queue_size: 8,
        ..Options::default()
    }
}

fn answers(reply: Result<CallReply<u32>, Refusal>) -> Vec<Result<u32, RowError>> {
    reply.expect("it is answered").rows
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_share_a_batch_and_get_their_own_rows() {
    let bench = Bench::new(small_batches(), 1).await;
    let first = bench.submit(&[Row::Double(1)]);
    assert_eq!(bench.run_begins(), 1);
    let second = bench.submit(&[Row::Double(2), Row::Invalid]);
    let third = bench.submit(&[Row::Double(3)]);
    bench.queued(3).await;
    bench.let_run();
    assert_eq!(bench.run_begins(), 3);
    bench.let_run();
    let first = first.await.expect("no panic").expect("it is answered");
    assert_eq!(
        (
            first.rows,
            first.timing.batches,
            first.timing.batch_rows_max
        ),
        (vec![Ok(2)], 1, 1)
    );
    let second = second.await.expect("no panic").expect("it is answered");
    assert_eq!(
        second.rows,
        [Ok(4), Err(RowError::Invalid("not a number".to_owned()))]
    );
    assert_eq!(
        (second.timing.batch_rows_max, second.timing.batch_tokens_max),
        (3, 24)
    );
    assert_eq!(answers(third.await.expect("no panic")), [Ok(6)]);
    let stats = bench.batcher.stats();
    assert_eq!(
        (
            stats.rows_admitted,
            stats.rows_answered,
            stats.batches_started,
            stats.rows_queued
        ),
        (4, 4, 2, 0)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_call_is_answered_whole_and_lets_others_between() {
    let bench = Bench::new(
        Options {
            // Full batches, however long the test takes for each.
            policy: Policy::Greedy,
            max_queue_size: 2000,
            max_batch_size: Some(10),
            ..Options::default()
        },
        1,
    )
    .await;
    let numbers: Vec<Row> = (0..1000).map(Row::Double).collect();
    let long = bench.submit(&numbers);
    assert_eq!(bench.run_begins(), 10);
    bench.let_run();
    // A single row that comes two batches later must not wait for the other ninety-seven.
    assert_eq!(bench.run_begins(), 10);
    bench.let_run();
    assert_eq!(bench.run_begins(), 10);
    let batcher = bench.batcher.clone();
    let mut single = pin!(batcher.submit(call(&[Row::Double(7)])));
    let mut ask = || {
        let mut context = Context::from_waker(Waker::noop());
        single.as_mut().poll(&mut context)
    };
    assert!(ask().is_pending());
    let mut batches_before = 0;
    let single = loop {
        bench.let_run();
        // The answers of a batch are sent before the next begins.
        bench.run_begins();
        if let Poll::Ready(answer) = ask() {
            break answer;
        }
        batches_before += 1;
        assert!(batches_before < 50, "the single row starves");
    };
    assert_eq!(answers(single), [Ok(14)]);
    let batcher = bench.open();
    let reply = long.await.expect("no panic").expect("it is answered");
    assert_eq!(
        reply.rows,
        (0..1000).map(|number| Ok(2 * number)).collect::<Vec<_>>()
    );
    // More where the quantum, which follows the times of the runs, is less than a full batch.
    assert!(reply.timing.batches >= 100, "{:?}", reply.timing);
    batcher.drain().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_refuses_until_a_caller_cancels() {
    let bench = Bench::new(small_batches(), 1).await;
    let running = bench.submit(&[Row::Double(0)]);
    assert_eq!(bench.run_begins(), 1);
    let waiting: Vec<_> = (0..8).map(|_| bench.submit(&[Row::Double(1)])).collect();
    bench.queued(8).await;
    let refused = bench.batcher.submit(call(&[Row::Double(2)])).await;
    assert!(
        matches!(refused, Err(Refusal::QueueFull { limit: 8, .. })),
        "{refused:?}"
    );
    waiting.iter().for_each(|call| call.abort());
    bench.queued(0).await;
    let admitted = bench.submit(&[Row::Double(3)]);
    bench.queued(1).await;
    let batcher = bench.batcher.clone();
    let events = bench.events.clone();
    bench.open();
    assert_eq!(answers(running.await.expect("no panic")), [Ok(0)]);
    assert_eq!(answers(admitted.await.expect("no panic")), [Ok(6)]);
    let stats = batcher.stats();
    assert_eq!(
        (stats.rows_cancelled, stats.rows_refused.queue_full),
        (8, 1)
    );
    assert!(
        events
            .0
            .lock()
            .expect("no panic")
            .contains(&Event::Cancelled { rows: 1 })
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_bad_row_fails_alone() {
    for (bad, expected) in [
        (Row::FailBatch, RowError::Failed("a bad kernel".to_owned())),
        (Row::Huge, RowError::OutOfMemory { tokens: 8 }),
        (Row::Invalid, RowError::Invalid("not a number".to_owned())),
    ] {
        let bench = Bench::new(small_batches(), 1).await;
        let reply = bench.submit(&[Row::Double(1), Row::Double(2), bad, Row::Double(4)]);
        let batcher = bench.open();
        assert_eq!(
            answers(reply.await.expect("no panic")),
            [Ok(2), Ok(4), Err(expected), Ok(8)]
        );
        batcher.drain().await;
        assert_eq!(batcher.stats().executors, 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_fails_its_batch_and_the_executor_is_rebuilt() {
    let bench = Bench::new(small_batches(), 2).await;
    let doomed = bench.submit(&[Row::Double(1), Row::Panic]);
    assert_eq!(bench.run_begins(), 2);
    let next = bench.submit(&[Row::Double(5)]);
    bench.queued(1).await;
    let (built, events) = (bench.built.clone(), bench.events.clone());
    bench.open();
    let crashed = Err(RowError::Crashed("the model is confused".to_owned()));
    assert_eq!(
        answers(doomed.await.expect("no panic")),
        [crashed.clone(), crashed]
    );
    assert_eq!(answers(next.await.expect("no panic")), [Ok(10)]);
    assert_eq!(built.load(Ordering::SeqCst), 2);
    let events = events.0.lock().expect("no panic");
    assert!(events.contains(&Event::ExecutorCrashed {
        executor: 0,
        message: "the model is confused".to_owned()
    }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_executor_that_cannot_be_rebuilt_refuses_every_call() {
    let bench = Bench::new(small_batches(), 1).await;
    let doomed = bench.submit(&[Row::Panic]);
    assert_eq!(bench.run_begins(), 1);
    let waiting = bench.submit(&[Row::Double(5)]);
    bench.queued(1).await;
    let batcher = bench.open();
    assert!(matches!(
        answers(doomed.await.expect("no panic"))[0],
        Err(RowError::Crashed(_))
    ));
    let died = Refusal::ExecutorDied {
        reason: "no weights".into(),
    };
    assert_eq!(waiting.await.expect("no panic"), Err(died.clone()));
    assert_eq!(batcher.submit(call(&[Row::Double(1)])).await, Err(died));
    assert_eq!(batcher.stats().executors, 0);
    batcher.drain().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_answers_admitted_calls_and_refuses_others() {
    let bench = Bench::new(small_batches(), 1).await;
    let running = bench.submit(&[Row::Double(1)]);
    assert_eq!(bench.run_begins(), 1);
    let waiting = bench.submit(&[Row::Double(2); 6]);
    bench.queued(6).await;
    let batcher = bench.batcher.clone();
    let drained = tokio::spawn({
        let batcher = batcher.clone();
        async move { batcher.drain().await }
    });
    while !batcher.stats().draining {
        tokio::task::yield_now().await;
    }
    assert_eq!(
        batcher.submit(call(&[Row::Double(9)])).await,
        Err(Refusal::Draining)
    );
    assert!(!drained.is_finished());
    bench.open();
    drained.await.expect("no panic");
    assert_eq!(answers(running.await.expect("no panic")), [Ok(2)]);
    assert_eq!(answers(waiting.await.expect("no panic")), vec![Ok(4); 6]);
}

#[tokio::test(start_paused = true)]
async fn an_expired_call_leaves_the_queue() {
    let bench = Bench::new(
        Options {
            max_latency: Some(Duration::from_millis(200)),
            ..small_batches()
        },
        1,
    )
    .await;
    let running = bench.submit(&[Row::Double(1)]);
    tokio::task::yield_now().await;
    assert_eq!(bench.run_begins(), 1);
    let mut late = call(&[Row::Double(2), Row::Double(3)]);
    late.deadline = Some(tokio::time::Instant::now().into_std() + Duration::from_millis(50));
    // The paused clock jumps to the next timer once every task waits.
    assert_eq!(
        bench.batcher.submit(late.clone()).await,
        Err(Refusal::DeadlineExceeded)
    );
    assert_eq!(bench.batcher.stats().rows_queued, 0);
    assert_eq!(
        bench.batcher.submit(late).await,
        Err(Refusal::DeadlineExceeded),
        "a deadline that is over is refused"
    );
    let before = tokio::time::Instant::now();
    assert_eq!(
        bench.batcher.submit(call(&[Row::Double(4)])).await,
        Err(Refusal::DeadlineExceeded)
    );
    assert_eq!(
        before.elapsed().as_millis() / 10,
        20,
        "max_latency is the default deadline"
    );
    let stats = bench.batcher.stats();
    assert_eq!(
        (stats.rows_expired, stats.rows_refused.would_be_late),
        (4, 2)
    );
    bench.open();
    assert_eq!(
        running.await.expect("no panic"),
        Err(Refusal::DeadlineExceeded),
        "its run outlasted its deadline"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_without_the_time_for_its_work_is_refused_and_one_row_tried() {
    let bench = Bench::new(small_batches(), 1).await;
    // 100 s for each token.
    let run = |tokens| Measurement {
        rows: 1,
        tokens,
        duration: Duration::from_secs(100 * tokens),
    };
    bench.batcher.calibrate(&[run(1), run(100)]);
    let mut short = call(&[Row::Double(1), Row::FailBatch]);
    short.rows[1].1 = 9;
    short.deadline = Some(Instant::now() + Duration::from_secs(50));
    let refused = bench.batcher.submit(short.clone()).await;
    assert!(
        matches!(refused, Err(Refusal::DeadlineTooShort { .. })),
        "{refused:?}"
    );
    assert_eq!(bench.run_begins(), 1, "the longer row");
    // A call that comes meanwhile is not answered later than by an ordinary batch.
    let waiting = bench.submit(&[Row::Double(3)]);
    bench.queued(1).await;
    let (batcher, events) = (bench.batcher.clone(), bench.events.clone());
    bench.open();
    assert_eq!(answers(waiting.await.expect("no panic")), [Ok(6)]);
    batcher.drain().await;
    let stats = batcher.stats();
    assert_eq!((stats.rows_failed, stats.rows_answered), (0, 1));
    assert_eq!(stats.rows_refused.deadline_too_short, 2);
    let events = events.0.lock().expect("no panic");
    let is_failure = |event: &Event| matches!(event, Event::RowsFailed { .. });
    assert!(!events.iter().any(is_failure), "{events:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batcher_that_cannot_start_says_why() {
    type Factory = fn() -> Result<Gated, BuildError>;
    let observer = Arc::new(NoObserver);
    let none: Vec<Factory> = Vec::new();
    assert_eq!(
        Batcher::spawn("test", Options::default(), observer.clone(), none)
            .await
            .err(),
        Some(SpawnError::NoExecutors)
    );
    let unbuildable: Factory = || Err(BuildError("no weights".to_owned()));
    let error = Batcher::spawn(
        "test",
        Options::default(),
        observer.clone(),
        vec![unbuildable],
    )
    .await
    .err();
    assert_eq!(
        error.expect("it fails").to_string(),
        "executor 0 could not be built: no weights"
    );
    let panicking: Factory = || panic!("no device");
    let error = Batcher::spawn(
        "test",
        Options::default(),
        observer.clone(),
        vec![panicking],
    )
    .await
    .err();
    assert_eq!(
        error.expect("it fails").to_string(),
        "executor 0 could not be built: panicked: no device"
    );
    let wrong = Options {
        max_batch_size: Some(0),
        ..Options::default()
    };
    let error = Batcher::spawn("test", wrong, observer, vec![unbuildable])
        .await
        .err();
    assert_eq!(
        error.expect("it fails").to_string(),
        "max_batch_size must be between 1 and 4096, or left out for no limit"
    );
}

/// An executor that takes a little time for each token and can be measured.
struct Measured;

impl Executor for Measured {
    type Row = u32;
    type Output = u32;

    fn run(&mut self, rows: &[&u32]) -> Result<Vec<Result<u32, RowError>>, BatchError> {
        let work: u64 = rows
            .iter()
            .map(|row| {
                (0..u64::from(**row) * 100)
                    .map(std::hint::black_box)
                    .sum::<u64>()
            })
            .sum();
        std::hint::black_box(work);
        Ok(rows.iter().map(|row| Ok(**row)).collect())
    }

    fn sample(&self, tokens: u32) -> Option<(u32, u32)> {
        Some((tokens, tokens))
    }
}

#[tokio::test]
async fn an_executor_with_samples_is_measured_before_it_serves() {
    let factory = || Ok::<_, BuildError>(Measured);
    let batcher = Batcher::spawn(
        "measured",
        Options::default(),
        Arc::new(NoObserver),
        vec![factory],
    )
    .await
    .expect("it starts");
    let stats = batcher.stats();
    assert!(stats.cost_token_seconds > 0.0, "{stats:?}");
    assert_eq!(stats.batches_started, 0, "measuring is no traffic");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_hangs_refuses_its_callers_and_others_until_it_ends() {
    let options = Options {
        stuck_after: Duration::from_millis(1),
        ..small_batches()
    };
    let bench = Bench::new(options, 1).await;
    let hangs = bench.submit(&[Row::Double(1)]);
    assert_eq!(bench.run_begins(), 1);
    let waits = bench.submit(&[Row::Double(2)]);
    for call in [hangs, waits] {
        let refused = call.await.expect("no panic");
        assert!(matches!(refused, Err(Refusal::Stuck { .. })), "{refused:?}");
    }
    let refused = bench.batcher.submit(call(&[Row::Double(3)])).await;
    assert!(matches!(refused, Err(Refusal::Stuck { .. })), "{refused:?}");
    assert_eq!(bench.batcher.stats().executors_stuck, 1);
    let events = bench.events.clone();
    let has = |event: fn(&Event) -> bool| events.0.lock().expect("no panic").iter().any(event);
    // Events leave after replies.
    while !has(|event| matches!(event, Event::Stuck { is_last: true, .. })) {
        tokio::task::yield_now().await;
    }
    assert!(!has(|event| *event == Event::Recovered));
    let batcher = bench.open();
    while !has(|event| *event == Event::Recovered) {
        tokio::task::yield_now().await;
    }
    let answer = batcher.submit(call(&[Row::Double(4)])).await;
    assert_eq!(answers(answer), [Ok(8)]);
    assert_eq!(batcher.stats().executors_stuck, 0);
}
