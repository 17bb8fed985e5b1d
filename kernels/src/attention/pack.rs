//! Keys and values of a head, packed into panels for the microkernel.

use crate::aligned::Aligned;

/// A head in a block of columns.
#[derive(Clone, Copy)]
pub(super) struct Head {
    /// Columns of the block.
    pub(super) width: usize,
    /// First column of the head in the block.
    pub(super) first: usize,
    /// Columns of the head.
    pub(super) size: usize,
    /// Number of keys that are packed.
    pub(super) keys: usize,
}

/// Packs the keys of a head, transposed: `[panels, head size, keys of a panel]`. A panel that is
/// not full is filled up with 0.
pub(super) fn pack_keys(packed: &mut Aligned<f32>, panel: usize, head: Head, keys: &[f32]) {
    packed.resize(head.keys.next_multiple_of(panel) * head.size);
    let panels = packed.as_mut_slice().chunks_exact_mut(panel * head.size);
    for (values, keys) in panels.zip(keys.chunks(panel * head.width)) {
        if keys.len() < panel * head.width {
            values.fill(0.0);
        }
        for (at, key) in keys.chunks_exact(head.width).enumerate() {
            let key = &key[head.first..][..head.size];
            for (row, value) in key.iter().enumerate() {
                values[row * panel + at] = *value;
            }
        }
    }
}

/// Packs the values of a head: `[panels, keys, columns of a panel]`.
pub(super) fn pack_values(packed: &mut Aligned<f32>, panel: usize, head: Head, values: &[f32]) {
    packed.resize(head.size.next_multiple_of(panel) * head.keys);
    let panels = packed.as_mut_slice().chunks_exact_mut(panel * head.keys);
    for (number, packed) in panels.enumerate() {
        let columns = number * panel..((number + 1) * panel).min(head.size);
        for (row, value) in packed
            .chunks_exact_mut(panel)
            .zip(values.chunks_exact(head.width))
        {
            let (columns_of_head, padding) = row.split_at_mut(columns.len());
            columns_of_head.copy_from_slice(&value[head.first..][columns.clone()]);
            padding.fill(0.0);
        }
    }
}
