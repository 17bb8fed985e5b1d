//! A long queue runs in short batches where time grows with tokens, and no row is given up for
//! that.

use std::time::Duration;

use motet_batcher::{
    Arrival, Decision, Flow, Lookahead, Measurement, Options, Policy, Priority, Scheduler, Time,
};

/// 3 ms per batch and 160 us per token, as for an encoder on a CPU.
fn scheduler(policy: Policy) -> Scheduler {
    let options = Options {
        policy,
        ..Options::default()
    };
    let mut scheduler = Scheduler::new(options, 1);
    let run = |tokens: u64| Measurement {
        rows: 1,
        tokens,
        duration: Duration::from_micros(3000 + 160 * tokens),
    };
    scheduler.calibrate(&[run(16), run(256), run(4096)]);
    scheduler
}

/// Admits sixteen calls of a row of 64 tokens at once, the first with a deadline. Returns the
/// number of rows of the first batch, and `true` if the first row is among them.
fn first_batch(policy: Policy, deadline_ms: Option<u64>) -> (usize, bool) {
    let mut scheduler = scheduler(policy);
    let now = Time::from_nanos(1_000_000);
    for call in 0..16 {
        let deadline = deadline_ms.filter(|_| call == 0);
        let arrival = Arrival {
            tokens: &[64],
            groups: &[],
            deadline: deadline.map(|ms| now.after(Duration::from_millis(ms))),
            priority: Priority::Interactive,
            flow: Flow::default(),
            lookahead: Lookahead::default(),
        };
        scheduler.admit(now, arrival).expect("admitted");
    }
    let Decision::Run(batch) = scheduler.poll(now) else {
        panic!("nothing runs");
    };
    assert_eq!(scheduler.take_dropped(), []);
    (batch.rows.len(), batch.rows.iter().any(|row| row.id.0 == 0))
}

#[test]
fn a_long_queue_is_cut_where_that_pays() {
    assert_eq!(first_batch(Policy::Greedy, None), (16, true));
    let (rows, has_first) = first_batch(Policy::Adaptive, None);
    assert!((2..8).contains(&rows) && has_first, "{rows} rows");
}

#[test]
fn a_row_that_is_in_time_only_alone_runs_alone() {
    // A row takes 13 ms and two take 23, with 1.2 times that as the safe estimate.
    for policy in [Policy::Greedy, Policy::Adaptive] {
        assert_eq!(first_batch(policy, Some(18)), (1, true), "{policy:?}");
    }
}
