//! The tokens of a text with their place in it, for labels of tokens.

use super::{TokenIds, Tokenizer, TokenizerError};
use crate::classification::SpanToken;

/// The tokens of a text, without special tokens and without a limit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TextTokens {
    /// Ids of the tokens.
    pub ids: Vec<u32>,
    /// Their places, in characters of the text.
    pub places: Vec<SpanToken>,
}

impl Tokenizer {
    /// Returns the tokens of a text with their places.
    ///
    /// A token goes on with a word where the tokenizer's own mark says so (`##ing`); for tokenizers
    /// without such a mark, where there is no space before it. One that stands for what the
    /// vocabulary has not begins a word.
    ///
    /// # Errors
    /// Only what the tokenizer library refuses.
    pub fn text_tokens(&self, text: &str) -> Result<TextTokens, TokenizerError> {
        let spans = self.spans(text)?;
        let mark = self.continuation_mark();
        let continues = |id: u32, start: usize| match &mark {
            _ if self.unknown == Some(id) => false,
            Some(mark) => {
                let token = self.full.id_to_token(id);
                token.is_some_and(|token| token.starts_with(mark.as_str()))
            }
            None => {
                let before = text[..start].chars().next_back();
                let first = text[start..].chars().next();
                let is_space = |sign: Option<char>| sign.is_some_and(char::is_whitespace);
                before.is_some() && !is_space(before) && !is_space(first)
            }
        };
        // Both ends ascend but for parts of one character, which are as near as can be.
        let mut characters = CharacterCount {
            text,
            byte: 0,
            count: 0,
        };
        let places = spans.iter().map(|span| {
            let place = characters.at(span.bytes.start)..characters.at(span.bytes.end);
            SpanToken {
                place,
                continues_word: continues(span.id, span.bytes.start),
            }
        });
        Ok(TextTokens {
            places: places.collect(),
            ids: spans.iter().map(|span| span.id).collect(),
        })
    }

    /// Returns the row of some of a text's tokens, with its special tokens. It is not cut.
    pub fn row_of(&self, tokens: &[u32]) -> TokenIds {
        let mut ids = Vec::with_capacity(tokens.len() + self.template.len());
        self.template.begin(&mut ids);
        ids.extend(tokens);
        let types = self.template.token_types([tokens.len(), 0]);
        self.template.end(&mut ids);
        TokenIds {
            ids,
            types,
            ..TokenIds::default()
        }
    }

    /// Returns the number of special tokens before a text.
    pub fn tokens_before(&self) -> usize {
        let mut ids = Vec::new();
        self.template.begin(&mut ids);
        ids.len()
    }

    /// Returns what tokens that go on with a word begin with, if the tokenizer marks them.
    fn continuation_mark(&self) -> Option<String> {
        use tokenizers::ModelWrapper;
        let mark = match self.full.get_model() {
            ModelWrapper::WordPiece(model) => Some(model.continuing_subword_prefix.clone()),
            ModelWrapper::BPE(model) => model.continuing_subword_prefix.clone(),
            _ => None,
        };
        mark.filter(|mark| !mark.is_empty())
    }
}

/// Counts characters up to a byte, from where it was last.
struct CharacterCount<'t> {
    text: &'t str,
    byte: usize,
    count: usize,
}

impl CharacterCount<'_> {
    /// Returns the number of characters before a byte.
    fn at(&mut self, byte: usize) -> usize {
        if byte >= self.byte {
            self.count += self.text[self.byte..byte].chars().count();
        } else {
            self.count -= self.text[byte..self.byte].chars().count();
        }
        self.byte = byte;
        self.count
    }
}
