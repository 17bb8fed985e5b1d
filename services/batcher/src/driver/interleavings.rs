//! Interleavings of callers and executor threads at the driver's lock, by loom. A wake-up that is lost, a call that is answered twice or never, or a thread
//! that never ends fails here, whichever order brings it about.

use std::sync::Arc;

use loom::thread::{JoinHandle, spawn};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::call::Answer;
use super::handover::{Ended, Work};
use super::shared::Shared;
use super::{BatchError, Call, NoObserver, Refused, RowError};
use crate::{Lookahead, Options, Policy, Priority, Scheduler, Ticket};

/// Rows are numbers, and the answer to each is twice as much. 13 fails every batch that it is in.
type Driver = Arc<Shared<u32, u32>>;
type Receiver = oneshot::Receiver<Answer<u32>>;

const BAD: u32 = 13;

/// Preemptions in an interleaving, with one executor and with two: all of them would take hours, and few are enough to find nearly every defect (Musuvathi and
/// Qadeer 2007).
const PREEMPTIONS_MAX: [usize; 2] = [4, 2];

fn model(executors: usize, body: impl Fn() + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(PREEMPTIONS_MAX[executors - 1]);
    model.check(body);
}

fn driver(executors: usize) -> Driver {
    // Greedy and without deadlines: nothing depends on the time, which loom does not know.
    let options = Options {
        policy: Policy::Greedy,
        max_batch_size: 2,
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

fn submit(driver: &Driver, rows: &[u32]) -> Result<(Ticket, Receiver), Refused> {
    driver.admit(Call {
        rows: rows.iter().map(|row| (*row, 1)).collect(),
        deadline: None,
        priority: Priority::Interactive,
        lookahead: Lookahead::default(),
    })
}

fn caller(driver: &Driver, row: u32) -> JoinHandle<Result<(Ticket, Receiver), Refused>> {
    let driver = driver.clone();
    spawn(move || submit(&driver, &[row]))
}

fn executor(driver: &Driver) -> JoinHandle<()> {
    let driver = driver.clone();
    spawn(move || {
        while let Some(work) = driver.next() {
            let ended = run(&work);
            driver.finish(work, Instant::now(), ended);
        }
        driver.ended();
    })
}

fn run(work: &Work<u32>) -> Ended<u32> {
    let rows = work.rows();
    if rows.contains(&&BAD) {
        return Ended::Returned(Err(BatchError::Failed("bad".to_owned())));
    }
    Ended::Returned(Ok(rows.into_iter().map(|row| Ok(2 * row)).collect()))
}

/// The one row's result, when it comes.
fn wait(receiver: Receiver) -> Result<u32, RowError> {
    let reply = loom::future::block_on(receiver).expect("answered");
    let rows = reply.expect("not refused").rows;
    rows.into_iter().next().expect("one row")
}

/// The one row's result; the call must have been answered by now.
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
            // Before anything else rings: whoever sleeps through a call's arrival sleeps for ever here.
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
fn a_drain_in_between_refuses_or_answers() {
    model(1, || {
        let driver = driver(1);
        let thread = executor(&driver);
        let late = caller(&driver, 6);
        driver.drain();
        let late = late.join().expect("no panic");
        thread.join().expect("no panic");
        match late {
            Ok((_, mut receiver)) => assert_eq!(answered(&mut receiver), Ok(12)),
            Err(refused) => assert_eq!(refused, Refused::Draining),
        }
    });
}

#[test]
fn a_caller_that_leaves_takes_nobody_along() {
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
fn the_last_executor_to_die_leaves_nobody_waiting() {
    model(1, || {
        let driver = driver(1);
        let late = caller(&driver, 2);
        let (_, mut first) = submit(&driver, &[3]).expect("admitted");
        driver.died(0, "gone".to_owned());
        let refused = |receiver: &mut Receiver| receiver.try_recv().expect("answered");
        assert!(matches!(
            refused(&mut first),
            Err(Refused::ExecutorDied { .. })
        ));
        match late.join().expect("no panic") {
            Ok((_, mut receiver)) => assert!(matches!(
                refused(&mut receiver),
                Err(Refused::ExecutorDied { .. })
            )),
            Err(refused) => assert!(matches!(refused, Refused::ExecutorDied { .. })),
        }
    });
}
