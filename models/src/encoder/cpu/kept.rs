//! Memory for weights.
//!
//! A processor remembers where a few thousand pages lie. The weights of a model are more of the
//! ordinary ones, of 4 KiB, so that each batch would make it forget all others of the process. So
//! they lie together, in the largest pages that the system gives.

use std::ops::Range;
use std::sync::Arc;

use memmap2::MmapMut;
use pulp::bytemuck::{AnyBitPattern, NoUninit, cast_slice};

use super::aligned::Aligned;
use super::prefetch::LINE;

/// Values that do not change any more.
#[derive(Debug)]
pub(super) enum Kept<T> {
    Alone(Aligned<T>),
    /// In memory with others, as a range of its bytes.
    Together(Arc<MmapMut>, Range<usize>),
}

impl<T: Copy + Default + NoUninit + AnyBitPattern> Kept<T> {
    pub(super) fn as_slice(&self) -> &[T] {
        match self {
            Self::Alone(values) => values.as_slice(),
            Self::Together(memory, bytes) => cast_slice(&memory[bytes.clone()]),
        }
    }
}

impl<T> From<Aligned<T>> for Kept<T> {
    fn from(values: Aligned<T>) -> Self {
        Self::Alone(values)
    }
}

/// Values of any type that can be moved.
pub(super) trait Keep {
    fn bytes(&self) -> &[u8];

    /// Gives their own memory back. They are nothing until they lie somewhere else.
    fn leave(&mut self);

    /// Their bytes lie there.
    fn lie(&mut self, memory: &Arc<MmapMut>, bytes: Range<usize>);
}

impl<T: Copy + Default + NoUninit + AnyBitPattern> Keep for Kept<T> {
    fn bytes(&self) -> &[u8] {
        cast_slice(self.as_slice())
    }

    fn leave(&mut self) {
        *self = Self::Alone(Aligned::default());
    }

    fn lie(&mut self, memory: &Arc<MmapMut>, bytes: Range<usize>) {
        *self = Self::Together(memory.clone(), bytes);
    }
}

/// Moves values together, one after the other, so that no more than one of them is there twice.
/// They stay where they are if the system does not give the memory.
pub(super) fn together(mut values: Vec<&mut dyn Keep>) {
    let mut end = 0;
    let places: Vec<Range<usize>> = values
        .iter()
        .map(|values| {
            let start = end;
            end += values.bytes().len().next_multiple_of(LINE);
            start..start + values.bytes().len()
        })
        .collect();
    let Ok(mut memory) = MmapMut::map_anon(end) else {
        return;
    };
    #[cfg(target_os = "linux")]
    if let Err(error) = memory.advise(memmap2::Advice::HugePage) {
        tracing::debug!(%error, "weights lie in ordinary pages");
    }
    for (values, place) in values.iter_mut().zip(&places) {
        memory[place.clone()].copy_from_slice(values.bytes());
        values.leave();
    }
    let memory = Arc::new(memory);
    for (values, place) in values.iter_mut().zip(places) {
        values.lie(&memory, place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept<T: Copy + Default>(values: &[T]) -> Kept<T> {
        Aligned::from(values).into()
    }

    #[test]
    fn values_stay_what_they_are_and_begin_a_cache_line() {
        let (mut a, mut b, mut none) =
            (kept(&[1_u16, 2, 3]), kept(&[4.0_f32; 50]), kept::<i32>(&[]));
        let mut c = kept(&[-5_i32]);
        together(vec![&mut a, &mut b, &mut none, &mut c]);
        assert_eq!(a.as_slice(), [1, 2, 3]);
        assert_eq!(b.as_slice(), [4.0; 50]);
        assert!(none.as_slice().is_empty());
        assert_eq!(c.as_slice(), [-5]);
        for bytes in [a.bytes(), b.bytes(), c.bytes()] {
            assert_eq!(bytes.as_ptr().align_offset(LINE), 0);
        }
        assert!(matches!(c, Kept::Together(..)));
    }

    #[test]
    fn nothing_is_no_matter() {
        together(Vec::new());
    }
}
