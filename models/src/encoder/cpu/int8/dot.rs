//! Kernels for sums of products of bytes, four per 32-bit lane. All give equal sums.

use std::sync::LazyLock;

use pulp::Simd;

use super::portable::Portable;
use crate::encoder::cpu::simd::{Level, limit};

pub(super) type Ints<D> = <<D as Dot>::Simd as Simd>::i32s;
pub(super) type Floats<D> = <<D as Dot>::Simd as Simd>::f32s;

/// Vectors of whole numbers that take up products of bytes, and the vectors of f32 that go with
/// them.
pub(super) trait Dot: Copy {
    type Simd: Simd;
    /// Four bytes of the left side, in every lane.
    type Left: Copy;
    /// Four bytes of the right side in each lane.
    type Right: Copy;

    fn simd(self) -> Self::Simd;

    /// From four bytes, 0 to 255.
    fn left(self, bytes: u32) -> Self::Left;

    /// From four bytes in each lane, -127 to 127.
    fn right(self, bytes: Ints<Self>) -> Self::Right;

    /// Adds to each lane its four products.
    fn add(self, sums: Ints<Self>, left: Self::Left, right: Self::Right) -> Ints<Self>;

    fn floats(self, sums: Ints<Self>) -> Floats<Self>;
}

/// An operation on any [`Dot`].
pub(super) trait WithDot {
    type Output;
    fn with_dot<D: Dot>(self, dot: D) -> Self::Output;
}

/// Ways to do it; one of this processor can be had only if the processor has it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kernel {
    /// AVX-512 with VNNI.
    #[cfg(target_arch = "x86_64")]
    Vnni512(super::vnni::Vnni512),
    /// AVX2 with AVX-VNNI.
    #[cfg(target_arch = "x86_64")]
    Vnni256(super::vnni::Vnni256),
    /// AVX-512 without VNNI.
    #[cfg(target_arch = "x86_64")]
    Avx512(super::pairs::Avx512),
    /// AVX2 without VNNI.
    #[cfg(target_arch = "x86_64")]
    Avx2(super::pairs::Avx2),
    /// Whatever the compiler makes of it.
    Portable,
}

impl Kernel {
    /// Those of this processor, the fastest first.
    pub(super) fn all() -> Vec<Self> {
        #[cfg(target_arch = "x86_64")]
        let known = [
            super::vnni::Vnni512::find().map(Self::Vnni512),
            super::vnni::Vnni256::find().map(Self::Vnni256),
            super::pairs::Avx512::find().map(Self::Avx512),
            super::pairs::Avx2::find().map(Self::Avx2),
        ];
        #[cfg(not(target_arch = "x86_64"))]
        let known = [None];
        known
            .into_iter()
            .flatten()
            .chain([Self::Portable])
            .collect()
    }

    /// Returns the fastest that may be used.
    pub(super) fn best() -> Self {
        static BEST: LazyLock<Kernel> = LazyLock::new(|| {
            let mut all = Kernel::all().into_iter();
            all.find(|kernel| kernel.level() <= limit())
                .unwrap_or(Kernel::Portable)
        });
        *BEST
    }

    /// Returns the vectors that it takes.
    fn level(self) -> Level {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Vnni512(_) | Self::Avx512(_) => Level::Widest,
            #[cfg(target_arch = "x86_64")]
            Self::Vnni256(_) | Self::Avx2(_) => Level::Avx2,
            Self::Portable => Level::Portable,
        }
    }

    /// i32 values in a vector.
    pub(super) fn lanes(self) -> usize {
        struct Lanes;
        impl WithDot for Lanes {
            type Output = usize;
            fn with_dot<D: Dot>(self, _: D) -> usize {
                D::Simd::I32_LANES
            }
        }
        self.run(Lanes)
    }

    pub(super) fn run<Op: WithDot>(self, operation: Op) -> Op::Output {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Vnni512(dot) => dot.run(operation),
            #[cfg(target_arch = "x86_64")]
            Self::Vnni256(dot) => dot.run(operation),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(dot) => dot.run(operation),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(dot) => dot.run(operation),
            Self::Portable => operation.with_dot(Portable),
        }
    }
}
