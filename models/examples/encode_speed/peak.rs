//! The most that the processor's vector units can do.

use std::sync::Barrier;
use std::time::Instant;

use pulp::{Arch, Simd, WithSimd};

/// Sums that do not wait for each other.
const SUMS: usize = 24;
const STEPS: usize = 4_000_000;
/// Machines that are shared are at their fastest only now and then.
const TRIES: usize = 40;

/// Billions of additions and multiplications a second, on so many threads at once: the best of a
/// few tries.
pub(crate) fn gflops(threads: usize) -> f64 {
    let once = || {
        let together = Barrier::new(threads);
        std::thread::scope(|scope| {
            let run = || {
                together.wait();
                Arch::new().dispatch(MultiplyAdds)
            };
            let threads: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
            let rates = threads
                .into_iter()
                .map(|thread| thread.join().unwrap_or(0.0));
            rates.sum::<f64>()
        })
    };
    (0..TRIES).map(|_| once()).fold(0.0, f64::max)
}

struct MultiplyAdds;

impl WithSimd for MultiplyAdds {
    type Output = f64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f64 {
        let x = simd.splat_f32s(std::hint::black_box(0.999));
        let mut sums = [simd.splat_f32s(0.0); SUMS];
        let started = Instant::now();
        for _ in 0..STEPS {
            for sum in &mut sums {
                *sum = simd.mul_add_e_f32s(x, x, *sum);
            }
        }
        let seconds = started.elapsed().as_secs_f64();
        for sum in sums {
            std::hint::black_box(simd.reduce_sum_f32s(sum));
        }
        (2 * STEPS * SUMS * S::F32_LANES) as f64 / seconds / 1e9
    }
}
