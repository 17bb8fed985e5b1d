//! Tokens of a file's content, and the kinds of files that have too few of them.

use serde::Deserialize;

/// The content of a file, as far as the model sees it.
#[derive(Debug, PartialEq)]
pub(crate) enum Content {
    /// Tokens for the model.
    Tokens(Vec<u32>),
    /// Too few bytes for the model: the kind is what they are without it.
    Short(&'static str),
}

/// The part of the package's `config.min.json` that says how bytes become tokens.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Window {
    /// Tokens of the beginning.
    beg_size: usize,
    mid_size: usize,
    /// Tokens of the end.
    end_size: usize,
    use_inputs_at_offsets: bool,
    /// Bytes at either end that are looked at.
    block_size: usize,
    /// Fewest bytes that the model judges.
    min_file_size_for_dl: usize,
    /// The token of a place that no byte fills.
    padding_token: u32,
}

impl Window {
    /// Returns the number of tokens of a file; `None` if it takes more than its beginning and end.
    pub(crate) fn tokens(&self) -> Option<usize> {
        let is_known = self.mid_size == 0 && !self.use_inputs_at_offsets;
        is_known.then_some(self.beg_size + self.end_size)
    }

    /// Reads a file: the bytes of its beginning without white space before them, padded at the end,
    /// then those of its end without white space after them, padded at the beginning.
    pub(crate) fn read(&self, bytes: &[u8]) -> Content {
        if bytes.is_empty() {
            return Content::Short("empty");
        }
        let block = bytes.len().min(self.block_size);
        let (first, last) = (&bytes[..block], &bytes[bytes.len() - block..]);
        let first_byte = first.iter().position(|byte| !is_space(*byte));
        let beginning = &first[first_byte.unwrap_or(block)..];
        if bytes.len() < self.min_file_size_for_dl || beginning.len() < self.min_file_size_for_dl {
            let is_text = std::str::from_utf8(first).is_ok();
            return Content::Short(if is_text { "txt" } else { "unknown" });
        }
        let last_byte = last.iter().rposition(|byte| !is_space(*byte));
        let end = &last[..last_byte.map_or(0, |at| at + 1)];
        let beginning = &beginning[..beginning.len().min(self.beg_size)];
        let end = &end[end.len().saturating_sub(self.end_size)..];
        let padding = self.beg_size + self.end_size - beginning.len() - end.len();
        let padding = std::iter::repeat_n(self.padding_token, padding);
        let token = |byte: &u8| u32::from(*byte);
        let tokens = beginning.iter().map(token).chain(padding);
        Content::Tokens(tokens.chain(end.iter().map(token)).collect())
    }
}

/// Returns whether Python's `bytes.strip` takes a byte away.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}
