//! Executors for bulk rows alone, whose batches give way to the others.

use std::time::Duration;

use motet_batcher::{
    Arrival, Batch, Decision, Flow, Lookahead, Measurement, Options, Outcome, Policy, Priority,
    Refusal, Scheduler, Time, Verdict,
};

/// Milliseconds that a batch is expected to take for each token.
const MS_PER_TOKEN: u64 = 1;

/// A scheduler with one executor, and this number of bulk executors.
fn scheduler(bulk_executors: usize) -> Scheduler {
    let options = Options {
        policy: Policy::Greedy,
        max_batch_tokens: 100,
        stuck_after: Duration::ZERO,
        ..Options::default()
    };
    let mut scheduler = Scheduler::new(options, 1).with_bulk_executors(bulk_executors);
    let run = |tokens| Measurement {
        rows: 1,
        tokens,
        duration: Duration::from_millis(MS_PER_TOKEN * tokens),
    };
    scheduler.calibrate(&[run(16), run(128), run(4096)]);
    scheduler
}

fn at(millis: u64) -> Time {
    Time::ZERO.after(Duration::from_millis(millis))
}

fn admit(scheduler: &mut Scheduler, now: Time, priority: Priority, tokens: &[u32]) {
    let arrival = Arrival {
        tokens,
        groups: &[],
        deadline: None,
        priority,
        flow: Flow::default(),
        lookahead: Lookahead::default(),
    };
    scheduler.admit(now, arrival).expect("admitted");
}

fn run(decision: Decision) -> Batch {
    match decision {
        Decision::Run(batch) => batch,
        other => panic!("nothing runs: {other:?}"),
    }
}

#[test]
fn bulk_rows_run_on_their_own_executors_in_whole_batches() {
    let mut scheduler = scheduler(1);
    admit(&mut scheduler, at(0), Priority::Bulk, &[20; 6]);
    assert_eq!(scheduler.poll(at(0)), Decision::Idle);
    let bulk = run(scheduler.poll_bulk(at(0)));
    // As many as a batch may have, not as few as interactive rows can wait for.
    assert_eq!(bulk.tokens, 100);
    // One at a time.
    assert_eq!(scheduler.poll_bulk(at(0)), Decision::Idle);
    // An interactive row starts at once beside it, and takes no bulk row along.
    admit(&mut scheduler, at(10), Priority::Interactive, &[30]);
    let interactive = run(scheduler.poll(at(10)));
    assert_eq!(interactive.tokens, 30);
    assert_eq!(scheduler.poll_bulk(at(10)), Decision::Idle);
    let done = scheduler.complete(at(40), interactive.id, Outcome::Done);
    assert_eq!(done, Verdict::Answer);
    assert_eq!(scheduler.complete(at(130), bulk.id, Outcome::Done), done);
    let rest = run(scheduler.poll_bulk(at(130)));
    assert_eq!(rest.tokens, 20);
    scheduler.complete(at(150), rest.id, Outcome::Done);
    scheduler.drain();
    assert!(scheduler.is_drained());
}

#[test]
fn the_time_of_a_bulk_batch_is_without_that_in_which_it_gives_way() {
    // When another batch starts and ends beside one from 0 to 1000 ms, and what is left of it.
    for (start, end, expected) in [
        (None, None, 1000),
        (Some(100), Some(400), 700),
        (Some(100), None, 100),
    ] {
        let mut scheduler = scheduler(1);
        admit(&mut scheduler, at(0), Priority::Bulk, &[100]);
        let bulk = run(scheduler.poll_bulk(at(0)));
        let mut other = None;
        if let Some(start) = start {
            admit(&mut scheduler, at(start), Priority::Interactive, &[10]);
            other = Some(run(scheduler.poll(at(start))).id);
        }
        let mut computed = Duration::ZERO;
        if let (Some(end), Some(id)) = (end, other.filter(|_| end.is_some())) {
            scheduler.complete(at(end), id, Outcome::Done);
            computed = scheduler.stats().compute_time;
        }
        scheduler.complete(at(1000), bulk.id, Outcome::Done);
        let of_bulk = scheduler.stats().compute_time - computed;
        assert_eq!(
            of_bulk,
            Duration::from_millis(expected),
            "{start:?} {end:?}"
        );
    }
}

#[test]
fn a_bulk_batch_that_gives_way_is_not_stuck() {
    let mut scheduler = scheduler(1);
    admit(&mut scheduler, at(0), Priority::Bulk, &[100]);
    let bulk = run(scheduler.poll_bulk(at(0)));
    // Ten times its expected time is a second, in which it computes for half of it.
    admit(&mut scheduler, at(500), Priority::Interactive, &[100]);
    let other = run(scheduler.poll(at(500)));
    assert_eq!(scheduler.find_stuck(at(1400)), None);
    scheduler.complete(at(1400), other.id, Outcome::Done);
    assert_eq!(scheduler.find_stuck(at(1890)), None);
    let stuck = scheduler.find_stuck(at(1910)).expect("stuck");
    assert_eq!(
        (stuck.calls, stuck.is_last),
        (vec![bulk.rows[0].call], false)
    );
    // Interactive rows are answered, and bulk rows run where they do.
    assert!(scheduler.is_serving());
    admit(&mut scheduler, at(1920), Priority::Interactive, &[1]);
    let other = run(scheduler.poll(at(1920)));
    scheduler.complete(at(1921), other.id, Outcome::Done);
    admit(&mut scheduler, at(1930), Priority::Bulk, &[1]);
    assert_eq!(
        run(scheduler.poll(at(1930))).rows[0].priority,
        Priority::Bulk
    );
}

#[test]
fn without_their_executors_bulk_rows_run_on_the_others() {
    let mut scheduler = scheduler(1);
    admit(&mut scheduler, at(0), Priority::Bulk, &[1]);
    assert_eq!(scheduler.poll(at(0)), Decision::Idle);
    scheduler.retire_bulk_executor();
    assert_eq!(scheduler.poll_bulk(at(0)), Decision::Idle);
    assert_eq!(run(scheduler.poll(at(0))).rows[0].priority, Priority::Bulk);
}

#[test]
fn a_bulk_batch_that_fails_is_halved_on_the_others() {
    let mut scheduler = scheduler(1);
    admit(&mut scheduler, at(0), Priority::Bulk, &[1, 2]);
    let batch = run(scheduler.poll_bulk(at(0)));
    let verdict = scheduler.complete(at(3), batch.id, Outcome::Failed);
    assert_eq!(verdict, Verdict::Retry);
    assert_eq!(scheduler.poll_bulk(at(3)), Decision::Idle);
    for _ in 0..2 {
        let half = run(scheduler.poll(at(3)));
        assert_eq!(half.rows.len(), 1);
        scheduler.complete(at(3), half.id, Outcome::Done);
    }
    assert_eq!(scheduler.stats().rows_answered, 2);
}

#[test]
fn an_interactive_call_is_admitted_as_if_no_bulk_rows_ran() {
    // A call without time is refused whether or not bulk rows run.
    let mut scheduler = scheduler(1);
    admit(&mut scheduler, at(0), Priority::Bulk, &[100]);
    run(scheduler.poll_bulk(at(0)));
    let arrival = |allowed| Arrival {
        tokens: &[50],
        groups: &[],
        deadline: Some(at(allowed)),
        priority: Priority::Interactive,
        flow: Flow::default(),
        lookahead: Lookahead::default(),
    };
    // It takes 50 ms, and the bulk batch 100.
    assert!(scheduler.admit(at(0), arrival(70)).is_ok());
    let refused = scheduler.admit(at(0), arrival(40));
    assert!(
        matches!(refused, Err(Refusal::DeadlineTooShort { .. })),
        "{refused:?}"
    );
}
