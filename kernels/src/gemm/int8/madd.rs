//! Products of bytes as products of 16-bit numbers, for x86-64 without VNNI.
//!
//! An instruction multiplies 16-bit numbers and adds them in pairs: first the even bytes of a lane,
//! then the odd ones. (The instruction for pairs of bytes is of no use: its sums have 16 bits,
//! which is too few.)

use pulp::x86::{V3, V4};
use pulp::{NullaryFnOnce, Simd, cast};

use super::dot::{Dot, Floats, Ints, WithDot};

struct Run<D, Op>(D, Op);

impl<D: Dot, Op: WithDot> NullaryFnOnce for Run<D, Op> {
    type Output = Op::Output;

    #[inline(always)]
    fn call(self) -> Op::Output {
        self.1.with_dot(self.0)
    }
}

macro_rules! madd {
    ($name:ident, $level:ident, $bytes:ident, $floats:ident:
     $multiply_add:ident, $shift_left:ident, $shift_right:ident, $shift_right_unsigned:ident,
     $to_floats:ident) => {
        #[derive(Clone, Copy, Debug)]
        pub(super) struct $name($level);

        impl $name {
            pub(super) fn detect() -> Option<Self> {
                $level::try_new().map(Self)
            }

            pub(super) fn run<Op: WithDot>(self, operation: Op) -> Op::Output {
                self.0.vectorize(Run(self, operation))
            }
        }

        impl Dot for $name {
            type Simd = $level;
            /// Even bytes, odd bytes.
            type Lhs = (Ints<Self>, Ints<Self>);
            type Rhs = (Ints<Self>, Ints<Self>);

            #[inline(always)]
            fn simd(self) -> $level {
                self.0
            }

            #[inline(always)]
            fn lhs(self, bytes: u32) -> Self::Lhs {
                let all = self.0.splat_u32s(bytes);
                let even = self.0.and_u32s(all, self.0.splat_u32s(0x00ff_00ff));
                let odd = self.0.$bytes.$shift_right_unsigned::<8>(cast(all));
                (cast(even), cast(odd))
            }

            #[inline(always)]
            fn rhs(self, bytes: Ints<Self>) -> Self::Rhs {
                let (all, on) = (cast(bytes), self.0.$bytes);
                let even = on.$shift_right::<8>(on.$shift_left::<8>(all));
                (cast(even), cast(on.$shift_right::<8>(all)))
            }

            #[inline(always)]
            fn add(self, sums: Ints<Self>, lhs: Self::Lhs, rhs: Self::Rhs) -> Ints<Self> {
                let even = self.0.$bytes.$multiply_add(cast(lhs.0), cast(rhs.0));
                let odd = self.0.$bytes.$multiply_add(cast(lhs.1), cast(rhs.1));
                let sums = self.0.add_i32s(sums, cast(even));
                self.0.add_i32s(sums, cast(odd))
            }

            #[inline(always)]
            fn floats(self, sums: Ints<Self>) -> Floats<Self> {
                cast(self.0.$floats.$to_floats(cast(sums)))
            }
        }
    };
}

madd!(Avx512, V4, avx512bw, avx512f:
    _mm512_madd_epi16, _mm512_slli_epi16, _mm512_srai_epi16, _mm512_srli_epi16, _mm512_cvtepi32_ps);
madd!(Avx2, V3, avx2, avx:
    _mm256_madd_epi16, _mm256_slli_epi16, _mm256_srai_epi16, _mm256_srli_epi16, _mm256_cvtepi32_ps);
