//! Calls with less time than their own work takes: how they are refused, how a wrong estimate of
//! that time is corrected, and no row of a call that was given up runs.

use std::time::Duration;

use motet_batcher::{
    Arrival, Batch, Cause, Decision, Dropped, Flow, Lookahead, Measurement, Options, Outcome,
    Policy, Priority, Refusal, Scheduler, Time, Verdict,
};

const START: Time = Time::from_nanos(1_000_000);

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// An idle scheduler that estimates 1 ms per batch and 10 µs per token, both times `factor`.
fn scheduler(factor: u32) -> Scheduler {
    let options = Options {
        policy: Policy::Greedy,
        ..Options::default()
    };
    let mut scheduler = Scheduler::new(options, 1);
    let run = |tokens| Measurement {
        rows: 1,
        tokens,
        duration: actual(tokens) * factor,
    };
    scheduler.calibrate(&[run(16), run(128), run(1024), run(4096)]);
    scheduler
}

/// The time that a batch takes.
fn actual(tokens: u64) -> Duration {
    Duration::from_micros(1000 + 10 * tokens)
}

fn arrival(now: Time, tokens: &[u32], deadline_ms: u64) -> Arrival<'_> {
    Arrival {
        tokens,
        groups: &[],
        deadline: Some(now.after(ms(deadline_ms))),
        priority: Priority::Interactive,
        flow: Flow::default(),
        lookahead: Lookahead::default(),
    }
}

fn run(scheduler: &mut Scheduler, now: Time) -> Batch {
    match scheduler.poll(now) {
        Decision::Run(batch) => batch,
        other => panic!("nothing runs: {other:?}"),
    }
}

#[test]
fn a_refusal_tells_a_short_deadline_from_a_long_queue() {
    // Tokens of a call that runs and of one that waits, then those of the call and its deadline in
    // milliseconds; the reason of its refusal.
    let check = |ahead: [u32; 2], tokens: &[u32], deadline_ms: u64, expected: Option<&str>| {
        let mut scheduler = scheduler(1);
        for tokens in ahead.into_iter().filter(|tokens| *tokens > 0) {
            scheduler
                .admit(START, arrival(START, &[tokens], 10_000))
                .expect("there is time");
            scheduler.poll(START);
        }
        let call = arrival(START, tokens, deadline_ms);
        let found = scheduler.admit(START, call);
        let reason = found.as_ref().err().map(Refusal::reason);
        assert_eq!(
            reason, expected,
            "{ahead:?} {tokens:?} {deadline_ms}: {found:?}"
        );
    };
    let (short, late) = (Some("deadline_too_short"), Some("would_be_late"));
    check([0, 0], &[900], 50, None);
    check([0, 0], &[4000], 30, short);
    check([0, 0], &[2000, 2000], 30, short);
    // Between the expected time and the safe estimate it is tried.
    check([0, 0], &[4000], 42, None);
    // Two batches of 8,192 tokens at most.
    check([0, 0], &[4000, 4000, 4000], 121, short);
    check([0, 0], &[4000, 4000, 4000], 122, None);
    check([4000, 0], &[900], 8, short);
    check([4000, 0], &[900], 40, late);
    check([4000, 4000], &[900], 8, short);
    check([4000, 4000], &[900], 55, late);
    check([4000, 4000], &[900], 200, None);
}

#[test]
fn the_message_says_how_much_time_the_work_takes() {
    let mut scheduler = scheduler(1);
    let refusal = scheduler.admit(START, arrival(START, &[4000], 30));
    assert_eq!(
        refusal.expect_err("it cannot be in time").to_string(),
        "its work is estimated to take 41ms, and its deadline allows 30ms; allow more time, or \
         send fewer or shorter rows"
    );
}

#[test]
fn a_call_that_is_tight_on_an_idle_server_runs_whole() {
    // 20.8 ms are expected, and 25 are safe.
    let mut scheduler = scheduler(1);
    let call = arrival(START, &[660, 660, 660], 22);
    scheduler.admit(START, call).expect("it may be in time");
    assert_eq!(run(&mut scheduler, START).rows.len(), 3);
    assert_eq!(scheduler.take_dropped(), []);
}

/// Plays one call after another, each of `tokens` and with `deadline_ms`, and runs what the
/// scheduler starts. Returns the trials' starts and the first time at which a call is admitted.
fn play(
    scheduler: &mut Scheduler,
    tokens: &[u32],
    deadline_ms: u64,
    until: Time,
) -> (Vec<Time>, Option<Time>) {
    let (mut now, mut trials) = (START, Vec::new());
    while now < until {
        let call = arrival(now, tokens, deadline_ms);
        if scheduler.admit(now, call).is_ok() {
            return (trials, Some(now));
        }
        let is_queued = scheduler.queue_trial(now, &call).is_some();
        assert!(scheduler.queue_trial(now, &call).is_none(), "one at a time");
        if is_queued {
            trials.push(now);
            let batch = run(scheduler, now);
            assert_eq!((batch.rows.len(), batch.cause), (1, Cause::Trial));
            let longest = tokens.iter().max().copied();
            assert_eq!(Some(batch.rows[0].tokens), longest);
            now = now.after(actual(batch.tokens));
            let verdict = scheduler.complete(now, batch.id, Outcome::Done);
            assert_eq!(verdict, Verdict::Answer);
        }
        assert_eq!(scheduler.poll(now), Decision::Idle);
        now = now.after(ms(20));
    }
    (trials, None)
}

#[test]
fn trials_correct_an_estimate_that_is_too_high() {
    for (factor, tokens) in [(20, vec![500]), (50, vec![100, 16, 300, 8])] {
        let mut scheduler = scheduler(factor);
        let end = START.after(Duration::from_secs(60));
        let (trials, admitted) = play(&mut scheduler, &tokens, 50, end);
        let admitted = admitted.expect("the estimate is corrected");
        assert!(
            admitted.since(START) < Duration::from_secs(10),
            "{factor}: after {:?}",
            admitted.since(START)
        );
        assert!((1..=8).contains(&trials.len()), "{factor}: {trials:?}");
    }
}

#[test]
fn trials_take_little_time_where_the_estimate_is_right() {
    let mut scheduler = scheduler(1);
    let end = START.after(Duration::from_secs(20));
    let (trials, admitted) = play(&mut scheduler, &[9000, 9000], 100, end);
    assert_eq!(admitted, None);
    // 91 ms each, and 19 times that in between.
    assert_eq!(trials.len(), 11);
    let stats = scheduler.stats();
    assert_eq!(
        (stats.rows_admitted, stats.rows_answered, stats.rows_queued),
        (0, 0, 0)
    );
    assert_eq!(stats.rows_refused.deadline_too_short % 2, 0);
    assert!(stats.rows_refused.deadline_too_short > 1000);
}

#[test]
fn a_trial_waits_for_nothing_and_delays_no_waiting_call() {
    let mut scheduler = scheduler(1);
    let too_short = arrival(START, &[4000], 30);
    scheduler.admit(START, too_short).expect_err("too short");
    scheduler.queue_trial(START, &too_short).expect("idle");
    let call = arrival(START, &[100], 30);
    scheduler.admit(START, call).expect("there is time");
    let first = run(&mut scheduler, START);
    assert_eq!((first.cause, first.tokens), (Cause::Ready, 100));
    assert_eq!(scheduler.queue_trial(START, &too_short), None, "not idle");
    scheduler.complete(START, first.id, Outcome::Done);
    scheduler.drain();
    assert_eq!(scheduler.poll(START), Decision::Idle, "no trial in a drain");
    assert!(scheduler.is_drained());
}

#[test]
fn no_row_of_a_call_that_is_given_up_runs() {
    let mut scheduler = scheduler(1);
    let start = |scheduler: &mut Scheduler, tokens: &[u32], deadline_ms: Option<u64>| {
        let call = Arrival {
            deadline: deadline_ms.map(|ms| START.after(Duration::from_millis(ms))),
            ..arrival(START, tokens, 0)
        };
        scheduler.admit(START, call).expect("there is time")
    };
    start(&mut scheduler, &[10], None);
    let running = run(&mut scheduler, START);
    // 21.1 ms of work, which an idle server would do in time.
    let long = start(&mut scheduler, &[2000, 10], Some(40));
    let other = start(&mut scheduler, &[10], None);
    let now = START.after(ms(30));
    scheduler.complete(now, running.id, Outcome::Done);
    let batch = run(&mut scheduler, now);
    let calls: Vec<_> = batch.rows.iter().map(|row| row.call).collect();
    assert_eq!(calls, [other.call]);
    let dropped = scheduler.take_dropped();
    let reasons: Vec<_> = dropped
        .iter()
        .map(|Dropped { row, refusal }| (row.call, row.index, refusal.reason()))
        .collect();
    let late = "would_be_late";
    assert_eq!(reasons, [(long.call, 0, late), (long.call, 1, late)]);
    assert_eq!(scheduler.stats().rows_expired, 2);
}
