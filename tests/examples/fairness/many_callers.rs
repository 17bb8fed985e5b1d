//! Many callers in a closed loop.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use motet_runtime::status;
use motet_tests::connection::Connection;
use tokio::task::JoinSet;

use super::{call, request};

/// Calls of one connection at a time.
const EACH: usize = 50;
const WORDS: usize = 12;

/// Prints the table.
pub(super) async fn measure(address: SocketAddr, time: Duration) {
    println!(
        "callers in a closed loop, single texts of {WORDS} words; who is refused waits as told"
    );
    println!(
        "{:>8} {:>11} {:>10} {:>19}",
        "callers", "answered/s", "refused/s", "callers' part, %"
    );
    for callers in [64, 2000] {
        let end = Instant::now() + time;
        let before = own_cpu_time();
        let mut tasks = JoinSet::new();
        let connections = super::connections(usize::div_ceil(callers, EACH), address).await;
        for caller in 0..callers {
            let connection = connections[caller / EACH].clone();
            tasks.spawn(run(connection, caller, end));
        }
        let counts = tasks.join_all().await;
        let sum = |count: fn(&(usize, usize)) -> usize| {
            counts.iter().map(count).sum::<usize>() as f64 / time.as_secs_f64()
        };
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let own = (own_cpu_time() - before).as_secs_f64();
        let own = 100.0 * own / (time.as_secs_f64() * cores as f64);
        let (answered, refused) = (sum(|c| c.0), sum(|c| c.1));
        println!("{callers:>8} {answered:>11.1} {refused:>10.1} {own:>19.0}");
    }
}

/// Makes one call after another until `end`. Returns how many were answered, and refused.
async fn run(connection: Connection, caller: usize, end: Instant) -> (usize, usize) {
    let (mut answered, mut refused) = (0, 0);
    while Instant::now() < end {
        let request = request(1, WORDS, caller + answered);
        match call(&connection, request, None).await {
            Ok(()) => answered += 1,
            Err(refusal) => {
                refused += 1;
                let wait = status::read(&refusal).retry_after.unwrap_or_default();
                tokio::time::sleep(wait.min(end.saturating_duration_since(Instant::now()))).await;
            }
        }
    }
    (answered, refused)
}

/// Returns the processor time of this process so far, zero where the system does not tell it.
fn own_cpu_time() -> Duration {
    // Fields 14 and 15 of the line, after the name in parentheses: user and system time in ticks of
    // a hundredth of a second.
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let fields = after_name.split_whitespace().skip(11).take(2);
    let ticks: u64 = fields.filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(10 * ticks)
}
