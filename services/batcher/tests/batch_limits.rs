//! Limits of a batch: rows where an option says so, tokens, and the length beyond which a longer
//! batch saves next to nothing.

use std::time::Duration;

use motet_batcher::{
    Arrival, Batch, Cause, Decision, Flow, Layout, Lookahead, Measurement, Options, Outcome,
    Policy, Priority, Scheduler, Time,
};

const START: Time = Time::from_nanos(1_000_000);

/// A scheduler that knows the fixed milliseconds of a batch and its microseconds per token.
fn scheduler(options: Options, (a_ms, b_us): (u64, f64)) -> Scheduler {
    let options = Options {
        max_queue_size: 100_000,
        ..options
    };
    let mut scheduler = Scheduler::new(options, 1);
    let run = |tokens: u64| Measurement {
        rows: 1,
        tokens,
        duration: Duration::from_millis(a_ms)
            + Duration::from_secs_f64(b_us * 1e-6 * tokens as f64),
    };
    scheduler.calibrate(&[run(16), run(256), run(4096)]);
    scheduler
}

const GPU: (u64, f64) = (3, 0.2);
const CPU: (u64, f64) = (3, 160.0);

fn admit(scheduler: &mut Scheduler, calls: usize, tokens: u32, priority: Priority) {
    for _ in 0..calls {
        let call = Arrival {
            tokens: &[tokens],
            groups: &[],
            deadline: None,
            priority,
            flow: Flow::default(),
            lookahead: Lookahead::default(),
        };
        scheduler.admit(START, call).expect("admitted");
    }
}

fn next(scheduler: &mut Scheduler, now: Time) -> Batch {
    match scheduler.poll(now) {
        Decision::Run(batch) => batch,
        other => panic!("nothing runs: {other:?}"),
    }
}

#[test]
fn a_batch_holds_what_its_limits_and_its_cost_allow() {
    // Cost, limit of rows, length of 6,000 rows that wait, and the rows of the first batch.
    let check = |cost, max_batch_size, layout, tokens: u32, rows: usize| {
        let options = Options {
            max_batch_size,
            layout,
            policy: Policy::Greedy,
            ..Options::default()
        };
        let mut scheduler = scheduler(options, cost);
        admit(&mut scheduler, 6000, tokens, Priority::Interactive);
        let batch = next(&mut scheduler, START);
        let what = format!("{cost:?}, {max_batch_size:?}, {layout:?}, {tokens} tokens");
        assert_eq!(
            (batch.rows.len(), batch.cause),
            (rows, Cause::Size),
            "{what}"
        );
    };
    let (packed, padded) = (Layout::Packed, Layout::Padded);
    check(GPU, None, packed, 64, 128);
    check(GPU, None, packed, 16, 512);
    check(GPU, None, packed, 1, Options::BATCH_ROWS_MAX);
    check(GPU, Some(32), packed, 16, 32);
    check(GPU, None, packed, 9000, 1);
    check(GPU, None, padded, 64, 128);
    check(GPU, None, padded, 16, 512);
    check(GPU, Some(32), padded, 16, 32);
    // 300 ms on tokens, of which the fixed 3 ms are a hundredth.
    check(CPU, None, packed, 64, 29);
    check(CPU, None, packed, 16, 117);
    check(CPU, Some(8), packed, 16, 8);
    check(CPU, None, padded, 64, 29);
    // Where the fixed part is nothing, batches are not cut to single rows.
    check((0, 160.0), None, packed, 64, 16);
}

#[test]
fn a_batch_whose_tokens_are_used_up_does_not_wait() {
    // Rows of 1,000 tokens that come one by one, and the number of them that run without a wait.
    for (max_batch_size, rows) in [(None, 8), (Some(3), 3)] {
        let options = Options {
            max_batch_size,
            policy: Policy::Fixed(Duration::from_millis(20)),
            ..Options::default()
        };
        let mut scheduler = scheduler(options, GPU);
        for _ in 1..rows {
            admit(&mut scheduler, 1, 1000, Priority::Interactive);
            let decision = scheduler.poll(START);
            assert!(matches!(decision, Decision::WaitUntil(_)), "{decision:?}");
        }
        admit(&mut scheduler, 1, 1000, Priority::Interactive);
        let batch = next(&mut scheduler, START);
        assert_eq!((batch.rows.len(), batch.cause), (rows, Cause::Size));
    }
}

#[test]
fn bulk_rows_have_their_share_of_each_limit() {
    for (max_batch_size, tokens) in [(Some(32), 16), (None, 16), (None, 64), (None, 512)] {
        let options = Options {
            max_batch_size,
            bulk_share: 0.25,
            policy: Policy::Greedy,
            ..Options::default()
        };
        let mut scheduler = scheduler(options, GPU);
        admit(&mut scheduler, 2000, tokens, Priority::Interactive);
        admit(&mut scheduler, 2000, tokens, Priority::Bulk);
        let (mut now, mut rows, mut bulk) = (START, 0, 0);
        while rows < 1000 {
            let batch = next(&mut scheduler, now);
            rows += batch.rows.len();
            let is_bulk = |row: &&motet_batcher::Row| row.priority == Priority::Bulk;
            bulk += batch.rows.iter().filter(is_bulk).count();
            now = now.after(Duration::from_millis(3));
            scheduler.complete(now, batch.id, Outcome::Done);
        }
        let share = bulk as f64 / rows as f64;
        let what = format!("{max_batch_size:?}, {tokens} tokens");
        assert!((0.24..0.3).contains(&share), "{what}: {share}");
    }
}
