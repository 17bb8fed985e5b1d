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

macro_rules! pairs {
    ($name:ident, $level:ident, $bytes:ident, $floats:ident:
     $madd:ident, $left:ident, $right:ident, $right_of_unsigned:ident, $to_floats:ident) => {
        #[derive(Clone, Copy, Debug)]
        pub(super) struct $name($level);

        impl $name {
            pub(super) fn find() -> Option<Self> {
                $level::try_new().map(Self)
            }

            pub(super) fn run<Op: WithDot>(self, operation: Op) -> Op::Output {
                self.0.vectorize(Run(self, operation))
            }
        }

        impl Dot for $name {
            type Simd = $level;
            /// Even bytes, odd bytes.
            type Left = (Ints<Self>, Ints<Self>);
            type Right = (Ints<Self>, Ints<Self>);

            #[inline(always)]
            fn simd(self) -> $level {
                self.0
            }

            #[inline(always)]
            fn left(self, bytes: u32) -> Self::Left {
                let all = self.0.splat_u32s(bytes);
                let even = self.0.and_u32s(all, self.0.splat_u32s(0x00ff_00ff));
                let odd = self.0.$bytes.$right_of_unsigned::<8>(cast(all));
                (cast(even), cast(odd))
            }

            #[inline(always)]
            fn right(self, bytes: Ints<Self>) -> Self::Right {
                let (all, on) = (cast(bytes), self.0.$bytes);
                let even = on.$right::<8>(on.$left::<8>(all));
                (cast(even), cast(on.$right::<8>(all)))
            }

            #[inline(always)]
            fn add(self, sums: Ints<Self>, left: Self::Left, right: Self::Right) -> Ints<Self> {
                let even = self.0.$bytes.$madd(cast(left.0), cast(right.0));
                let odd = self.0.$bytes.$madd(cast(left.1), cast(right.1));
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

pairs!(Avx512, V4, avx512bw, avx512f:
    _mm512_madd_epi16, _mm512_slli_epi16, _mm512_srai_epi16, _mm512_srli_epi16, _mm512_cvtepi32_ps);
pairs!(Avx2, V3, avx2, avx:
    _mm256_madd_epi16, _mm256_slli_epi16, _mm256_srai_epi16, _mm256_srli_epi16, _mm256_cvtepi32_ps);
