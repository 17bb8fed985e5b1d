//! The batcher's own cost: from a call to its answer through tokio, with a function that does
//! nothing.
//!
//! ```text
//! cargo bench -p motet-batcher
//! ```

use criterion::{Criterion, Throughput};
use futures::future::join_all;
use motet_batcher::{Batcher, Call, Options};
use tokio::runtime::Runtime;

/// Rows at once.
const ROWS: u32 = 32;

fn submit(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let nothing = |rows: &[&u32]| vec![(); rows.len()];
    let batcher = Batcher::spawn_fn("nothing", Options::default(), nothing);
    let batcher = runtime.block_on(batcher).expect("a batcher");
    let mut group = criterion.benchmark_group("submit");

    group.throughput(Throughput::Elements(1));
    group.bench_function("one row", |b| {
        b.to_async(&runtime).iter(|| batcher.run(0, 1));
    });
    group.throughput(Throughput::Elements(ROWS.into()));
    group.bench_function("32 rows of one call", |b| {
        b.to_async(&runtime).iter(|| {
            let rows = (0..ROWS).map(|row| (row, 1)).collect();
            batcher.submit(Call::new(rows))
        });
    });
    group.bench_function("32 rows of 32 callers", |b| {
        b.to_async(&runtime)
            .iter(|| join_all((0..ROWS).map(|row| batcher.run(row, 1))));
    });
    group.bench_function("32 rows of 32 tasks", |b| {
        b.to_async(&runtime).iter(|| {
            let spawned = (0..ROWS).map(|row| {
                let batcher = batcher.clone();
                tokio::spawn(async move { batcher.run(row, 1).await })
            });
            join_all(spawned.collect::<Vec<_>>())
        });
    });
    group.finish();
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    submit(&mut criterion);
    criterion.final_summary();
}
