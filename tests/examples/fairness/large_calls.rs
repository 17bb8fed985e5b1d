//! A caller of single rows beside calls of 1,000 rows.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use motet_tests::connection::Connection;
use motet_tests::load::percentile;
use tokio::task::JoinHandle;

use super::{call, request};

/// Rows of a large call.
const ROWS: usize = 1000;
/// Words of its texts, and of the single ones.
const WORDS: usize = 60;
const SINGLE_WORDS: usize = 12;
/// Pause of the caller of single rows, which leaves the large calls most of the time.
const PAUSE: Duration = Duration::from_millis(100);

/// Measured singles.
struct Singles {
    times: Vec<f64>,
    refused: usize,
}

/// Computes all lengths once.
pub(super) async fn warm_up(address: SocketAddr) {
    let connection = Connection::open(address).await;
    for length in [1, SINGLE_WORDS, WORDS, 200] {
        let warm = call(&connection, request(16, length, 0), None).await;
        warm.expect("an answer");
    }
}

/// Prints the table.
pub(super) async fn measure(address: SocketAddr, time: Duration) {
    println!("single rows of {SINGLE_WORDS} words beside calls of {ROWS} rows of {WORDS} words");
    println!(
        "{:>11} {:>7} {:>8} {:>8} {:>8} {:>10} {:>13} {:>14}",
        "large calls",
        "singles",
        "refused",
        "p50 ms",
        "p99 ms",
        "longest ms",
        "large calls s",
        "without single"
    );
    let stop = Arc::new(AtomicBool::new(false));
    let alone = start(address, &stop).await;
    tokio::time::sleep(time).await;
    report(0, finish(alone, &stop).await, None);
    for count in [1, 10] {
        let without = large(address, count).await;
        stop.store(false, Ordering::Relaxed);
        let singles = start(address, &stop).await;
        let with = large(address, count).await;
        report(count, finish(singles, &stop).await, Some((with, without)));
    }
    println!();
}

/// Starts the caller of single rows.
async fn start(address: SocketAddr, stop: &Arc<AtomicBool>) -> JoinHandle<Singles> {
    let (connection, stop) = (Connection::open(address).await, stop.clone());
    tokio::spawn(async move {
        let mut singles = Singles {
            times: Vec::new(),
            refused: 0,
        };
        while !stop.load(Ordering::Relaxed) {
            let started = Instant::now();
            match call(
                &connection,
                request(1, SINGLE_WORDS, singles.times.len()),
                None,
            )
            .await
            {
                Ok(()) => singles.times.push(started.elapsed().as_secs_f64() * 1e3),
                Err(_) => singles.refused += 1,
            }
            tokio::time::sleep(PAUSE).await;
        }
        singles
    })
}

async fn finish(singles: JoinHandle<Singles>, stop: &AtomicBool) -> Singles {
    stop.store(true, Ordering::Relaxed);
    singles.await.expect("the caller")
}

/// Makes so many large calls at the same time, each on a connection of its own. Returns the time
/// until all are answered, in seconds.
async fn large(address: SocketAddr, count: usize) -> f64 {
    let mut calls = Vec::new();
    let connections = super::connections(count, address).await;
    let started = Instant::now();
    for (number, connection) in connections.into_iter().enumerate() {
        let request = request(ROWS, WORDS, ROWS * number);
        calls.push(tokio::spawn(async move {
            call(&connection, request, None).await
        }));
    }
    for call in calls {
        call.await.expect("a caller").expect("an answer");
    }
    started.elapsed().as_secs_f64()
}

fn report(count: usize, mut singles: Singles, large: Option<(f64, f64)>) {
    let Singles { times, refused } = &mut singles;
    let (p50, p99) = (percentile(times, 0.5), percentile(times, 0.99));
    let longest = percentile(times, 1.0);
    let (with, without) = large.unwrap_or((f64::NAN, f64::NAN));
    println!(
        "{count:>11} {:>7} {refused:>8} {p50:>8.1} {p99:>8.1} {longest:>10.1} {with:>13.1} \
         {without:>14.1}",
        times.len() + *refused
    );
}
