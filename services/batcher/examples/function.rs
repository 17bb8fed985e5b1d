//! A plain function behind a batcher: callers come one by one, and are run together.
//!
//! ```text
//! cargo run --release -p motet-batcher --example function
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use motet_batcher::{Batcher, Options};
use tokio::task::JoinSet;

/// Callers at once.
const CALLERS: u64 = 64;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let batches = Arc::new(AtomicUsize::new(0));
    let square = {
        let batches = batches.clone();
        // Takes as long for many rows as for one, as small batches of a model on a GPU do.
        move |rows: &[&u64]| {
            batches.fetch_add(1, Ordering::Relaxed);
            std::thread::sleep(Duration::from_millis(5));
            rows.iter().map(|row| **row * **row).collect()
        }
    };
    let batcher = Batcher::spawn_fn("square", Options::default(), square).await?;

    let mut callers = JoinSet::new();
    for number in 0..CALLERS {
        let batcher = batcher.clone();
        callers.spawn(async move { (number, batcher.run(number, 1).await) });
    }
    while let Some(answered) = callers.join_next().await {
        let (number, square) = answered?;
        assert_eq!(square?, number * number);
    }
    let batches = batches.load(Ordering::Relaxed);
    println!("{CALLERS} callers were answered by {batches} batches");
    batcher.drain().await;
    Ok(())
}
