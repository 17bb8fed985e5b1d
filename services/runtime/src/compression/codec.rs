//! One message's bytes, compressed and expanded.

use std::io::Read;

use bytes::Bytes;
use flate2::Compression;
use flate2::bufread::{GzDecoder, GzEncoder};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};
use ruzstd::encoding::{CompressionLevel, compress_to_vec};

/// An encoding of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Gzip,
    Zstd,
}

/// Why bytes cannot be expanded.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ExpandError {
    /// They have more than the limit. No more than that was expanded.
    TooLarge,
    /// They are not of the encoding.
    Malformed(String),
}

impl Encoding {
    /// The name in headers.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }

    pub(super) fn from_name(name: &str) -> Option<Self> {
        [Self::Gzip, Self::Zstd]
            .into_iter()
            .find(|encoding| encoding.name() == name)
    }

    /// Expands one message to at most `limit` bytes.
    ///
    /// # Errors
    /// See [`ExpandError`].
    pub(super) fn expand(self, bytes: &[u8], limit: usize) -> Result<Bytes, ExpandError> {
        let (expanded, rest) = match self {
            Self::Gzip => gunzip(bytes, limit)?,
            Self::Zstd => unzstd(bytes, limit)?,
        };
        if expanded.len() > limit {
            return Err(ExpandError::TooLarge);
        }
        match rest {
            0 => Ok(expanded.into()),
            rest => {
                let what = format!("{rest} bytes follow its end");
                Err(ExpandError::Malformed(what))
            }
        }
    }

    /// Compresses one message, for speed rather than size. `None` where that makes it no smaller.
    pub(super) fn compress(self, bytes: &[u8]) -> Option<Bytes> {
        let compressed = match self {
            Self::Gzip => {
                let mut compressed = Vec::with_capacity(bytes.len() / 2);
                let mut encoder = GzEncoder::new(bytes, Compression::fast());
                // Memory to memory: nothing can fail.
                encoder.read_to_end(&mut compressed).ok()?;
                compressed
            }
            Self::Zstd => compress_to_vec(bytes, CompressionLevel::Fastest),
        };
        (compressed.len() < bytes.len()).then(|| compressed.into())
    }
}

/// Gives at most one byte more than `limit`, and how many bytes are left of the input.
fn gunzip(bytes: &[u8], limit: usize) -> Result<(Vec<u8>, usize), ExpandError> {
    let mut decoder = GzDecoder::new(bytes);
    let mut expanded = Vec::with_capacity(bytes.len().saturating_mul(2).min(limit));
    let read = (&mut decoder)
        .take(limit as u64 + 1)
        .read_to_end(&mut expanded);
    read.map_err(|e| ExpandError::Malformed(e.to_string()))?;
    Ok((expanded, decoder.get_ref().len()))
}

/// Gives an error at the first block past `limit`, which adds at most 128 KiB, and how many bytes
/// are left of the input. The decoder holds no more than what it expanded, whatever window a frame
/// asks for.
fn unzstd(bytes: &[u8], limit: usize) -> Result<(Vec<u8>, usize), ExpandError> {
    let malformed = |e: &dyn std::fmt::Display| ExpandError::Malformed(e.to_string());
    let mut rest = bytes;
    let mut decoder = FrameDecoder::new();
    decoder.init(&mut rest).map_err(|e| malformed(&e))?;
    if decoder.content_size() > limit as u64 {
        return Err(ExpandError::TooLarge);
    }
    let most = BlockDecodingStrategy::UptoBytes(limit.saturating_add(1));
    decoder
        .decode_blocks(&mut rest, most)
        .map_err(|e| malformed(&e))?;
    if !decoder.is_finished() {
        return Err(ExpandError::TooLarge);
    }
    let expanded = decoder.collect().unwrap_or_default();
    let sums = (
        decoder.get_checksum_from_data(),
        decoder.get_calculated_checksum(),
    );
    match sums {
        (Some(said), Some(found)) if said != found => {
            Err(ExpandError::Malformed("the checksum is wrong".to_owned()))
        }
        _ => Ok((expanded, rest.len())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: [Encoding; 2] = [Encoding::Gzip, Encoding::Zstd];

    fn noise(len: usize) -> Vec<u8> {
        let mut state = 1_u32;
        let bytes = (0..len).map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        });
        bytes.collect()
    }

    #[test]
    fn what_is_compressed_is_expanded_up_to_the_limit_and_no_further() {
        let text = b"how do vaccines work? ".repeat(20_000);
        for encoding in BOTH {
            for bytes in [&text[..], &text[..2000]] {
                let compressed = encoding.compress(bytes).expect("it repeats itself");
                assert!(compressed.len() < bytes.len() / 4, "{encoding:?}");
                assert_eq!(encoding.expand(&compressed, bytes.len()).unwrap(), bytes);
                let limit = bytes.len() - 1;
                assert_eq!(
                    encoding.expand(&compressed, limit),
                    Err(ExpandError::TooLarge)
                );
            }
            assert_eq!(encoding.compress(&noise(5000)), None, "{encoding:?}");
            assert_eq!(encoding.compress(b""), None);
        }
    }

    #[test]
    fn bytes_that_are_not_of_the_encoding_are_refused() {
        for encoding in BOTH {
            let good = encoding.compress(&b"abc".repeat(1000)).unwrap();
            let mut longer = good.to_vec();
            longer.extend(b"more");
            let mut changed = good.to_vec();
            let last = changed.len() - 1;
            changed[last] ^= 1;
            for bad in [
                b"".as_slice(),
                b"plain text",
                &good[..good.len() / 2],
                &longer,
                &changed,
            ] {
                let error = encoding.expand(bad, 1 << 20);
                assert!(matches!(error, Err(ExpandError::Malformed(_))), "{error:?}");
            }
        }
    }

    /// Made by the reference programs: `gzip -9 -n`, `zstd -19 --check` of 1000 times `motet `.
    #[test]
    fn messages_of_the_reference_programs_are_read() {
        let text = b"motet ".repeat(1000);
        for (encoding, bytes) in [
            (Encoding::Gzip, &include_bytes!("testdata/motet.gz")[..]),
            (Encoding::Zstd, &include_bytes!("testdata/motet.zst")[..]),
        ] {
            assert_eq!(encoding.expand(bytes, 6000).unwrap(), text);
        }
    }
}
