//! Products of bytes without instructions for them.

use pulp::{Scalar128b, cast};

use super::dot::{Dot, Floats, Ints};
use super::groups::STEP;

/// Four lanes, which compilers turn into vectors of whatever the target always has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Portable;

impl Dot for Portable {
    type Simd = Scalar128b;
    type Left = [i32; STEP];
    /// For each of the four bytes a vector.
    type Right = [[i32; 4]; STEP];

    #[inline(always)]
    fn simd(self) -> Scalar128b {
        Scalar128b
    }

    #[inline(always)]
    fn left(self, bytes: u32) -> Self::Left {
        bytes.to_ne_bytes().map(i32::from)
    }

    #[inline(always)]
    fn right(self, bytes: Ints<Self>) -> Self::Right {
        let lanes: [[i8; STEP]; 4] = cast(bytes);
        let mut right = [[0; 4]; STEP];
        for (at, vector) in right.iter_mut().enumerate() {
            for (lane, bytes) in vector.iter_mut().zip(lanes) {
                *lane = i32::from(bytes[at]);
            }
        }
        right
    }

    #[inline(always)]
    fn add(self, sums: Ints<Self>, left: Self::Left, right: Self::Right) -> Ints<Self> {
        let mut sums: [i32; 4] = cast(sums);
        for (left, right) in left.into_iter().zip(right) {
            for (sum, right) in sums.iter_mut().zip(right) {
                *sum += left * right;
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
