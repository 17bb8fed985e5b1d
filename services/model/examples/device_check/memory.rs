//! A device that is run out of memory on purpose.

use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use motet_batcher::{Call, Options as BatcherOptions};
use motet_models::{DeviceFailure, Head, ModelFiles, Pooling};

use crate::Error;
use crate::encoders::{MINILM, TempFolder};
use crate::options::Options;
use crate::speed::Encoding;

/// Memory is taken in pieces of this size, and so many are given back.
const PIECE_BYTES: usize = 512 << 20;
const GIVEN_BACK: usize = 4;
/// Rows that would be one batch, and tokens of each.
const ROWS: usize = 4000;
const TOKENS: usize = 256;
/// Largest difference of a vector from the same row's alone.
const CLOSE: f32 = 5e-3;

pub(crate) fn exhaust(options: &Options) -> Result<(), Error> {
    let device = options.device()?;
    if device.is_cpu() {
        println!("| memory | skipped | a CPU's memory is that of everything else |");
        return Ok(());
    }
    let folder = TempFolder::new("memory")?;
    MINILM.write(folder.path())?;
    let files = ModelFiles::open(&folder.source())?;
    let encoder = Arc::new(options.load(&files, options.fast()?[0])?);
    let head = encoder.load_head(&Head::pooled(Pooling::Mean).normalized(true))?;
    let head = Arc::new(head);
    let (mut taken, words) = take_all(&device)?;
    println!(
        "| memory | the driver says, after {} pieces of 512 MiB | {words} |",
        taken.len()
    );
    taken.truncate(taken.len().saturating_sub(GIVEN_BACK));
    device.synchronize()?;

    let runtime = tokio::runtime::Runtime::new()?;
    let (answered, splits, alone, others) = runtime.block_on(async {
        let large = BatcherOptions {
            max_batch_tokens: (ROWS * TOKENS) as u64,
            max_queue_size: ROWS,
            ..BatcherOptions::default()
        };
        let large = Encoding::behind(encoder.clone(), head.clone(), large).await?;
        let other = Encoding::behind(encoder, head, BatcherOptions::default()).await?;
        let mut random = fastrand::Rng::with_seed(options.seed);
        let row = MINILM.row(TOKENS, &mut random);
        let alone = other.run(row.clone(), TOKENS as u32).await?;
        let rows = vec![(row.clone(), TOKENS as u32); ROWS];
        let all = {
            let large = large.clone();
            tokio::spawn(async move { large.submit(Call::new(rows)).await })
        };
        // Another model of the device meanwhile.
        let mut others = 0;
        while !all.is_finished() {
            other.run(row.clone(), TOKENS as u32).await?;
            others += 1;
        }
        let answered = all.await??.rows;
        let splits = large.stats().memory_splits;
        large.drain().await;
        other.drain().await;
        Ok::<_, Error>((answered, splits, alone, others))
    })?;
    let mut furthest = 0f32;
    for row in &answered {
        let row = row.as_ref().map_err(Clone::clone)?;
        let far = row.iter().zip(&alone).map(|(a, b)| (a - b).abs());
        furthest = far.fold(furthest, f32::max);
    }
    println!(
        "| memory | batches halved, rows answered, furthest from alone | {splits}, {}, \
              {furthest:.1e} |",
        answered.len()
    );
    println!("| memory | rows of another model answered meanwhile | {others} |");
    match (splits, furthest < CLOSE) {
        (0, _) => Err("memory sufficed: nothing was shown".into()),
        (_, false) => Err("rows of halved batches are not what they are alone".into()),
        _ => Ok(()),
    }
}

/// Takes memory until there is none; returns what was taken, and the driver's words.
fn take_all(device: &Device) -> Result<(Vec<Tensor>, String), Error> {
    let mut taken = Vec::new();
    loop {
        match Tensor::zeros(PIECE_BYTES / 4, DType::F32, device) {
            Ok(tensor) => taken.push(tensor),
            Err(error) => {
                return match DeviceFailure::of(&error) {
                    DeviceFailure::OutOfMemory => Ok((taken, error.to_string())),
                    other => Err(format!("read as {other:?}: {error}").into()),
                };
            }
        }
    }
}
