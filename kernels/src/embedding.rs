//! Tables of vectors, such as those of words and positions, and sums of their rows.

use std::ops::Range;

use half::f16;
use half::slice::HalfFloatSliceExt;
use pulp::bytemuck::{AnyBitPattern, NoUninit};

use crate::blocked::ColumnBlocks;
use crate::gemm::{bf16, f16 as f16_format};
use crate::huge_pages::{Relocatable, WeightBuffer};
use crate::parallel::Parallelism;
use crate::weights::WeightRows;

/// Fewest tokens of a block whose vectors one thread of several looks up.
const TOKENS_MIN: usize = 64;

/// Values of a table that are read at once, about.
const CHUNK_VALUES: usize = 1 << 16;

/// A table `[rows, size]`, in the fewest bits that hold it exactly.
#[derive(Debug)]
pub struct EmbeddingTable {
    size: usize,
    values: Values,
}

#[derive(Debug)]
enum Values {
    F32(Vec<f32>),
    F16(WeightBuffer<f16>),
    /// Bits of bf16 values.
    Bf16(WeightBuffer<u16>),
}

/// Packs a table in 16 bits, if `narrow` says of all rows that these hold them exactly.
fn pack_halves<T, W>(
    table: &W,
    rows: usize,
    size: usize,
    narrow: impl Fn(&[f32], &mut [T]) -> bool,
) -> Result<Option<WeightBuffer<T>>, W::Error>
where
    T: Copy + Default + NoUninit + AnyBitPattern,
    W: WeightRows,
{
    WeightBuffer::build(rows * size, |halves| {
        let mut scratch = Vec::new();
        for chunk in chunks(rows, size) {
            let halves = &mut halves[chunk.start * size..chunk.end * size];
            if !narrow(table.rows(chunk, &mut scratch)?, halves) {
                return Ok(false);
            }
        }
        Ok(true)
    })
}

/// Cuts the rows of a table into chunks that are read at once.
fn chunks(rows: usize, size: usize) -> impl Iterator<Item = Range<usize>> {
    let of_chunk = (CHUNK_VALUES / size).max(1);
    let starts = (0..rows).step_by(of_chunk);
    starts.map(move |start| start..(start + of_chunk).min(rows))
}

impl EmbeddingTable {
    /// Packs a table of `rows` vectors of `size` values.
    ///
    /// # Errors
    /// As reading the table.
    pub fn pack<W: WeightRows>(table: &W, rows: usize, size: usize) -> Result<Self, W::Error> {
        let values = if let Some(bits) = pack_halves(table, rows, size, bf16::narrow_exact)? {
            Values::Bf16(bits)
        } else if let Some(halves) = pack_halves(table, rows, size, f16_format::narrow_exact)? {
            Values::F16(halves)
        } else {
            let mut values = Vec::with_capacity(rows * size);
            let mut scratch = Vec::new();
            for chunk in chunks(rows, size) {
                values.extend_from_slice(table.rows(chunk, &mut scratch)?);
            }
            Values::F32(values)
        };
        Ok(Self { size, values })
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        let values = match &self.values {
            Values::F32(values) => values.len(),
            Values::F16(values) => values.as_slice().len(),
            Values::Bf16(bits) => bits.as_slice().len(),
        };
        values / self.size
    }

    /// Number of values of a row.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Returns the table as a buffer to move; not one of 32 bits, whose former memory the allocator
    /// would keep.
    pub fn relocatable(&mut self) -> Option<&mut dyn Relocatable> {
        match &mut self.values {
            Values::F32(_) => None,
            Values::F16(values) => Some(values),
            Values::Bf16(bits) => Some(bits),
        }
    }

    /// Writes some columns of a row, from column `first`.
    fn copy(&self, row: u32, first: usize, out: &mut [f32]) {
        let start = row as usize * self.size + first;
        match &self.values {
            Values::F32(values) => out.copy_from_slice(&values[start..][..out.len()]),
            Values::F16(values) => {
                values.as_slice()[start..][..out.len()].convert_to_f32_slice(out);
            }
            Values::Bf16(bits) => {
                for (x, bits) in out.iter_mut().zip(&bits.as_slice()[start..]) {
                    *x = f32::from_bits(u32::from(*bits) << 16);
                }
            }
        }
    }

    /// Adds some columns of a row, from column `first`.
    fn add(&self, row: u32, first: usize, out: &mut [f32]) {
        match &self.values {
            Values::F32(values) => {
                let start = row as usize * self.size + first;
                for (x, value) in out.iter_mut().zip(&values[start..]) {
                    *x += value;
                }
            }
            Values::F16(_) | Values::Bf16(_) => {
                const CHUNK: usize = 64;
                let mut widened = [0.0; CHUNK];
                for (number, out) in out.chunks_mut(CHUNK).enumerate() {
                    let widened = &mut widened[..out.len()];
                    self.copy(row, first + number * CHUNK, widened);
                    for (x, value) in out.iter_mut().zip(widened) {
                        *x += *value;
                    }
                }
            }
        }
    }
}

/// Writes to `out`, `[T, size]` in blocks, for each token the sum of one row of each table, added
/// in the order of the tables. `indices` are each token's rows.
///
/// # Panics
/// If `out` has not as many tokens as `indices`, if a table has rows of another size, or not a row
/// that is asked for.
pub fn sum_rows<const N: usize>(
    tables: [&EmbeddingTable; N],
    indices: &[[u32; N]],
    out: &mut [f32],
    columns: ColumnBlocks,
    parallelism: Parallelism,
) {
    const { assert!(N > 0) };
    let tokens = indices.len();
    assert_eq!(out.len(), tokens * columns.count, "sums of rows");
    assert!(tables.iter().all(|table| table.size == columns.count));
    columns.for_each_part(out, TOKENS_MIN, parallelism, |block, first, out| {
        let range = columns.columns(block);
        for (out, rows) in out.chunks_exact_mut(range.len()).zip(&indices[first..]) {
            tables[0].copy(rows[0], range.start, out);
            for (table, row) in tables.iter().zip(rows).skip(1) {
                table.add(*row, range.start, out);
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::InMemory;

    /// Values that bf16 holds, with `more` added.
    fn table(rows: usize, size: usize, more: f32) -> (EmbeddingTable, Vec<f32>) {
        let value = |at: usize| (at * 37 % 97) as f32 / 64.0 - 0.75 + more;
        let values: Vec<f32> = (0..rows * size).map(value).collect();
        let in_memory = InMemory {
            values: &values,
            size,
        };
        let Ok(table) = EmbeddingTable::pack(&in_memory, rows, size);
        (table, values)
    }

    #[test]
    fn tables_take_16_bits_if_these_hold_all_of_them() {
        let bf16 = table(5, 7, 0.0).0;
        assert!(matches!(bf16.values, Values::Bf16(_)));
        let f16 = table(5, 7, 1.0 / 1024.0).0;
        assert!(matches!(f16.values, Values::F16(_)));
        let f32 = table(5, 7, 1e-6).0;
        assert!(matches!(f32.values, Values::F32(_)));
        for table in [bf16, f16, f32] {
            assert_eq!((table.rows(), table.size()), (5, 7));
        }
    }

    #[test]
    fn sums_are_exact_in_all_formats_on_any_number_of_threads() {
        const MORE: [f32; 3] = [0.0, 1.0 / 1024.0, 1e-6];
        let columns = ColumnBlocks {
            count: 150,
            width: 70,
        };
        for more in [[0, 1, 2], [1, 2, 0], [2, 0, 1]] {
            let [a, b, c] = more.map(|format| table(40, columns.count, MORE[format]));
            for tokens in [0, 1, 3, 200] {
                let indices: Vec<[u32; 3]> = (0..tokens)
                    .map(|at| [at * 7 % 40, at % 40, at * 11 % 2].map(|row| row as u32))
                    .collect();
                let mut expected = Vec::new();
                for block in 0..columns.blocks() {
                    for rows in &indices {
                        expected.extend(columns.columns(block).map(|column| {
                            let value = |values: &[f32], row: u32| {
                                values[row as usize * columns.count + column]
                            };
                            value(&a.1, rows[0]) + value(&b.1, rows[1]) + value(&c.1, rows[2])
                        }));
                    }
                }
                let tables = [&a.0, &b.0, &c.0];
                let check = |parallelism: Parallelism| {
                    let mut out = vec![f32::NAN; tokens * columns.count];
                    sum_rows(tables, &indices, &mut out, columns, parallelism);
                    assert_eq!(out, expected, "{tokens} tokens");
                };
                check(Parallelism::WithinThread);
                for threads in [1, 3, 8] {
                    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
                    pool.unwrap().install(|| check(Parallelism::AcrossThreads));
                }
            }
        }
    }
}
