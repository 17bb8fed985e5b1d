//! The vector instructions of this processor, found at run time.

use std::sync::LazyLock;

use pulp::{Arch, Scalar128b, Simd, WithSimd};

/// Runs an operation compiled for the widest vectors that this processor has.
pub(super) fn dispatch<Op: WithSimd>(operation: Op) -> Op::Output {
    static ARCH: LazyLock<Arch> = LazyLock::new(Arch::new);
    match *ARCH {
        // Four lanes, which compilers turn into vectors of whatever the target always has.
        Arch::Scalar => operation.with_simd(Scalar128b),
        arch => arch.dispatch(operation),
    }
}

/// f32 values in a vector.
pub(super) fn lanes() -> usize {
    struct Lanes;
    impl WithSimd for Lanes {
        type Output = usize;
        fn with_simd<S: Simd>(self, _: S) -> usize {
            S::F32_LANES
        }
    }
    dispatch(Lanes)
}

/// Values as vectors; where they are fewer than the vectors' lanes, the last are 0.
#[inline(always)]
pub(super) fn load<S: Simd, const V: usize>(simd: S, values: &[f32]) -> [S::f32s; V] {
    let mut vectors = [simd.splat_f32s(0.0); V];
    let (whole, rest) = S::as_simd_f32s(values);
    if let Some(whole) = whole.first_chunk() {
        return *whole;
    }
    for at in 0..V {
        if at < whole.len() {
            vectors[at] = whole[at];
        } else if at == whole.len() {
            vectors[at] = simd.partial_load_f32s(rest);
        }
    }
    vectors
}

/// The first values of vectors, as many as there is room for.
#[inline(always)]
pub(super) fn store<S: Simd, const V: usize>(simd: S, room: &mut [f32], vectors: [S::f32s; V]) {
    let (whole, rest) = S::as_mut_simd_f32s(room);
    if let Some(whole) = whole.first_chunk_mut() {
        *whole = vectors;
        return;
    }
    for at in 0..V {
        if at < whole.len() {
            whole[at] = vectors[at];
        } else if at == whole.len() {
            simd.partial_store_f32s(rest, vectors[at]);
        }
    }
}
