//! A batch that runs ten times longer than expected is stuck.

use std::time::Duration;

use motet_batcher::{
    Arrival, Batch, Decision, Flow, Lookahead, Measurement, Options, Outcome, Policy, Priority,
    Refusal, Scheduler, Time,
};

/// A scheduler that expects 100 ms for each batch.
fn scheduler(executors: usize, stuck_after: Duration) -> Scheduler {
    let options = Options {
        policy: Policy::Greedy,
        max_batch_size: Some(1),
        stuck_after,
        ..Options::default()
    };
    let mut scheduler = Scheduler::new(options, executors);
    let run = |tokens| Measurement {
        rows: 1,
        tokens,
        duration: Duration::from_millis(100),
    };
    scheduler.calibrate(&[run(16), run(128), run(4096)]);
    scheduler
}

fn admit(scheduler: &mut Scheduler, now: Time) -> Result<(), Refusal> {
    let arrival = Arrival {
        tokens: &[10],
        groups: &[],
        deadline: None,
        priority: Priority::Interactive,
        flow: Flow::default(),
        lookahead: Lookahead::default(),
    };
    scheduler.admit(now, arrival).map(|_| ())
}

fn start(scheduler: &mut Scheduler, now: Time) -> Batch {
    admit(scheduler, now).expect("admitted");
    match scheduler.poll(now) {
        Decision::Run(batch) => batch,
        other => panic!("nothing runs: {other:?}"),
    }
}

#[test]
fn a_batch_is_stuck_after_ten_times_its_time_and_the_floor() {
    // The floor in seconds, and the time after which a batch is stuck.
    for (floor, expected) in [(0, 1.0), (10, 10.0)] {
        let mut scheduler = scheduler(1, Duration::from_secs(floor));
        let now = Time::from_seconds(5.0);
        let batch = start(&mut scheduler, now);
        let before = now.plus_seconds(0.98 * expected);
        assert_eq!(scheduler.find_stuck(before), None);
        let after = now.plus_seconds(1.02 * expected);
        let stuck = scheduler.find_stuck(after).expect("stuck");
        assert_eq!(
            (stuck.calls, stuck.is_last),
            (vec![batch.rows[0].call], true)
        );
        assert_eq!(scheduler.find_stuck(after), None, "found once");
    }
}

#[test]
fn calls_are_refused_while_no_other_executor_is_left() {
    let mut scheduler = scheduler(2, Duration::ZERO);
    let now = Time::from_seconds(1.0);
    let first = start(&mut scheduler, now);
    let later = now.plus_seconds(2.0);
    assert!(!scheduler.find_stuck(later).expect("stuck").is_last);
    // The other executor goes on.
    let second = start(&mut scheduler, later);
    admit(&mut scheduler, later).expect("it waits");
    let last = later.plus_seconds(2.0);
    assert!(scheduler.find_stuck(last).expect("stuck").is_last);
    assert!(!scheduler.is_serving());
    assert_eq!(scheduler.queued(), 0, "what waits is refused, too");
    let refused = admit(&mut scheduler, last);
    let running = Duration::from_secs(4);
    assert_eq!(refused, Err(Refusal::Stuck { running }));
    scheduler.complete(last, first.id, Outcome::Done);
    assert!(scheduler.is_serving());
    admit(&mut scheduler, last).expect("an executor is free");
    scheduler.complete(last, second.id, Outcome::Failed);
    assert_eq!(scheduler.stats().rows_failed, 3);
    let fixed = scheduler.stats().cost_fixed_seconds;
    assert!(
        (0.09..0.11).contains(&fixed),
        "a hang teaches nothing: {fixed}"
    );
}
