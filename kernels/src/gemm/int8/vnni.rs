//! Products of bytes by the instructions made for them, VNNI.

#![allow(unsafe_code)]

use std::arch::x86_64::{_mm256_dpbusd_avx_epi32, _mm512_dpbusd_epi32};

use pulp::x86::{V3, V4};
use pulp::{Simd, cast};

use super::dot::{Dot, Floats, Ints, WithDot};

macro_rules! vnni {
    ($name:ident, $level:ident, $feature:tt, $features:literal, $add:ident, $on:ident, $floats:ident) => {
        /// The kernel; a value proves that the processor has its instructions.
        #[derive(Clone, Copy, Debug)]
        pub(super) struct $name($level);

        impl $name {
            pub(super) fn detect() -> Option<Self> {
                let level = $level::try_new()?;
                std::arch::is_x86_feature_detected!($feature).then_some(Self(level))
            }

            pub(super) fn run<Op: WithDot>(self, operation: Op) -> Op::Output {
                #[target_feature(enable = $features)]
                fn compiled<Op: WithDot>(dot: $name, operation: Op) -> Op::Output {
                    operation.with_dot(dot)
                }
                // SAFETY: `detect` alone makes this type, after it has seen that the processor has
                // all these features: those of pulp's level, and the one beside them.
                unsafe { compiled(self, operation) }
            }
        }

        impl Dot for $name {
            type Simd = $level;
            type Lhs = Ints<Self>;
            type Rhs = Ints<Self>;

            #[inline(always)]
            fn simd(self) -> $level {
                self.0
            }

            #[inline(always)]
            fn lhs(self, bytes: u32) -> Self::Lhs {
                cast(self.0.splat_u32s(bytes))
            }

            #[inline(always)]
            fn rhs(self, bytes: Ints<Self>) -> Self::Rhs {
                bytes
            }

            #[inline(always)]
            fn add(self, sums: Ints<Self>, lhs: Self::Lhs, rhs: Self::Rhs) -> Ints<Self> {
                // SAFETY: `detect` alone makes this type, after it has seen that the processor has
                // the instruction, which works on registers only.
                cast(unsafe { $add(cast(sums), cast(lhs), cast(rhs)) })
            }

            #[inline(always)]
            fn floats(self, sums: Ints<Self>) -> Floats<Self> {
                cast(self.0.$on.$floats(cast(sums)))
            }
        }
    };
}

vnni!(
    Vnni512,
    V4,
    "avx512vnni",
    "avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx512vnni,fma,bmi1,bmi2,lzcnt,popcnt",
    _mm512_dpbusd_epi32,
    avx512f,
    _mm512_cvtepi32_ps
);
vnni!(
    Vnni256,
    V3,
    "avxvnni",
    "avx2,avxvnni,fma,bmi1,bmi2,lzcnt,popcnt",
    _mm256_dpbusd_avx_epi32,
    avx,
    _mm256_cvtepi32_ps
);
