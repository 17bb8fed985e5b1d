//! Attention on a CPU by Candle: rows of similar length padded to one, as the engine on Candle has
//! it, beside the kernel of candle-nn for packed rows.
//!
//!     cargo run --release -p motet-models --example varlen_attention
//!
//! Prints the milliseconds of the best of several runs, in f32, of 12 heads of 64 columns.

use std::time::Instant;

use candle_core::{D, DType, Device, Result, Tensor};
use candle_nn::attention::flash_attn_varlen_cpu;

const HEADS: usize = 12;
const HEAD: usize = 64;
/// Most rows that are padded together.
const GROUP: usize = 8;
const RUNS: usize = 5;

fn main() -> Result<()> {
    let mixed: Vec<usize> = (0..32).map(|row| 8 * (1 + row * 73 % 32)).collect();
    println!("{:>16} {:>12} {:>12}", "rows x tokens", "padded", "packed");
    for (name, mut lengths) in [
        ("1 x 128", vec![128]),
        ("8 x 128", vec![128; 8]),
        ("4 x 512", vec![512; 4]),
        ("32 of 8 to 256", mixed),
    ] {
        lengths.sort_unstable();
        let groups = lengths.chunks(GROUP).map(|rows| {
            let longest = rows.last().copied().unwrap_or_default();
            Qkv::new(&[rows.len() * HEADS, longest, HEAD])
        });
        let groups = groups.collect::<Result<Vec<_>>>()?;
        let padded = best(|| groups.iter().try_for_each(|group| group.padded().map(drop)))?;
        let all = Qkv::new(&[lengths.iter().sum(), HEADS, HEAD])?;
        let packed = best(|| all.packed(&lengths).map(drop))?;
        println!("{name:>16} {padded:>9.2} ms {packed:>9.2} ms");
    }
    Ok(())
}

/// Queries, keys and values.
struct Qkv([Tensor; 3]);

impl Qkv {
    fn new(shape: &[usize]) -> Result<Self> {
        let random = || Tensor::randn(0f32, 1.0, shape, &Device::Cpu);
        Ok(Self([random()?, random()?, random()?]))
    }

    /// Attention of tensors of `[rows x heads, tokens, columns]`.
    fn padded(&self) -> Result<Tensor> {
        let Self([queries, keys, values]) = self;
        let scores = (queries.matmul(&keys.transpose(D::Minus1, D::Minus2)?)? * scale())?;
        candle_nn::ops::softmax_last_dim(&scores)?.matmul(values)
    }

    /// Attention of tensors of `[tokens, heads, columns]`.
    fn packed(&self, lengths: &[usize]) -> Result<Tensor> {
        let Self([queries, keys, values]) = self;
        let longest = lengths.iter().max().copied().unwrap_or_default();
        let lengths: Vec<u32> = lengths.iter().map(|length| *length as u32).collect();
        let lengths = Tensor::new(lengths, &Device::Cpu)?.to_dtype(DType::U32)?;
        flash_attn_varlen_cpu(
            queries,
            keys,
            values,
            None,
            &lengths,
            &lengths,
            longest,
            longest,
            scale() as f32,
            false,
            None,
            None,
        )
    }
}

fn scale() -> f64 {
    1.0 / (HEAD as f64).sqrt()
}

/// Returns the milliseconds of the fastest of some runs.
fn best(mut run: impl FnMut() -> Result<()>) -> Result<f64> {
    let mut best = f64::MAX;
    for _ in 0..RUNS {
        let started = Instant::now();
        run()?;
        best = best.min(started.elapsed().as_secs_f64() * 1e3);
    }
    Ok(best)
}
