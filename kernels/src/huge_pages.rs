//! Memory of weights, in huge pages.
//!
//! A processor's table of pages (TLB) has a few thousand entries. The weights of a model are more
//! ordinary pages, of 4 KiB, than that: each batch would evict all others of the process. So they
//! are moved into one mapping, for which the largest pages that the system has are asked for.

use std::ops::Range;
use std::sync::Arc;

use memmap2::MmapMut;
use pulp::bytemuck::{AnyBitPattern, NoUninit, cast_slice, cast_slice_mut};

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

impl<T: Default> Default for WeightBuffer<T> {
    fn default() -> Self {
        Self::Owned(Aligned::default())
    }
}

/// Bytes from which a buffer has a mapping of its own until it is moved: an allocator would keep
/// much of what is freed.
const MAPPED_BYTES_MIN: usize = 1 << 20;
/// Bytes from which a buffer stays in its own mapping: it fills huge pages by itself, and moving it
/// would need its memory twice.
const STAYS_BYTES_MIN: usize = 32 << 20;

impl<T: Copy + Default + NoUninit + AnyBitPattern> WeightBuffer<T> {
    /// Returns a buffer of `len` values that `fill` writes; they are zeros before. `None` if it
    /// returns `false`.
    ///
    /// # Errors
    /// That of `fill`.
    pub(crate) fn build<E>(
        len: usize,
        fill: impl FnOnce(&mut [T]) -> Result<bool, E>,
    ) -> Result<Option<Self>, E> {
        let bytes = len * size_of::<T>();
        if bytes >= MAPPED_BYTES_MIN
            && let Ok(mut memory) = MmapMut::map_anon(bytes)
        {
            if bytes >= STAYS_BYTES_MIN {
                advise_huge_pages(&memory);
            }
            let is_filled = fill(cast_slice_mut(&mut memory))?;
            return Ok(is_filled.then(|| Self::Mapped(Arc::new(memory), 0..bytes)));
        }
        let mut values = Aligned::zeros(len);
        let is_filled = fill(values.as_mut_slice())?;
        Ok(is_filled.then_some(Self::Owned(values)))
    }
}

#[cfg(test)]
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
        *self = Self::default();
    }

    fn rebind(&mut self, memory: &Arc<MmapMut>, bytes: Range<usize>) {
        *self = Self::Mapped(memory.clone(), bytes);
    }
}

/// Asks for the largest pages that the system has.
fn advise_huge_pages(memory: &MmapMut) {
    #[cfg(target_os = "linux")]
    if let Err(error) = memory.advise(memmap2::Advice::HugePage) {
        tracing::debug!(%error, "weights are in ordinary pages");
    }
    #[cfg(not(target_os = "linux"))]
    let _ = memory;
}

/// Moves buffers into one mapping, one after the other, so that no more than one of them exists
/// twice at a time. Very large ones stay where they are, and all do if the system does not give the
/// memory.
pub fn consolidate(mut buffers: Vec<&mut dyn Relocatable>) {
    buffers.retain(|buffer| buffer.bytes().len() < STAYS_BYTES_MIN);
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
    advise_huge_pages(&memory);
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

    #[test]
    fn a_buffer_is_what_was_written_in_memory_of_either_kind() {
        for len in [0, 1, 1000, MAPPED_BYTES_MIN / 4, MAPPED_BYTES_MIN] {
            let build = |is_filled: bool| {
                let fill = |values: &mut [u32]| -> Result<bool, std::convert::Infallible> {
                    assert!(values.iter().all(|value| *value == 0));
                    let numbers = values.iter_mut().zip(0..);
                    numbers.for_each(|(value, number)| *value = number);
                    Ok(is_filled)
                };
                let Ok(buffer) = WeightBuffer::build(len, fill);
                buffer
            };
            let buffer = build(true).unwrap();
            assert!(buffer.as_slice().iter().copied().eq(0..len as u32), "{len}");
            assert_eq!(buffer.as_slice().as_ptr().align_offset(LINE), 0);
            assert!(build(false).is_none());
        }
    }
}
