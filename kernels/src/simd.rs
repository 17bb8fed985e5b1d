//! The vector instructions of this processor, found at run time.

use std::any::TypeId;
use std::sync::LazyLock;

use pulp::{Arch, Scalar128b, Simd, WithSimd};

/// Widths of vectors, narrower first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
pub(crate) enum Level {
    /// Four lanes, which compilers turn into the vectors that every processor of the target has.
    Portable,
    /// 256 bits of an x86-64.
    Avx2,
    /// The widest of any processor.
    Widest,
}

/// Environment variable that limits the vectors: to measure and to test what other processors
/// take.
const LIMIT: &str = "MOTET_CPU_VECTORS";

/// Returns the level that the environment allows; the highest if it sets none.
pub(crate) fn limit() -> Level {
    static GIVEN: LazyLock<Level> = LazyLock::new(|| match std::env::var(LIMIT).as_deref() {
        Ok("portable") => Level::Portable,
        Ok("avx2") => Level::Avx2,
        Ok("widest") | Err(_) => Level::Widest,
        Ok(other) => {
            tracing::warn!(
                "{LIMIT} is `{other}`; known are portable, avx2 and widest, which is taken"
            );
            Level::Widest
        }
    });
    *GIVEN
}

/// Runs an operation compiled for the widest vectors that this processor has.
pub(crate) fn dispatch<Op: WithSimd>(operation: Op) -> Op::Output {
    static ARCH: LazyLock<Arch> = LazyLock::new(|| match limit() {
        Level::Portable => Arch::Scalar,
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => pulp::x86::V3::try_new().map_or(Arch::Scalar, Arch::V3),
        _ => Arch::new(),
    });
    match *ARCH {
        Arch::Scalar => operation.with_simd(Scalar128b),
        arch => arch.dispatch(operation),
    }
}

/// Returns `a b + c`, rounded once where the processor does that in one instruction.
#[inline(always)]
pub(crate) fn multiply_add<S: Simd>(simd: S, a: S::f32s, b: S::f32s, c: S::f32s) -> S::f32s {
    // Without the instruction a single rounding is a long calculation.
    if TypeId::of::<S>() == TypeId::of::<Scalar128b>() {
        simd.add_f32s(simd.mul_f32s(a, b), c)
    } else {
        simd.mul_add_f32s(a, b, c)
    }
}
