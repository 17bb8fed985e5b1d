//! How long batches take.

use std::time::{Duration, Instant};

use motet_models::{Head, RowInput, TextEncoder, ThreadTeam};

use crate::Error;

/// Rows and tokens of each.
const ROWS: [usize; 4] = [1, 8, 32, 128];
const TOKENS: [usize; 3] = [16, 64, 256];
/// Shortest and longest row of mixed batches; lengths are log-uniform.
const MIXED: (f64, f64) = (8.0, 256.0);
/// Batches that are not counted, and the least number of those that are.
const WARM_UP: usize = 3;
const LEAST: usize = 5;

/// Returns a line for each batch, a column for each encoder.
pub(crate) fn measure(encoders: &[TextEncoder], time: Duration) -> Result<(), Error> {
    print!("{:>26}", "rows x tokens");
    for encoder in encoders {
        print!("{:>22}", encoder.precision().to_string());
    }
    println!();
    let Some(first) = encoders.first() else {
        return Ok(());
    };
    let pooled = &first.config().head;
    let tokens = &Head::tokens().normalized(true);
    for rows in ROWS {
        for length in TOKENS {
            let name = format!("{rows} x {length}");
            line(encoders, &name, &vec![length; rows], pooled, time)?;
        }
    }
    for rows in [8, 32, 128] {
        let lengths: Vec<usize> = (0..rows).map(|row| mixed(row, rows)).collect();
        line(encoders, &format!("{rows} mixed"), &lengths, pooled, time)?;
        if rows == 32 {
            line(encoders, "32 mixed, token vectors", &lengths, tokens, time)?;
        }
    }
    Ok(())
}

/// Lengths that fill the range evenly in their logarithm, in an order without pattern.
fn mixed(row: usize, rows: usize) -> usize {
    let share = ((row * 73) % 127 % rows) as f64 / (rows - 1) as f64;
    (MIXED.0 * (MIXED.1 / MIXED.0).powf(share)) as usize
}

fn line(
    encoders: &[TextEncoder],
    name: &str,
    lengths: &[usize],
    head: &Head,
    time: Duration,
) -> Result<(), Error> {
    print!("{name:>26}");
    let tokens: usize = lengths.iter().sum();
    for encoder in encoders {
        let seconds = median(encoder, lengths, head, time)?.as_secs_f64();
        let rate = format!("{:.0}", tokens as f64 / seconds);
        print!("{:>22}", format!("{rate} {:.2} ms", seconds * 1e3));
    }
    println!();
    Ok(())
}

/// Time of a batch from ids to vectors on the host.
fn median(
    encoder: &TextEncoder,
    lengths: &[usize],
    head: &Head,
    time: Duration,
) -> Result<Duration, Error> {
    let ids = |length: &usize| (0..*length as u32).map(|at| 1000 + at * 37).collect();
    let rows: Vec<Vec<u32>> = lengths.iter().map(ids).collect();
    let rows: Vec<_> = rows.iter().map(|ids| RowInput::new(ids)).collect();
    let threads = ThreadTeam::current_or_default()?;
    let head = &encoder.load_head(head)?;
    for _ in 0..WARM_UP {
        encoder.encode(&rows, head, &threads)?;
    }
    let (mut times, began) = (Vec::new(), Instant::now());
    while times.len() < LEAST || began.elapsed() < time {
        let started = Instant::now();
        encoder.encode(&rows, head, &threads)?;
        times.push(started.elapsed());
    }
    times.sort_unstable();
    Ok(times[times.len() / 2])
}
