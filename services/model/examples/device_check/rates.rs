//! Rates of the device itself: products of square matrices, and copies.

use std::time::{Duration, Instant};

use candle_core::{DType, Device, Tensor};

use crate::Error;
use crate::options::Options;

/// Sides of the matrices.
const SIDE: usize = 8192;
const SIDE_SMALL: usize = 128;
/// Bytes of a copy.
const BYTES: usize = 1 << 30;
const BYTES_SMALL: usize = 1 << 16;
/// Runs that are not counted, and runs that are waited for together.
const WARM_UP: usize = 3;
const TOGETHER: usize = 10;

pub(crate) fn measure(options: &Options) -> Result<(), Error> {
    let device = options.device()?;
    for dtype in [DType::F32, DType::F16, DType::BF16] {
        if device.is_cpu() && dtype != DType::F32 {
            continue;
        }
        let rate = products(options, dtype)?;
        println!(
            "| rates | products of {dtype:?}, TFLOP/s | {:.1} |",
            rate / 1e12
        );
    }
    let bytes = if options.small { BYTES_SMALL } else { BYTES };
    let numbers = vec![1f32; bytes / 4];
    let there = Tensor::from_slice(&numbers, numbers.len(), &device)?;
    let taken = seconds(&device, || there.copy().map(drop))?;
    let within = 2.0 * bytes as f64 / taken / 1e9;
    println!("| rates | copy within the device, read and written, GB/s | {within:.1} |");
    let to = || Tensor::from_slice(&numbers, numbers.len(), &device).map(drop);
    let there_rate = bytes as f64 / seconds(&device, to)? / 1e9;
    println!("| rates | copy to the device, GB/s | {there_rate:.1} |");
    let back = bytes as f64 / seconds(&device, || there.to_vec1::<f32>().map(drop))? / 1e9;
    println!("| rates | copy to the host, GB/s | {back:.1} |");
    Ok(())
}

/// Returns the operations a second of products of square matrices of random numbers.
pub(crate) fn products(options: &Options, dtype: DType) -> Result<f64, Error> {
    let (device, side) = (
        options.device()?,
        if options.small { SIDE_SMALL } else { SIDE },
    );
    let random = || Tensor::randn(0f32, 1f32, (side, side), &device)?.to_dtype(dtype);
    let (a, b) = (random()?, random()?);
    let taken = seconds(&device, || a.matmul(&b).map(drop))?;
    Ok(2.0 * (side as f64).powi(3) / taken)
}

/// Returns the time of one run of several that are asked for before they are waited for.
fn seconds(device: &Device, run: impl Fn() -> candle_core::Result<()>) -> Result<f64, Error> {
    let few = |count: usize| -> Result<Duration, Error> {
        let began = Instant::now();
        for _ in 0..count {
            run()?;
        }
        device.synchronize()?;
        Ok(began.elapsed())
    };
    few(WARM_UP)?;
    Ok(few(TOGETHER)?.as_secs_f64() / TOGETHER as f64)
}
