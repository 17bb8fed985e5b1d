//! Limits that the gateway and the model service share.

/// Maximum bytes of one text: of a `string` input of a pipeline that sets no `max_bytes` of its
/// own, and of a text that a model takes.
///
/// A text is tokenized as a whole. With a BERT tokenizer that takes up to 4 s and 220 times the
/// text's size in memory for scripts other than Latin, so this bounds what one text costs.
pub const TEXT_BYTES_MAX: usize = 1 << 20;
