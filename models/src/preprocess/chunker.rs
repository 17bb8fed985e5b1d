//! Splits a text into chunks of at most so many tokens.

use std::ops::Range;
use std::sync::Arc;

use super::borders::{Border, borders};
use super::clean::Cleaned;
use crate::tokenizer::{TokenSpan, Tokenizer, TokenizerError};

/// How texts are split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkerOptions {
    /// Most tokens of a chunk, without special tokens.
    pub max_tokens: usize,
    /// Tokens that a chunk repeats from the end of the one before, at most half of `max_tokens`.
    /// Fewer are repeated where that lets the chunk start at a word.
    pub overlap: usize,
}

impl ChunkerOptions {
    /// The smallest `max_tokens`. Below it a single word could be more than a chunk.
    pub const MAX_TOKENS_MIN: usize = 8;
}

impl Default for ChunkerOptions {
    fn default() -> Self {
        Self {
            max_tokens: 128,
            overlap: 16,
        }
    }
}

/// Options that cannot be met.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChunkerError {
    /// Chunks too small to hold words.
    #[error(
        "max_tokens is {given}; it must be at least {}",
        ChunkerOptions::MAX_TOKENS_MIN
    )]
    TooSmall {
        /// The value given.
        given: usize,
    },
    /// Chunks that the model would cut off.
    #[error("max_tokens is {given}; the model takes at most {limit} tokens of text in a row")]
    TooLarge {
        /// The value given.
        given: usize,
        /// The model's limit without special tokens.
        limit: usize,
    },
    /// So much overlap that chunks hardly advance.
    #[error("overlap is {overlap}; it must be at most half of max_tokens, which is {max_tokens}")]
    OverlapTooLarge {
        /// The overlap given.
        overlap: usize,
        /// The chunk size given.
        max_tokens: usize,
    },
}

/// A piece of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// The cleaned text of the piece.
    pub text: String,
    /// Number of its first character in the original text, from 0.
    pub start: usize,
    /// Number of the character after its last in the original text.
    pub end: usize,
    /// Number of tokens, without special tokens.
    pub tokens: usize,
}

/// Cleans texts and splits them into overlapping chunks. Cheap to make.
///
/// A chunk ends where a sentence does if one ends in the second half of what would fit, else at
/// white space, else between a word and a punctuation mark or between ideographs, else inside a
/// word. Together the chunks hold every character of the text that is not white space or a control
/// character, unless the tokenizer sees nothing in the whole text.
#[derive(Clone, Debug)]
pub struct Chunker {
    tokenizer: Arc<Tokenizer>,
    options: ChunkerOptions,
}

impl Chunker {
    /// Returns a chunker that counts with this tokenizer.
    ///
    /// # Errors
    /// A chunk size below 8 or above the model's limit, an overlap above half of the chunk size.
    pub fn new(tokenizer: Arc<Tokenizer>, options: ChunkerOptions) -> Result<Self, ChunkerError> {
        let ChunkerOptions {
            max_tokens,
            overlap,
        } = options;
        let limit = tokenizer.max_tokens() - tokenizer.special_tokens();
        if max_tokens < ChunkerOptions::MAX_TOKENS_MIN {
            return Err(ChunkerError::TooSmall { given: max_tokens });
        }
        if max_tokens > limit {
            return Err(ChunkerError::TooLarge {
                given: max_tokens,
                limit,
            });
        }
        if overlap > max_tokens / 2 {
            return Err(ChunkerError::OverlapTooLarge {
                overlap,
                max_tokens,
            });
        }
        Ok(Self { tokenizer, options })
    }

    /// How this chunker splits.
    pub fn options(&self) -> ChunkerOptions {
        self.options
    }

    /// Returns the chunks of a text in order; none for a text without tokens, such as an empty or
    /// blank one. Time is linear in the text's length.
    ///
    /// # Errors
    /// Only what the tokenizer library refuses.
    pub fn split(&self, text: &str) -> Result<Vec<Chunk>, TokenizerError> {
        let cleaned = Cleaned::new(text);
        let tokens = self.tokenizer.spans(&cleaned.text)?;
        let split = Split {
            chunker: self,
            borders: borders(&cleaned.text, &tokens),
            tokens,
            cleaned,
        };
        let mut chunks = Vec::new();
        let mut start = 0;
        while start < split.tokens.len() {
            let (end, count) = split.end_of_chunk(start)?;
            chunks.extend(split.chunk(start..end, count));
            start = if end == split.tokens.len() {
                end
            } else {
                split.next_start(start, end)
            };
        }
        Ok(chunks)
    }
}

/// A text being split. Places in it are token numbers: place `i` is before token `i`, the last
/// place is the text's end.
struct Split<'a> {
    chunker: &'a Chunker,
    cleaned: Cleaned,
    tokens: Vec<TokenSpan>,
    borders: Vec<Border>,
}

impl Split<'_> {
    /// Where the chunk from `start` ends, and how many tokens it has when tokenized on its own.
    /// That can be more than in the whole text when an end falls inside a word, so the chunk is
    /// made shorter until it fits.
    fn end_of_chunk(&self, start: usize) -> Result<(usize, usize), TokenizerError> {
        let limit = self.chunker.options.max_tokens;
        let mut reach = start + limit;
        loop {
            let end = self.best_end(start, reach);
            let count = self
                .chunker
                .tokenizer
                .count(&self.cleaned.text[self.bytes(start..end)])?;
            if count <= limit || end == start + 1 {
                return Ok((end, count));
            }
            reach = end.saturating_sub(count - limit).max(start + 1);
        }
    }

    /// Returns the best place to end a chunk from `start` that reaches to `reach` at most: the last
    /// one of the best kind.
    fn best_end(&self, start: usize, reach: usize) -> usize {
        if reach >= self.tokens.len() {
            return self.tokens.len();
        }
        // Ends beyond the overlap, so that the next chunk starts later than this one.
        let least = (start + (reach - start).div_ceil(2))
            .max(start + self.chunker.options.overlap + 1)
            .min(reach);
        (least..=reach)
            .max_by_key(|&place| self.borders[place])
            .unwrap_or(reach)
    }

    /// Where the chunk after `start..end` starts: the first place of the best kind among those that
    /// overlap enough.
    fn next_start(&self, start: usize, end: usize) -> usize {
        let most = end
            .saturating_sub(self.chunker.options.overlap)
            .max(start + 1);
        let best = (most..end).rev().max_by_key(|&place| self.borders[place]);
        match best {
            Some(place)
                if self.borders[place] > Border::Token || self.borders[end] <= Border::Token =>
            {
                place
            }
            _ => end,
        }
    }

    /// Returns the bytes of a range of places. What stands between tokens belongs to the one
    /// before.
    fn bytes(&self, places: Range<usize>) -> Range<usize> {
        let byte = |place: usize| match self.tokens.get(place) {
            _ if place == 0 => 0,
            None => self.cleaned.text.len(),
            Some(token) => self.cleaned.text.floor_char_boundary(token.bytes.start),
        };
        byte(places.start)..byte(places.end)
    }

    /// Returns `None` if there is no text between the places.
    fn chunk(&self, places: Range<usize>, tokens: usize) -> Option<Chunk> {
        let bytes = self.bytes(places);
        let text = self.cleaned.text.get(bytes.clone())?;
        let from = bytes.start + (text.len() - text.trim_start().len());
        let text = text.trim();
        let (last, _) = text.char_indices().next_back()?;
        Some(Chunk {
            text: text.to_owned(),
            start: self.cleaned.origin(from),
            end: self.cleaned.origin(from + last) + 1,
            tokens,
        })
    }
}
