//! Sums of products of bytes, four per 32-bit lane: what each kernel implements. All give equal
//! sums.

use pulp::Simd;

pub(super) type Ints<D> = <<D as Dot>::Simd as Simd>::i32s;
pub(super) type Floats<D> = <<D as Dot>::Simd as Simd>::f32s;

/// Integer vectors that add up products of bytes, and the vectors of f32 that go with them.
pub(super) trait Dot: Copy {
    type Simd: Simd;
    /// Four bytes of the left side, in every lane.
    type Lhs: Copy;
    /// Four bytes of the right side in each lane.
    type Rhs: Copy;

    fn simd(self) -> Self::Simd;

    /// Prepares four unsigned bytes.
    fn lhs(self, bytes: u32) -> Self::Lhs;

    /// Prepares four signed bytes in each lane, -127 to 127.
    fn rhs(self, bytes: Ints<Self>) -> Self::Rhs;

    /// Adds to each lane its four products.
    fn add(self, sums: Ints<Self>, lhs: Self::Lhs, rhs: Self::Rhs) -> Ints<Self>;

    /// Converts sums to f32.
    fn floats(self, sums: Ints<Self>) -> Floats<Self>;
}

/// An operation on any [`Dot`].
pub(super) trait WithDot {
    type Output;
    fn with_dot<D: Dot>(self, dot: D) -> Self::Output;
}
