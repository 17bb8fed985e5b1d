//! The kernels for products of bytes, and the choice among them.

use std::sync::LazyLock;

use pulp::Simd;

use super::dot::{Dot, WithDot};
use super::portable::Portable;
use crate::simd::{Level, limit};

/// A kernel for products of bytes. One with instructions of its own exists only where the processor
/// has them.
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
    Avx512(super::madd::Avx512),
    /// AVX2 without VNNI.
    #[cfg(target_arch = "x86_64")]
    Avx2(super::madd::Avx2),
    /// Instructions that the compiler chooses.
    Portable,
}

impl Kernel {
    /// Returns the kernels of this processor, the fastest first.
    pub(super) fn all() -> Vec<Self> {
        #[cfg(target_arch = "x86_64")]
        let known = [
            super::vnni::Vnni512::detect().map(Self::Vnni512),
            super::vnni::Vnni256::detect().map(Self::Vnni256),
            super::madd::Avx512::detect().map(Self::Avx512),
            super::madd::Avx2::detect().map(Self::Avx2),
        ];
        #[cfg(not(target_arch = "x86_64"))]
        let known = [None];
        known
            .into_iter()
            .flatten()
            .chain([Self::Portable])
            .collect()
    }

    /// Returns the fastest kernel that may be used.
    pub(super) fn best() -> Self {
        static BEST: LazyLock<Kernel> = LazyLock::new(|| {
            let mut all = Kernel::all().into_iter();
            all.find(|kernel| kernel.level() <= limit())
                .unwrap_or(Kernel::Portable)
        });
        *BEST
    }

    /// Returns the width of the kernel's vectors.
    fn level(self) -> Level {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Vnni512(_) | Self::Avx512(_) => Level::Widest,
            #[cfg(target_arch = "x86_64")]
            Self::Vnni256(_) | Self::Avx2(_) => Level::Avx2,
            Self::Portable => Level::Portable,
        }
    }

    /// Number of i32 values in a vector.
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
