//! Two callers with endless work.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use motet_tests::connection::Connection;

use super::{call, request};

/// A caller: one connection with so many calls at a time, of so many rows and words.
#[derive(Clone, Copy)]
struct Caller {
    calls: usize,
    rows: usize,
    words: usize,
}

const CALLERS: [[Caller; 2]; 3] = [
    [Caller::of(8, 4, 60), Caller::of(8, 4, 60)],
    [Caller::of(16, 8, 60), Caller::of(64, 1, 60)],
    [Caller::of(8, 8, 60), Caller::of(64, 4, 8)],
];

impl Caller {
    const fn of(calls: usize, rows: usize, words: usize) -> Self {
        Self { calls, rows, words }
    }
}

/// Prints the table.
pub(super) async fn measure(address: SocketAddr, time: Duration) {
    println!("two connections with endless work: words computed in a second");
    println!(
        "{:>20} {:>20} {:>9} {:>9} {:>7}",
        "one", "other", "words/s", "words/s", "share"
    );
    for callers in CALLERS {
        let counters: [Arc<AtomicU64>; 2] = Default::default();
        let end = Instant::now() + time + time / 4;
        let mut tasks = Vec::new();
        for (caller, counter) in callers.iter().zip(&counters) {
            let connection = Connection::open(address).await;
            for number in 0..caller.calls {
                let work = run(connection.clone(), *caller, number, counter.clone(), end);
                tasks.push(tokio::spawn(work));
            }
        }
        // The first quarter is not counted: both have all their calls there only then.
        tokio::time::sleep(time / 4).await;
        let read = || counters.each_ref().map(|c| c.load(Ordering::Relaxed));
        let before = read();
        tokio::time::sleep_until(end.into()).await;
        let after = read();
        let [one, other] = [0, 1].map(|i| (after[i] - before[i]) as f64 / time.as_secs_f64());
        let name = |c: Caller| format!("{} x {} x {}", c.calls, c.rows, c.words);
        println!(
            "{:>20} {:>20} {one:>9.0} {other:>9.0} {:>7.3}",
            name(callers[0]),
            name(callers[1]),
            one / other
        );
        for task in tasks {
            task.await.expect("a caller");
        }
    }
    println!("(calls at a time x rows x words)\n");
}

async fn run(
    connection: Connection,
    caller: Caller,
    number: usize,
    counter: Arc<AtomicU64>,
    end: Instant,
) {
    let mut salt = number;
    while Instant::now() < end {
        let request = request(caller.rows, caller.words, salt);
        if call(&connection, request, None).await.is_ok() {
            let words = (caller.rows * caller.words) as u64;
            counter.fetch_add(words, Ordering::Relaxed);
        }
        salt += caller.calls;
    }
}
