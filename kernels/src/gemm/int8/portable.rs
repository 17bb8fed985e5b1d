//! Products of bytes without instructions for them.

use pulp::{Scalar128b, cast};

use super::dot::{Dot, Floats, Ints};
use super::groups::STEP;

/// Four lanes, which compilers turn into vectors of whatever the target always has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Portable;

impl Dot for Portable {
    type Simd = Scalar128b;
    type Lhs = [i32; STEP];
    /// For each of the four bytes a vector.
    type Rhs = [[i32; 4]; STEP];

    #[inline(always)]
    fn simd(self) -> Scalar128b {
        Scalar128b
    }

    #[inline(always)]
    fn lhs(self, bytes: u32) -> Self::Lhs {
        bytes.to_ne_bytes().map(i32::from)
    }

    #[inline(always)]
    fn rhs(self, bytes: Ints<Self>) -> Self::Rhs {
        let lanes: [[i8; STEP]; 4] = cast(bytes);
        let mut vectors = [[0; 4]; STEP];
        for (at, vector) in vectors.iter_mut().enumerate() {
            for (lane, bytes) in vector.iter_mut().zip(lanes) {
                *lane = i32::from(bytes[at]);
            }
        }
        vectors
    }

    #[inline(always)]
    fn add(self, sums: Ints<Self>, lhs: Self::Lhs, rhs: Self::Rhs) -> Ints<Self> {
        let mut sums: [i32; 4] = cast(sums);
        for (lhs, rhs) in lhs.into_iter().zip(rhs) {
            for (sum, rhs) in sums.iter_mut().zip(rhs) {
                *sum += lhs * rhs;
            }
        }
        cast(sums)
    }

    #[inline(always)]
    fn floats(self, sums: Ints<Self>) -> Floats<Self> {
        let sums: [i32; 4] = cast(sums);
        cast(sums.map(|sum| sum as f32))
    }
}
