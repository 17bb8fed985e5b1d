//! Limits of a single call.

use motet_proto::limits::TEXT_BYTES_MAX;

/// Limits of one call, apart from the size of its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Maximum rows of an input. Default 16,384.
    pub rows: usize,
    /// Maximum bytes of one text. Default [`TEXT_BYTES_MAX`], 1 MiB.
    pub text_bytes: usize,
    /// Maximum bytes of one element of a `bytes` input. Default 16 MiB, as in a pipeline.
    pub bytes: usize,
    /// Maximum tokens of a call that needs a vector for each token (`embed_tokens`, `rerank`),
    /// which are held in memory until the response is built. Default 65,536.
    pub token_vectors: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            rows: 16_384,
            text_bytes: TEXT_BYTES_MAX,
            bytes: 16 << 20,
            token_vectors: 65_536,
        }
    }
}
