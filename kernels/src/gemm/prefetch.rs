//! Requests for memory before it is needed.

#![allow(unsafe_code)]

/// Bytes of a cache line.
pub(crate) const LINE: usize = 64;

/// Returns the number of values in a cache line.
pub(crate) const fn line<T>() -> usize {
    LINE / size_of::<T>()
}

/// Brings the cache line of `values[at]` into the first level cache. A hint: nothing is read, and
/// `at` may be beyond the end.
#[inline(always)]
pub(crate) fn prefetch<T>(values: &[T], at: usize) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let address = values.as_ptr().wrapping_add(at);
        // SAFETY: the instruction is part of every x86-64 and reads nothing that a program can see;
        // it is defined for any address, mapped or not, and the address is made without leaving the
        // allocation by pointer arithmetic that must not.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (values, at);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_address_will_do() {
        let values = [1.0, 2.0];
        for at in [0, 1, 2, 1 << 20, usize::MAX] {
            prefetch(&values, at);
            prefetch::<f32>(&[], at);
        }
        assert_eq!(values, [1.0, 2.0]);
    }
}
