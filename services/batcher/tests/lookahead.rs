//! Rows that a caller announces are waited for where that pays, and never otherwise.

use std::time::Duration;

use motet_batcher::{
    Arrival, Cause, Decision, ExpectedRows, Flow, Lookahead, Measurement, Options, Outcome, Policy,
    Priority, Scheduler, Time,
};

const MS: u64 = 1_000_000;

/// A scheduler whose cost is known: `a_ms` milliseconds per batch, `b_us` microseconds per token.
fn scheduler(a_ms: f64, b_us: f64, options: Options) -> Scheduler {
    let mut scheduler = Scheduler::new(options, 1);
    let run = |tokens: u64| Measurement {
        rows: 1,
        tokens,
        duration: Duration::from_secs_f64(a_ms * 1e-3 + b_us * 1e-6 * tokens as f64),
    };
    scheduler.calibrate(&[run(16), run(256), run(4096)]);
    scheduler
}

fn arrival(tokens: &[u32], lookahead: Lookahead) -> Arrival<'_> {
    Arrival {
        tokens,
        groups: &[],
        deadline: None,
        priority: Priority::Interactive,
        flow: Flow::default(),
        lookahead,
    }
}

/// One row of request 7, which eight more will follow within `ms`.
fn first(ms: u64) -> Arrival<'static> {
    let expected = ExpectedRows {
        rows: 8,
        within: Duration::from_millis(ms),
    };
    let lookahead = Lookahead {
        request: Some(7),
        expected: Some(expected),
    };
    arrival(&[16], lookahead)
}

fn second(request: u64) -> Arrival<'static> {
    let lookahead = Lookahead {
        request: Some(request),
        expected: None,
    };
    arrival(&[100; 8], lookahead)
}

/// A long call is cut into quanta for short calls of others. The short call of its own request is
/// no reason to, and neither is one that came when nothing else was there.
#[test]
fn a_request_is_not_cut_for_its_own_short_call() {
    let options = Options {
        policy: Policy::Greedy,
        ..Options::default()
    };
    for (other, whole) in [(false, true), (true, false)] {
        let mut scheduler = scheduler(3.0, 160.0, options.clone());
        for request in 0..3 {
            let lookahead = |request| Lookahead {
                request: Some(request),
                expected: None,
            };
            let start = at(1000 * (request + 1));
            let mut admit = |row: &[u32], request| {
                let call = arrival(row, lookahead(request));
                scheduler.admit(start, call).expect("admitted");
            };
            admit(&[20], request);
            admit(&[100; 8], request);
            if other {
                admit(&[20], 100 + request);
            }
            let mut largest = 0;
            let mut now = start;
            while let Decision::Run(batch) = scheduler.poll(now) {
                largest = largest.max(batch.rows.iter().filter(|r| r.tokens == 100).count());
                now = now.after(Duration::from_millis(200));
                scheduler.complete(now, batch.id, Outcome::Done);
            }
            assert_eq!(
                largest == 8,
                whole,
                "{largest} rows, beside others: {other}"
            );
        }
    }
}

fn at(ms: u64) -> Time {
    Time::from_nanos(ms * MS)
}

fn rows(decision: Decision) -> usize {
    match decision {
        Decision::Run(batch) => batch.rows.len(),
        other => panic!("{other:?} instead of a batch"),
    }
}

#[test]
fn announced_rows_run_in_the_same_batch() {
    let mut scheduler = scheduler(3.0, 0.2, Options::default());
    scheduler.admit(at(10), first(1)).expect("admitted");
    assert_eq!(scheduler.poll(at(10)), Decision::WaitUntil(at(11)));
    scheduler.admit(at(10), second(7)).expect("admitted");
    assert_eq!(
        rows(scheduler.poll(at(10))),
        9,
        "no further row is waited for"
    );
}

#[test]
fn announced_rows_that_do_not_come_end_the_wait() {
    let mut scheduler = scheduler(3.0, 0.2, Options::default());
    scheduler.admit(at(10), first(1)).expect("admitted");
    assert_eq!(scheduler.poll(at(10)), Decision::WaitUntil(at(11)));
    let Decision::Run(batch) = scheduler.poll(at(11)) else {
        panic!("still waiting");
    };
    assert_eq!((batch.rows.len(), batch.cause), (1, Cause::Window));
    scheduler.complete(at(14), batch.id, Outcome::Done);
    // A call that is cancelled takes its announcement with it.
    let ticket = scheduler.admit(at(20), first(1)).expect("admitted");
    scheduler
        .admit(at(20), arrival(&[16], Lookahead::default()))
        .expect("admitted");
    assert_eq!(scheduler.poll(at(20)), Decision::WaitUntil(at(21)));
    scheduler.cancel(&ticket);
    assert_eq!(rows(scheduler.poll(at(20))), 1);
}

#[test]
fn announcements_are_ignored_without_lookahead() {
    let options = Options {
        lookahead: false,
        ..Options::default()
    };
    let mut scheduler = scheduler(3.0, 0.2, options);
    scheduler.admit(at(10), first(1)).expect("admitted");
    assert_eq!(rows(scheduler.poll(at(10))), 1);
}

#[test]
fn calls_of_one_request_run_together() {
    // Sixteen calls at once: a short batch where each is a request, a whole one where one request
    // needs them all.
    let check = |request: fn(u64) -> Option<u64>| {
        let mut scheduler = scheduler(3.0, 160.0, Options::default());
        for call in 0..16 {
            let lookahead = Lookahead {
                request: request(call),
                expected: None,
            };
            let admitted = scheduler.admit(at(10), arrival(&[64], lookahead));
            admitted.expect("admitted");
        }
        rows(scheduler.poll(at(10)))
    };
    assert!((1..16).contains(&check(|_| None)));
    assert!((1..16).contains(&check(Some)));
    assert_eq!(check(|_| Some(7)), 16);
}

#[test]
fn a_wait_must_pay_and_keeps_its_limits() {
    let check = |a_ms, b_us, ms, options: Options, expected| {
        let mut scheduler = scheduler(a_ms, b_us, options);
        scheduler.admit(at(10), first(ms)).expect("admitted");
        let waits = match scheduler.poll(at(10)) {
            Decision::WaitUntil(until) => Some(until.since(at(10)).as_micros()),
            _ => None,
        };
        assert_eq!(waits, expected, "a {a_ms} ms, b {b_us} us, within {ms} ms");
    };
    let delay = |us| Options {
        max_queue_delay: Duration::from_micros(us),
        ..Options::default()
    };
    check(3.0, 0.2, 2, Options::default(), Some(2000));
    // The rows would come after the pass.
    check(3.0, 0.2, 4, Options::default(), None);
    // A short pass ends before they come.
    check(0.4, 0.05, 1, Options::default(), None);
    check(3.0, 0.2, 2, delay(0), None);
    check(3.0, 0.2, 2, delay(500), Some(500));
}
