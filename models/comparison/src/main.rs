//! All products with weights of all-MiniLM-L6-v2 on one thread by libraries, beside motet's whole
//! encoder, which computes attention, norms and GELU as well. Printed are GFLOP/s, counting nothing
//! but these products.
//!
//!     cargo run --release --manifest-path models/comparison/Cargo.toml [TOKENS...]
//!
//! Everything is measured in turns, the best of several times each. The encoder takes rows of 128
//! tokens, or one of fewer.

use std::time::{Duration, Instant};

use gemm::Parallelism;
use motet_models::{
    DeviceSpec, LoadedHead, ModelFiles, Precision, RowInput, TextEncoder, ThreadTeam,
};
use rten_gemm::{BiasVector, GemmExecutor, GemmInputA, GemmInputB, GemmOptions, PackedBMatrix};
use rten_tensor::prelude::*;
use rten_tensor::{NdTensor, NdTensorView};

type Error = Box<dyn std::error::Error>;

const LAYERS: usize = 6;
/// Inputs and outputs of a layer's products: queries, keys and values; what follows attention;
/// feed-forward.
const PRODUCTS: [(usize, usize); 4] = [(384, 1152), (384, 384), (384, 1536), (1536, 384)];
const TOKENS: [usize; 8] = [16, 48, 96, 128, 256, 480, 1024, 4096];
/// Tokens of the encoder's rows.
const ROW: usize = 128;
const ROUNDS: usize = 5;
const TIME: Duration = Duration::from_millis(200);

fn main() -> Result<(), Error> {
    let given: Vec<usize> = std::env::args()
        .skip(1)
        .map(|tokens| tokens.parse())
        .collect::<Result<_, _>>()?;
    let all = if given.is_empty() {
        &TOKENS[..]
    } else {
        &given
    };
    let weights: Vec<Weight> = (0..LAYERS)
        .flat_map(|_| PRODUCTS)
        .map(|(inputs, outputs)| Weight::new(inputs, outputs))
        .collect();
    let rten = Rten::new(&weights);
    let motet = Motet::new()?;
    println!(
        "{:>8} {:>18} {:>14} {:>14}",
        "tokens", "rten-gemm", "gemm", "motet"
    );
    println!(
        "{:>8} {:>18} {:>14} {:>14}",
        "",
        rten.kernel.kernel_name(),
        "x86-v4",
        "all of it"
    );
    for tokens in all.iter().copied() {
        let work: usize = weights
            .iter()
            .map(|w| 2 * tokens * w.inputs * w.outputs)
            .sum();
        let mut best = [f64::MAX; 3];
        let x = numbers(tokens * 1536);
        let mut out = vec![0.0; tokens * 1536];
        for _ in 0..ROUNDS {
            let times = [
                shortest(|| rten.products(&weights, &x, tokens, &mut out)),
                shortest(|| weights.iter().for_each(|w| w.by_gemm(&x, tokens, &mut out))),
                shortest(|| motet.encode(tokens)),
            ];
            for (best, time) in best.iter_mut().zip(times) {
                *best = best.min(time);
            }
        }
        let [rten, gemm, motet] = best.map(|time| work as f64 / time / 1e9);
        println!("{tokens:>8} {rten:>18.0} {gemm:>14.0} {motet:>14.0}");
    }
    Ok(())
}

/// Returns the shortest of the runs that fit in the time, in seconds; one at least.
fn shortest(mut run: impl FnMut()) -> f64 {
    let (began, mut best) = (Instant::now(), f64::MAX);
    while best == f64::MAX || began.elapsed() < TIME {
        let started = Instant::now();
        run();
        best = best.min(started.elapsed().as_secs_f64());
    }
    best
}

fn numbers(count: usize) -> Vec<f32> {
    (0..count)
        .map(|at| (at * 37 % 101) as f32 / 101.0 - 0.5)
        .collect()
}

struct Weight {
    inputs: usize,
    outputs: usize,
    /// `[inputs, outputs]` row-major.
    values: Vec<f32>,
    bias: Vec<f32>,
}

impl Weight {
    fn new(inputs: usize, outputs: usize) -> Self {
        Self {
            inputs,
            outputs,
            values: numbers(inputs * outputs),
            bias: numbers(outputs),
        }
    }

    /// Without the bias, which the library has no place for.
    fn by_gemm(&self, x: &[f32], tokens: usize, out: &mut [f32]) {
        let (x, out) = (
            &x[..tokens * self.inputs],
            &mut out[..tokens * self.outputs],
        );
        // SAFETY: all three matrices lie in their slices, row-major without gaps, and `out` is not
        // shared.
        unsafe {
            gemm::gemm(
                tokens,
                self.outputs,
                self.inputs,
                out.as_mut_ptr(),
                1,
                self.outputs as isize,
                false,
                x.as_ptr(),
                1,
                self.inputs as isize,
                self.values.as_ptr(),
                1,
                self.outputs as isize,
                0.0,
                1.0,
                false,
                false,
                false,
                Parallelism::None,
            );
        }
    }
}

/// With weights that were packed before.
struct Rten {
    kernel: GemmExecutor,
    packed: Vec<PackedBMatrix<f32>>,
}

impl Rten {
    fn new(weights: &[Weight]) -> Self {
        let kernel = GemmExecutor::default();
        let pack = |weight: &Weight| {
            let shape = [weight.inputs, weight.outputs];
            kernel.prepack_b(NdTensor::from_data(shape, weight.values.clone()).view())
        };
        let packed = weights.iter().map(pack).collect();
        Self { kernel, packed }
    }

    fn products(&self, weights: &[Weight], x: &[f32], tokens: usize, out: &mut [f32]) {
        for (weight, packed) in weights.iter().zip(&self.packed) {
            let x = NdTensorView::from_data([tokens, weight.inputs], &x[..tokens * weight.inputs]);
            let options = GemmOptions {
                bias: Some(BiasVector::Row(&weight.bias)),
                ..GemmOptions::default()
            };
            self.kernel
                .gemm(
                    &mut out[..tokens * weight.outputs],
                    GemmInputA::Unpacked(x),
                    GemmInputB::Packed(packed),
                    options,
                )
                .expect("shapes that fit");
        }
    }
}

struct Motet {
    encoder: TextEncoder,
    head: LoadedHead,
    threads: ThreadTeam,
}

impl Motet {
    fn new() -> Result<Self, Error> {
        let files = ModelFiles::open(&"builtin:all-minilm-l6-v2".parse()?)?;
        Ok(Self {
            head: LoadedHead::load(&files, &files.config().head)?,
            encoder: TextEncoder::load(&files, &DeviceSpec::Cpu.open()?, Precision::F32)?,
            threads: ThreadTeam::for_current_thread(1)?,
        })
    }

    fn encode(&self, tokens: usize) {
        let ids: Vec<u32> = (0..tokens)
            .map(|at| 1000 + (at as u32 * 37) % 20_000)
            .collect();
        let rows: Vec<_> = ids.chunks(ROW).map(RowInput::new).collect();
        let values = self.encoder.encode(&rows, &self.head, &self.threads);
        values.expect("vectors");
    }
}
