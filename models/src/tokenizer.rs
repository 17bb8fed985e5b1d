//! Texts to token ids.

use std::ops::Range;

use crate::error::LoadError;
use crate::source::{ModelFiles, Source};

/// The token ids of one row, special tokens included; never empty when made by [`Tokenizer::encode`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct TokenIds {
    ids: Vec<u32>,
    truncated: bool,
}

impl TokenIds {
    /// The ids, at most the model's token limit.
    pub fn as_slice(&self) -> &[u32] {
        &self.ids
    }

    /// Number of tokens.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there is no token at all.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Whether the text was longer than the model's limit and lost its end.
    pub fn truncated(&self) -> bool {
        self.truncated
    }
}

/// Ids made elsewhere; whether they suit a model is checked when they are encoded.
impl From<Vec<u32>> for TokenIds {
    fn from(ids: Vec<u32>) -> Self {
        Self {
            ids,
            truncated: false,
        }
    }
}

/// A text that cannot be tokenized. No known text does this with the supported tokenizers; the library's interface allows for it.
#[derive(Debug, thiserror::Error)]
#[error("text cannot be tokenized: {reason}")]
pub struct TokenizerError {
    /// What the tokenizer library says.
    pub reason: String,
}

impl TokenizerError {
    fn new(cause: impl std::fmt::Display) -> Self {
        Self {
            reason: cause.to_string(),
        }
    }
}

/// One token of a text, without the special tokens around it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenSpan {
    /// Bytes of the text that the token covers.
    pub bytes: Range<usize>,
    /// Which word it belongs to, in the tokenizer's sense: tokens of one word have the same number, and no token spans two words.
    pub word: Option<u32>,
}

/// A model's tokenizer. Cheap to use from many threads at once.
///
/// Padding and truncation written in tokenizer.json are not used: rows are never padded, and the limit is the model's own
/// ([`crate::ModelConfig::max_tokens`]).
#[derive(Debug)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    prefix: Vec<u32>,
    suffix: Vec<u32>,
    max_tokens: usize,
}

impl Tokenizer {
    /// Reads a model's tokenizer.json.
    ///
    /// # Errors
    /// A file that is missing or is no tokenizer, or one that adds more special tokens than the model's limit allows.
    pub fn load(files: &ModelFiles) -> Result<Self, LoadError> {
        Self::from_bytes(
            &files.tokenizer()?,
            files.source(),
            files.config().max_tokens,
        )
    }

    fn from_bytes(json: &[u8], model: &Source, max_tokens: usize) -> Result<Self, LoadError> {
        let bad = |reason: String| LoadError::BadTokenizer {
            model: model.clone(),
            reason,
        };
        let mut inner =
            tokenizers::Tokenizer::from_bytes(json).map_err(|cause| bad(cause.to_string()))?;
        inner
            .with_truncation(None)
            .map_err(|cause| bad(cause.to_string()))?;
        inner.with_padding(None);
        let (prefix, suffix) = special_tokens(&inner).map_err(bad)?;
        if prefix.len() + suffix.len() >= max_tokens {
            let added = prefix.len() + suffix.len();
            return Err(bad(format!(
                "adds {added} special tokens to each text, but the model's limit is {max_tokens} tokens"
            )));
        }
        Ok(Self {
            inner,
            prefix,
            suffix,
            max_tokens,
        })
    }

    /// Most tokens of a row, special tokens included.
    pub fn max_tokens(&self) -> usize {
        self.max_tokens
    }

    /// How many special tokens each row has.
    pub fn special_tokens(&self) -> usize {
        self.prefix.len() + self.suffix.len()
    }

    /// The token ids of a text with its special tokens, cut to the model's limit. Any text will do, the empty one too.
    ///
    /// # Errors
    /// Only what the tokenizer library refuses.
    pub fn encode(&self, text: &str) -> Result<TokenIds, TokenizerError> {
        self.encode_within(text, self.max_tokens)
    }

    /// As [`encode`](Self::encode), cut to a lower limit: `max_tokens` counts special tokens, of which a row always has all.
    ///
    /// # Errors
    /// Only what the tokenizer library refuses.
    pub fn encode_within(&self, text: &str, max_tokens: usize) -> Result<TokenIds, TokenizerError> {
        let encoding = self
            .inner
            .encode_fast(text, false)
            .map_err(TokenizerError::new)?;
        let room = max_tokens
            .min(self.max_tokens)
            .saturating_sub(self.special_tokens());
        let kept = &encoding.get_ids()[..encoding.len().min(room)];
        let ids = [&self.prefix, kept, &self.suffix].concat();
        Ok(TokenIds {
            ids,
            truncated: encoding.len() > room,
        })
    }

    /// How many tokens a text has, without special tokens and without a limit.
    ///
    /// # Errors
    /// Only what the tokenizer library refuses.
    pub fn count(&self, text: &str) -> Result<usize, TokenizerError> {
        self.inner
            .encode_fast(text, false)
            .map(|encoding| encoding.len())
            .map_err(TokenizerError::new)
    }

    /// All tokens of a text in order, without special tokens and without a limit. Time is linear in the text's length.
    ///
    /// # Errors
    /// Only what the tokenizer library refuses.
    pub fn spans(&self, text: &str) -> Result<Vec<TokenSpan>, TokenizerError> {
        let encoding = self
            .inner
            .encode(text, false)
            .map_err(TokenizerError::new)?;
        let words = encoding.get_word_ids();
        let spans = encoding.get_offsets().iter().zip(words);
        Ok(spans
            .map(|(&(start, end), &word)| TokenSpan {
                bytes: start..end,
                word,
            })
            .collect())
    }
}

/// What the tokenizer puts before and after a text, found by looking at one.
fn special_tokens(inner: &tokenizers::Tokenizer) -> Result<(Vec<u32>, Vec<u32>), String> {
    const PROBE: &str = "a";
    let bare = inner
        .encode_fast(PROBE, false)
        .map_err(|cause| cause.to_string())?;
    let full = inner
        .encode_fast(PROBE, true)
        .map_err(|cause| cause.to_string())?;
    let (bare, full) = (bare.get_ids(), full.get_ids());
    let at = (0..=full.len().saturating_sub(bare.len()))
        .find(|&at| full[at..].starts_with(bare))
        .filter(|_| !bare.is_empty())
        .ok_or("its post-processor does not merely put special tokens around a text")?;
    Ok((full[..at].to_vec(), full[at + bare.len()..].to_vec()))
}

#[cfg(all(test, feature = "builtin"))]
mod tests {
    use super::*;

    fn builtin() -> Tokenizer {
        Tokenizer::load(&ModelFiles::open(&"builtin:all-minilm-l6-v2".parse().unwrap()).unwrap())
            .unwrap()
    }

    #[test]
    fn the_limits_of_the_file_are_overridden() {
        let tokenizer = builtin();
        assert_eq!(
            (tokenizer.max_tokens(), tokenizer.special_tokens()),
            (256, 2)
        );
        let check = |words: usize, tokens: usize, truncated: bool| {
            let ids = tokenizer.encode(&"wing ".repeat(words)).unwrap();
            assert_eq!(
                (ids.len(), ids.truncated()),
                (tokens, truncated),
                "{words} words"
            );
            assert_eq!(
                (ids.as_slice()[0], ids.as_slice()[tokens - 1]),
                (101, 102),
                "{words} words"
            );
        };
        check(0, 2, false);
        check(1, 3, false);
        check(200, 202, false);
        check(254, 256, false);
        check(255, 256, true);
        check(5000, 256, true);
        let short = tokenizer.encode_within("wing wing wing", 4).unwrap();
        assert_eq!((short.len(), short.truncated()), (4, true));
        assert_eq!(short.as_slice()[3], 102);
    }

    #[test]
    fn any_text_has_tokens() {
        let tokenizer = builtin();
        for text in [
            "", " ", "\0", "\u{200b}", "🎶🎶", "日本", "\u{202e}", "a\u{301}",
        ] {
            assert!(tokenizer.encode(text).unwrap().len() >= 2, "{text:?}");
        }
    }

    #[test]
    fn spans_say_which_bytes_and_which_word() {
        let tokenizer = builtin();
        let text = "Zürich, unbelievability 日本";
        let spans = tokenizer.spans(text).unwrap();
        assert_eq!(spans.len(), tokenizer.count(text).unwrap());
        let pieces: Vec<_> = spans.iter().map(|span| &text[span.bytes.clone()]).collect();
        assert_eq!(pieces.concat(), text.replace(' ', ""));
        assert!(
            pieces.starts_with(&["Zürich", ","]) && pieces.ends_with(&["日", "本"]),
            "{pieces:?}"
        );
        let words: Vec<_> = spans.iter().map(|span| span.word.unwrap()).collect();
        assert!(words.is_sorted() && words.last() == Some(&4), "{words:?}");
    }
}
