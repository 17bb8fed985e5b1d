//! More work than the server can do, of texts of three lengths.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::{call, request};

/// Words of the texts; a word of the mixture is about a token.
const WORDS: [usize; 3] = [8, 60, 200];
const CONNECTIONS: usize = 4;
const DEADLINE: Duration = Duration::from_secs(1);

/// Prints the table.
pub(super) async fn measure(address: SocketAddr, time: Duration) {
    let rate = capacity(address, time).await;
    println!(
        "texts of three lengths with a deadline of {DEADLINE:?}: answered in time, in percent"
    );
    println!(
        "{:>9} {:>8} {:>9} {:>9} {:>9}",
        "overload", "calls/s", "8 words", "60 words", "200 words"
    );
    for times in [1.0, 2.0, 4.0] {
        let shares = offer(address, time, rate * times).await;
        println!(
            "{times:>9.0} {:>8.1} {:>9.0} {:>9.0} {:>9.0}",
            rate * times,
            shares[0],
            shares[1],
            shares[2]
        );
    }
    println!();
}

/// Returns the calls a second of 24 callers in a closed loop.
async fn capacity(address: SocketAddr, time: Duration) -> f64 {
    let end = Instant::now() + time;
    let mut callers = JoinSet::new();
    for (number, connection) in super::connections(24, address)
        .await
        .into_iter()
        .enumerate()
    {
        callers.spawn(async move {
            let mut calls = 0;
            while Instant::now() < end {
                let request = request(1, WORDS[(number + calls) % WORDS.len()], calls);
                call(&connection, request, None).await.expect("an answer");
                calls += 1;
            }
            calls
        });
    }
    let calls = callers.join_all().await.iter().sum::<usize>();
    calls as f64 / time.as_secs_f64()
}

/// Sends calls at this rate, all lengths over the same connections, and returns which part of each
/// length was answered in time, in percent.
async fn offer(address: SocketAddr, time: Duration, rate: f64) -> [f64; 3] {
    let mut calls = JoinSet::new();
    let mut sent = [0usize; 3];
    let connections = super::connections(CONNECTIONS, address).await;
    let started = Instant::now();
    for number in 0.. {
        let at = started + Duration::from_secs_f64(f64::from(number) / rate);
        if at > started + time {
            break;
        }
        tokio::time::sleep_until(at.into()).await;
        let length = number as usize % WORDS.len();
        sent[length] += 1;
        let connection = connections[number as usize / WORDS.len() % connections.len()].clone();
        calls.spawn(async move {
            let request = request(1, WORDS[length], number as usize);
            let answer = call(&connection, request, Some(DEADLINE)).await;
            (length, answer.is_ok())
        });
    }
    let mut answered = [0usize; 3];
    for (length, in_time) in calls.join_all().await {
        answered[length] += usize::from(in_time);
    }
    [0, 1, 2].map(|length| 100.0 * answered[length] as f64 / sent[length] as f64)
}
