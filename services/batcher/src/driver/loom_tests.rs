//! Interleavings of callers and executor threads at the driver's lock, by loom. A lost wake-up, a
//! call that is answered twice or never, or a thread that never ends fails in the order that causes
//! it.

use std::sync::Arc;
use std::time::Duration;

use loom::thread::{JoinHandle, spawn};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::call::{Answer, Call};
use super::dispatch::{Assignment, RunResult};
use super::executor::{BatchError, RowError};
use super::observer::NoObserver;
use super::shared::Shared;
use crate::arrival::{Lookahead, Ticket};
use crate::cost::Measurement;
use crate::flow::Flow;
use crate::options::{Options, Policy};
use crate::refusal::Refusal;
use crate::row::Priority;
use crate::scheduler::{ExecutorKind, Scheduler};

/// Rows are numbers, and the output of each is its double. 13 fails every batch that it is in.
type Driver = Arc<Shared<u32, u32>>;
type Receiver = oneshot::Receiver<Answer<u32>>;

const BAD: u32 = 13;

/// Most preemptions in an interleaving, with one executor and with two: all of them would take
/// hours, and few are enough to find nearly every defect (Musuvathi and Qadeer 2007).
const PREEMPTIONS_MAX: [usize; 2] = [4, 2];

fn model(executors: usize, body: impl Fn() + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(PREEMPTIONS_MAX[executors - 1]);
    model.check(body);
}

fn driver(executors: usize) -> Driver {
    // Greedy and without deadlines: nothing depends on the time, which loom does not model.
    let options = Options {
        policy: Policy::Greedy,
        max_batch_size: Some(2),
        max_queue_size: 2,
        ..Options::default()
    };
    let scheduler = Scheduler::new(options, executors);
    Arc::new(Shared::new(
        "model".into(),
        scheduler,
        Arc::new(NoObserver),
        executors,
    ))
}

fn submit(driver: &Driver, rows: &[u32]) -> Result<(Ticket, Receiver), Refusal> {
    driver.admit(Call {
        rows: rows.iter().map(|row| (*row, 1)).collect(),
        groups: Vec::new(),
        deadline: None,
        priority: Priority::Interactive,
        flow: Flow::default(),
        lookahead: Lookahead::default(),
    })
}

fn caller(driver: &Driver, row: u32) -> JoinHandle<Result<(Ticket, Receiver), Refusal>> {
    let driver = driver.clone();
    spawn(move || submit(&driver, &[row]))
}

fn executor(driver: &Driver) -> JoinHandle<()> {
    let driver = driver.clone();
    spawn(move || {
        while let Some(assignment) = driver.next_batch(ExecutorKind::General) {
            let result = run(&assignment);
            driver.complete(assignment, Instant::now(), result);
        }
        driver.ended();
    })
}

fn run(assignment: &Assignment<u32>) -> RunResult<u32> {
    let rows = assignment.rows();
    if rows.contains(&&BAD) {
        return RunResult::Returned(Err(BatchError::Failed("bad".to_owned())));
    }
    RunResult::Returned(Ok(rows.into_iter().map(|row| Ok(2 * row)).collect()))
}

/// Waits for the result of the one row.
fn wait(receiver: Receiver) -> Result<u32, RowError> {
    let reply = loom::future::block_on(receiver).expect("answered");
    let rows = reply.expect("not refused").rows;
    rows.into_iter().next().expect("one row")
}

/// Returns the result of the one row; the call must have been answered.
fn answered(receiver: &mut Receiver) -> Result<u32, RowError> {
    let reply = receiver.try_recv().expect("answered").expect("not refused");
    reply.rows.into_iter().next().expect("one row")
}

#[test]
fn callers_are_answered_and_executors_end() {
    for executors in [1, 2] {
        model(executors, move || {
            let driver = driver(executors);
            let threads: Vec<_> = (0..executors).map(|_| executor(&driver)).collect();
            let other = caller(&driver, 5);
            let (_, first) = submit(&driver, &[4]).expect("admitted");
            let (_, second) = other.join().expect("no panic").expect("admitted");
            // Before any other notification: an executor that misses the arrival of a call sleeps
            // for ever here.
            let (first, second) = (wait(first), wait(second));
            driver.drain();
            threads
                .into_iter()
                .for_each(|thread| thread.join().expect("no panic"));
            assert_eq!((first, second), (Ok(8), Ok(10)));
            assert_eq!(driver.stats().rows_answered, 2);
        });
    }
}

#[test]
fn a_call_during_a_drain_is_refused_or_answered() {
    model(1, || {
        let driver = driver(1);
        let thread = executor(&driver);
        let late = caller(&driver, 6);
        driver.drain();
        let late = late.join().expect("no panic");
        thread.join().expect("no panic");
        match late {
            Ok((_, mut receiver)) => assert_eq!(answered(&mut receiver), Ok(12)),
            Err(refusal) => assert_eq!(refusal, Refusal::Draining),
        }
    });
}

#[test]
fn a_caller_that_cancels_does_not_affect_others() {
    model(1, || {
        let driver = driver(1);
        let thread = executor(&driver);
        let (ticket, mut gone) = submit(&driver, &[1]).expect("admitted");
        let other = caller(&driver, 7);
        driver.forget(&ticket, false);
        let (_, mut stays) = other.join().expect("no panic").expect("admitted");
        driver.drain();
        thread.join().expect("no panic");
        assert_eq!(answered(&mut stays), Ok(14));
        let stats = driver.stats();
        assert_eq!(stats.rows_answered + stats.rows_cancelled, 2);
        assert_eq!(gone.try_recv().is_ok(), stats.rows_answered == 2);
    });
}

#[test]
fn a_trial_runs_or_is_dropped_in_a_drain() {
    model(1, || {
        let driver = driver(1);
        // 100 s for each token.
        driver.calibrate(&[1, 100].map(|tokens| Measurement {
            rows: 1,
            tokens,
            duration: Duration::from_secs(100 * tokens),
        }));
        let thread = executor(&driver);
        let refused = driver.admit(Call {
            rows: vec![(BAD, 1), (8, 2)],
            groups: Vec::new(),
            deadline: Some(std::time::Instant::now() + Duration::from_secs(50)),
            priority: Priority::Interactive,
            flow: Flow::default(),
            lookahead: Lookahead::default(),
        });
        assert!(matches!(refused, Err(Refusal::DeadlineTooShort { .. })));
        driver.drain();
        thread.join().expect("no panic");
        let stats = driver.stats();
        assert!(stats.batches_started <= 1);
        assert_eq!((stats.rows_answered, stats.rows_failed), (0, 0));
    });
}

#[test]
fn halves_of_a_failed_batch_find_an_executor() {
    model(2, || {
        let driver = driver(2);
        let (_, mut bad) = submit(&driver, &[BAD]).expect("admitted");
        let (_, good) = submit(&driver, &[9]).expect("admitted");
        let threads = [executor(&driver), executor(&driver)];
        let good = wait(good);
        driver.drain();
        for thread in threads {
            thread.join().expect("no panic");
        }
        assert_eq!(good, Ok(18));
        assert!(matches!(answered(&mut bad), Err(RowError::Failed(_))));
    });
}

#[test]
fn the_last_executor_to_die_refuses_every_call() {
    model(1, || {
        let driver = driver(1);
        let late = caller(&driver, 2);
        let (_, mut first) = submit(&driver, &[3]).expect("admitted");
        driver.died(0, ExecutorKind::General, "gone".to_owned());
        let refused = |receiver: &mut Receiver| receiver.try_recv().expect("answered");
        assert!(matches!(
            refused(&mut first),
            Err(Refusal::ExecutorDied { .. })
        ));
        match late.join().expect("no panic") {
            Ok((_, mut receiver)) => assert!(matches!(
                refused(&mut receiver),
                Err(Refusal::ExecutorDied { .. })
            )),
            Err(refusal) => assert!(matches!(refusal, Refusal::ExecutorDied { .. })),
        }
    });
}
