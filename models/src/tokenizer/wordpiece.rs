//! BERT's WordPiece for plain words: what the tokenizer library gives for them, without its copies
//! of each word and token.
//!
//! A word is split at punctuation, and each piece of it into the longest token of the vocabulary
//! that it begins with, then the longest of those that go on, and so on; a word that cannot be
//! split to its end is the unknown token (Devlin et al. 2018; Wu et al. 2016).

use std::collections::HashMap;
use std::ops::Range;

use tokenizers::models::ModelWrapper;
use tokenizers::models::wordpiece::WordPiece;
use tokenizers::normalizers::NormalizerWrapper;
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::{AddedToken, Model, Tokenizer};

use super::plain::{Part, Plain};

/// The vocabulary, as far as plain words need it.
#[derive(Clone, Debug)]
pub(super) struct Wordpiece {
    plain: Plain,
    ignores_case: bool,
    /// Tokens that begin a word.
    first: Tokens,
    /// Tokens that go on with one.
    next: Tokens,
    /// The token of words that have no others.
    unknown: u32,
    /// Longer words are unknown.
    bytes_max: usize,
}

#[derive(Clone, Debug, Default)]
struct Tokens {
    ids: HashMap<Box<[u8]>, u32>,
    bytes_max: usize,
}

impl Wordpiece {
    /// Of a tokenizer that is BERT's; others have none.
    pub(super) fn of(tokenizer: &Tokenizer) -> Option<Self> {
        let Some(NormalizerWrapper::BertNormalizer(normalizer)) = tokenizer.get_normalizer() else {
            return None;
        };
        let Some(PreTokenizerWrapper::BertPreTokenizer(_)) = tokenizer.get_pre_tokenizer() else {
            return None;
        };
        let ModelWrapper::WordPiece(model) = tokenizer.get_model() else {
            return None;
        };
        let prefix = &model.continuing_subword_prefix;
        if prefix.len() < 2 || !prefix.bytes().all(|byte| byte.is_ascii_punctuation()) {
            // A word could begin with it.
            return None;
        }
        let added = tokenizer.get_added_tokens_decoder();
        let added: Option<Vec<u8>> = added.values().map(first_byte).collect();
        let mut words = Self {
            plain: Plain::but(&added?),
            ignores_case: normalizer.lowercase,
            first: Tokens::default(),
            next: Tokens::default(),
            unknown: model.token_to_id(&model.unk_token)?,
            bytes_max: model.max_input_chars_per_word,
        };
        words.learn(model);
        Some(words)
    }

    fn learn(&mut self, model: &WordPiece) {
        let prefix = &model.continuing_subword_prefix;
        for (token, id) in model.get_vocab() {
            if !token.is_ascii() {
                continue;
            }
            match token.strip_prefix(prefix) {
                Some(token) => self.next.insert(token, id),
                None => self.first.insert(&token, id),
            }
        }
    }

    /// Returns the parts of a text, in order.
    pub(super) fn parts<'a>(&'a self, text: &'a str) -> impl Iterator<Item = Part> + 'a {
        self.plain.parts(text)
    }

    /// Appends the tokens of a plain word, each made from its id, its place in the word, and the
    /// number of the piece between punctuation that it belongs to. Returns how many such pieces
    /// there are.
    pub(super) fn split<T>(
        &self,
        word: &str,
        tokens: &mut Vec<T>,
        token: impl Fn(u32, Range<usize>, u32) -> T,
    ) -> u32 {
        let lower;
        let word = if self.ignores_case && word.bytes().any(|byte| byte.is_ascii_uppercase()) {
            lower = word.to_ascii_lowercase();
            &lower
        } else {
            word
        };
        let (mut at, mut number) = (0, 0);
        let is_whole = |a: &u8, b: &u8| !a.is_ascii_punctuation() && !b.is_ascii_punctuation();
        for piece in word.as_bytes().chunk_by(is_whole) {
            let made = tokens.len();
            let all = self.walk(piece, |id, bytes| {
                tokens.push(token(id, at + bytes.start..at + bytes.end, number));
            });
            if all.is_none() {
                tokens.truncate(made);
                tokens.push(token(self.unknown, at..at + piece.len(), number));
            }
            at += piece.len();
            number += 1;
        }
        number
    }

    /// Returns the tokens of a piece without punctuation, or of a single sign of it; nothing where
    /// they do not reach its end.
    fn walk(&self, piece: &[u8], mut token: impl FnMut(u32, Range<usize>)) -> Option<()> {
        if piece.len() > self.bytes_max {
            return None;
        }
        let mut at = 0;
        while at < piece.len() {
            let tokens = if at == 0 { &self.first } else { &self.next };
            let (len, id) = tokens.longest(&piece[at..])?;
            token(id, at..at + len);
            at += len;
        }
        Some(())
    }
}

impl Tokens {
    fn insert(&mut self, token: &str, id: u32) {
        self.bytes_max = self.bytes_max.max(token.len());
        self.ids.insert(token.as_bytes().into(), id);
    }

    /// Returns the longest that the text begins with, and its length.
    fn longest(&self, text: &[u8]) -> Option<(usize, u32)> {
        let longest = text.len().min(self.bytes_max);
        (1..=longest).rev().find_map(|len| {
            let id = self.ids.get(&text[..len]);
            id.map(|&id| (len, id))
        })
    }
}

/// Returns the first byte of an added token; `None` for one that can begin inside of a plain word:
/// one with whitespace in it, or one that is searched for after the text was normalized.
fn first_byte(token: &AddedToken) -> Option<u8> {
    let is_looked_for_as_it_is = !token.normalized && token.content.is_ascii();
    let has_space = token
        .content
        .contains(|byte: char| byte.is_ascii_whitespace());
    let first = token.content.bytes().next()?;
    (is_looked_for_as_it_is && !has_space).then_some(first)
}
