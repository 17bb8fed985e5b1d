//! Memory of weights, in huge pages.
//!
//! A processor's table of pages (TLB) has a few thousand entries. The weights of a model are more
//! ordinary pages, of 4 KiB, than that: each batch would evict all others of the process. So they
//! are moved into one mapping, for which the largest pages that the system has are asked for.

use std::ops::Range;
use std::sync::Arc;

use memmap2::MmapMut;
use pulp::bytemuck::{AnyBitPattern, NoUninit, cast_slice};

use crate::aligned::Aligned;
use crate::gemm::prefetch::LINE;

/// Values that do not change any more.
#[derive(Debug)]
pub(crate) enum WeightBuffer<T> {
    /// In memory of their own.
    Owned(Aligned<T>),
    /// In a mapping with others, as a range of its bytes.
    Mapped(Arc<MmapMut>, Range<usize>),
}

impl<T: Copy + Default + NoUninit + AnyBitPattern> WeightBuffer<T> {
    /// Returns the values.
    pub(crate) fn as_slice(&self) -> &[T] {
        match self {
            Self::Owned(values) => values.as_slice(),
            Self::Mapped(memory, bytes) => cast_slice(&memory[bytes.clone()]),
        }
    }
}

impl<T> From<Aligned<T>> for WeightBuffer<T> {
    fn from(values: Aligned<T>) -> Self {
        Self::Owned(values)
    }
}

/// Buffer of any type of values that [`consolidate`] can move.
pub trait Relocatable {
    /// Returns the values' bytes.
    fn bytes(&self) -> &[u8];

    /// Frees the buffer; it is empty until [`rebind`](Self::rebind).
    fn release(&mut self);

    /// Makes a range of the mapping's bytes, to which the values were copied, the buffer.
    fn rebind(&mut self, memory: &Arc<MmapMut>, bytes: Range<usize>);
}

impl<T: Copy + Default + NoUninit + AnyBitPattern> Relocatable for WeightBuffer<T> {
    fn bytes(&self) -> &[u8] {
        cast_slice(self.as_slice())
    }

    fn release(&mut self) {
        *self = Self::Owned(Aligned::default());
    }

    fn rebind(&mut self, memory: &Arc<MmapMut>, bytes: Range<usize>) {
        *self = Self::Mapped(memory.clone(), bytes);
    }
}

/// Moves buffers into one mapping, one after the other, so that no more than one of them exists
/// twice at a time. They stay where they are if the system does not give the memory.
pub fn consolidate(mut buffers: Vec<&mut dyn Relocatable>) {
    let mut end = 0;
    let ranges: Vec<Range<usize>> = buffers
        .iter()
        .map(|buffer| {
            let start = end;
            end += buffer.bytes().len().next_multiple_of(LINE);
            start..start + buffer.bytes().len()
        })
        .collect();
    let Ok(mut memory) = MmapMut::map_anon(end) else {
        return;
    };
    #[cfg(target_os = "linux")]
    if let Err(error) = memory.advise(memmap2::Advice::HugePage) {
        tracing::debug!(%error, "weights are in ordinary pages");
    }
    for (buffer, range) in buffers.iter_mut().zip(&ranges) {
        memory[range.clone()].copy_from_slice(buffer.bytes());
        buffer.release();
    }
    let memory = Arc::new(memory);
    for (buffer, range) in buffers.iter_mut().zip(ranges) {
        buffer.rebind(&memory, range);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned<T: Copy + Default>(values: &[T]) -> WeightBuffer<T> {
        Aligned::from(values).into()
    }

    #[test]
    fn consolidated_values_are_the_same_and_begin_at_a_cache_line() {
        let (mut a, mut b, mut none) = (
            owned(&[1_u16, 2, 3]),
            owned(&[4.0_f32; 50]),
            owned::<i32>(&[]),
        );
        let mut c = owned(&[-5_i32]);
        consolidate(vec![&mut a, &mut b, &mut none, &mut c]);
        assert_eq!(a.as_slice(), [1, 2, 3]);
        assert_eq!(b.as_slice(), [4.0; 50]);
        assert!(none.as_slice().is_empty());
        assert_eq!(c.as_slice(), [-5]);
        for bytes in [a.bytes(), b.bytes(), c.bytes()] {
            assert_eq!(bytes.as_ptr().align_offset(LINE), 0);
        }
        assert!(matches!(c, WeightBuffer::Mapped(..)));
    }

    #[test]
    fn no_buffers_may_be_consolidated() {
        consolidate(Vec::new());
    }
}
