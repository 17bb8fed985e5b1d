//! Attention in one operation for all rows as they are packed, without padding and without a matrix
//! of scores: the flash attention of `candle-flash-attn` on CUDA devices, in 16 bits, with the
//! Cargo feature `flash-attn`. On a CPU that of `candle-nn` takes its place in tests; it is slower
//! than padded groups.

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::attention::flash_attn_varlen_cpu;
use motet_kernels::Mask;

use super::upload::{Place, Upload, Uploaded};
use crate::architecture::Architecture;

/// Most columns of a head.
const HEAD_SIZE_MAX: usize = 256;
/// The columns of a head are a multiple of this many.
const HEAD_SIZE_STEP: usize = 8;
/// Queries have their scale already.
const SCALE: f32 = 1.0;

/// Returns whether the rows of a model are attended to in one operation, if they attend to all of
/// their tokens.
pub(super) fn is_used(architecture: &Architecture, device: &Device, dtype: DType) -> bool {
    let layers = &architecture.layers;
    let mut head_sizes = layers.iter().map(|layer| layer.attention.head_size);
    cfg!(feature = "flash-attn")
        && device.is_cuda()
        && matches!(dtype, DType::F16 | DType::BF16)
        && head_sizes.all(|size| size <= HEAD_SIZE_MAX && size.is_multiple_of(HEAD_SIZE_STEP))
        && has_plain_scores(architecture)
}

/// Returns whether nothing is added to the scores of a model: neither a position bias nor products
/// with the vectors of distances.
pub(super) fn has_plain_scores(architecture: &Architecture) -> bool {
    architecture.position_bias.is_none() && architecture.relative.is_none()
}

/// R rows of T tokens in all, one after another.
pub(super) struct PackedRows {
    /// The tokens of each row, u32 `[R]`.
    tokens: Tensor,
    /// The first token of each row, and T: u32 `[R + 1]`.
    #[cfg_attr(
        not(any(test, feature = "flash-attn")),
        expect(dead_code, reason = "an argument of flash attention")
    )]
    starts: Tensor,
    /// Most tokens of a row.
    longest: usize,
}

/// Rows whose numbers wait for their transfer.
pub(super) struct PackedPlaces {
    tokens: Place,
    starts: Place,
    longest: usize,
}

impl PackedPlaces {
    /// Rows are given by their numbers of tokens.
    pub(super) fn new(tokens: &[usize], upload: &mut Upload<u32>) -> Self {
        let ends = tokens.iter().scan(0, |end, tokens| {
            *end += *tokens as u32;
            Some(*end)
        });
        Self {
            tokens: upload.add(tokens.iter().map(|tokens| *tokens as u32)),
            starts: upload.add(std::iter::once(0).chain(ends)),
            longest: tokens.iter().copied().max().unwrap_or(0),
        }
    }

    pub(super) fn get(self, uploaded: &Uploaded) -> Result<PackedRows> {
        Ok(PackedRows {
            tokens: uploaded.get(self.tokens)?,
            starts: uploaded.get(self.starts)?,
            longest: self.longest,
        })
    }
}

impl PackedRows {
    /// softmax(Q K^T) V for each head of each row: of queries `[T, heads, head size]` and keys and
    /// values `[T, heads of keys, head size]`, to `[T, heads, head size]`.
    pub(super) fn attend(&self, [q, k, v]: [Tensor; 3], mask: Mask) -> Result<Tensor> {
        let (before, after) = match mask {
            Mask::All => (None, None),
            Mask::Causal => (None, Some(0)),
            Mask::Window { before, after } => (Some(before), Some(after)),
        };
        if q.device().is_cpu() {
            let is_causal = mask == Mask::Causal;
            let (before, after) = if is_causal {
                (None, None)
            } else {
                (before, after)
            };
            let [q, k, v] = [q.contiguous()?, k.contiguous()?, v.contiguous()?];
            let (tokens, longest) = (&self.tokens, self.longest);
            return flash_attn_varlen_cpu(
                &q, &k, &v, None, tokens, tokens, longest, longest, SCALE, is_causal, before, after,
            );
        }
        self.fused([&q, &k, &v], before, after)
    }

    #[cfg(feature = "flash-attn")]
    fn fused(
        &self,
        [q, k, v]: [&Tensor; 3],
        before: Option<usize>,
        after: Option<usize>,
    ) -> Result<Tensor> {
        let (starts, longest) = (&self.starts, self.longest);
        candle_flash_attn::flash_attn_varlen_windowed(
            q, k, v, starts, starts, longest, longest, SCALE, before, after,
        )
    }

    #[cfg(not(feature = "flash-attn"))]
    fn fused(&self, _: [&Tensor; 3], _: Option<usize>, _: Option<usize>) -> Result<Tensor> {
        candle_core::bail!("flash attention needs the Cargo feature `flash-attn`")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_follow_each_other() {
        let mut upload = Upload::new();
        let places = PackedPlaces::new(&[3, 1, 5], &mut upload);
        let rows = places.get(&upload.send(&Device::Cpu).unwrap()).unwrap();
        assert_eq!(rows.tokens.to_vec1::<u32>().unwrap(), [3, 1, 5]);
        assert_eq!(rows.starts.to_vec1::<u32>().unwrap(), [0, 3, 4, 9]);
        assert_eq!(rows.longest, 5);
    }
}
