//! Sums and multiples of whole matrices.

use crate::parallel::Parallelism;

/// Values that one thread of several takes at a time: with fewer, to meet takes longer than to
/// compute.
const CHUNK: usize = 1 << 14;

/// Adds the values of `more` to `values`.
///
/// # Panics
/// If they differ in number.
pub fn add(values: &mut [f32], more: &[f32], parallelism: Parallelism) {
    assert_eq!(values.len(), more.len(), "values to add");
    parallelism.for_each_chunk(values, CHUNK, |number, values| {
        for (x, y) in values.iter_mut().zip(&more[number * CHUNK..]) {
            *x += y;
        }
    });
}

/// Multiplies values by `factor`.
pub fn scale(values: &mut [f32], factor: f32, parallelism: Parallelism) {
    parallelism.for_each_chunk(values, CHUNK, |_, values| {
        for x in values {
            *x *= factor;
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_is_added_and_multiplied_once_on_any_number_of_threads() {
        for count in [0, 1, 100, CHUNK, 3 * CHUNK + 5] {
            let (x, y): (Vec<f32>, Vec<f32>) =
                (0..count).map(|at| (at as f32, 2.0 * at as f32)).unzip();
            let check = |parallelism: Parallelism| {
                let mut sums = x.clone();
                add(&mut sums, &y, parallelism);
                scale(&mut sums, 0.5, parallelism);
                let expected = x.iter().map(|x| 1.5 * x);
                assert!(sums.iter().copied().eq(expected), "{count} values");
            };
            check(Parallelism::WithinThread);
            for threads in [1, 2, 5] {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
                pool.unwrap().install(|| check(Parallelism::AcrossThreads));
            }
        }
    }
}
