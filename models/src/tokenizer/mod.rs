//! Texts to token ids.
//!
//! The `tokenizers` library reads tokenizer.json and handles all of Unicode. Plain ASCII words of
//! BERT tokenizers, which most texts consist of, are split here instead, to the same tokens in a
//! fraction of the time.
//!
//! * `token_ids`: [`TokenIds`], the tokens of a row; `error`: texts that cannot be tokenized.
//! * `plain`: finds the plain words of a text; `wordpiece`: splits a plain word into tokens.
//! * `pieces`: long texts in pieces for the library.
//! * `text_tokens`: the tokens of a text with their places, for labels of tokens.
//! * `roles`: rows of queries and documents for late interaction.
//! * `chat`: texts as messages of a chat.
//! * `joined`: rows of texts that were tokenized before, for texts that are in several rows.
//! * `row_form`: rows of families that have their own rules for them.
//! * `template`: the special tokens around a text or a pair, and the types of tokens.
//! * `cache`: [`TokenizerCache`], one tokenizer for all models of the same files.
//! * `build`: a tokenizer of the files of models without tokenizer.json; `added`: tokens that are
//!   named in other files; `lowercase`: small letters first, where the model says so.

mod added;
mod build;
mod cache;
mod chat;
mod error;
mod joined;
mod lowercase;
mod pieces;
mod plain;
mod roles;
mod row_form;
mod template;
mod text_tokens;
mod token_ids;
mod wordpiece;

use std::ops::Range;
use std::sync::Arc;

pub(crate) use added::special_ids;
pub use cache::TokenizerCache;
use chat::Chat;
pub(crate) use chat::yes_and_no;
pub use error::{PairError, TokenizerError};
use plain::{Part, is_space};
use roles::Roles;
use row_form::RowForm;
use template::Template;
pub use text_tokens::TextTokens;
pub use token_ids::TokenIds;
use wordpiece::Wordpiece;

use crate::architecture::TextRows;
use crate::error::LoadError;
use crate::source::{ModelFiles, Source, TOKENIZER, is_lfs_pointer};

/// The end of a text that is cut where the text is longer than the limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum TruncationSide {
    /// The last tokens are cut.
    #[default]
    Right,
    /// The first tokens are cut.
    Left,
}

/// Cost of a byte in the library, relative to a byte of a plain word; a call of the library costs
/// as much as four such bytes.
const LIBRARY_COST: usize = 16;

/// One token of a text; special tokens are not among these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenSpan {
    /// The token.
    pub id: u32,
    /// Bytes of the text that the token covers.
    pub bytes: Range<usize>,
    /// Number of the tokenizer's word that the token belongs to; no token spans two words.
    pub word: Option<u32>,
}

/// The tokenizer of a model, for use from many threads at once.
///
/// Padding and truncation of tokenizer.json are not used: rows are never padded, and the limit is
/// the model's own ([`crate::ModelConfig::max_tokens`]).
#[derive(Clone, Debug)]
pub struct Tokenizer {
    /// For all texts.
    full: tokenizers::Tokenizer,
    /// For plain words, if the tokenizer is a BERT tokenizer.
    words: Option<Wordpiece>,
    /// `true` if `full` makes the same tokens of a text and of its pieces.
    has_pieces: bool,
    /// For single texts.
    template: Template,
    /// For pairs, if the tokenizer takes these.
    pair_template: Option<Template>,
    /// Rows for late interaction, if the model's files say how they differ.
    roles: Option<Roles>,
    /// The token of text that the vocabulary has not, if the files name it.
    unknown: Option<u32>,
    /// Texts as messages of a chat, if the model takes them so.
    chat: Option<Arc<Chat>>,
    /// Rules by which texts become rows.
    form: RowForm,
    max_tokens: usize,
}

impl Tokenizer {
    /// Reads a model's tokenizer.json, or builds the tokenizer of the files that models without one
    /// have, and adds the tokens that other files name.
    ///
    /// # Errors
    /// A file that is missing or is no tokenizer, one that adds more special tokens than the
    /// model's limit allows, or one with more tokens than the model has.
    pub fn load(files: &ModelFiles) -> Result<Self, LoadError> {
        let config = files.config();
        let (library, roles, chat, named) = files.with_json(|json| {
            let (mut library, file) = match (json.read)(TOKENIZER)? {
                Some(bytes) if is_lfs_pointer(&bytes) => {
                    return Err(LoadError::LfsPointer {
                        model: json.model.clone(),
                        file: TOKENIZER.to_owned(),
                    });
                }
                Some(bytes) => (read_library(&bytes, json.model)?, TOKENIZER),
                None => {
                    let (built, file) = build::build(json)?;
                    (
                        read_library(built.to_string().as_bytes(), json.model)?,
                        file,
                    )
                }
            };
            // Static embeddings have no other files of a tokenizer.
            if !matches!(config.text_rows, TextRows::Bare | TextRows::Known) {
                added::add(&mut library, json)?;
                lowercase::prepend(&mut library, json)?;
            }
            let roles = config.token_vectors.as_ref();
            let roles = roles.map(|rules| Roles::new(&mut library, json, rules));
            let (tokens, vocabulary) = (library.get_vocab_size(true), config.vocabulary());
            if tokens > vocabulary {
                let reason = format!(
                    "has {tokens} tokens, but the model's vocabulary (vocab_size in config.json) \
                     has {vocabulary}: the tokenizer is another model's"
                );
                return Err(json.unsupported(file, reason));
            }
            let unknown = added::token_of_role(json, "unk_token")?;
            let padding = added::token_of_role(json, "pad_token")?;
            let chat = Chat::of_model(json, config)?;
            Ok((library, roles.transpose()?, chat, [unknown, padding]))
        })?;
        let [unknown, padding] = named;
        let mut tokenizer = Self::from_library(library, files.source(), config.max_tokens)?;
        tokenizer.form = RowForm::new(config.text_rows, &tokenizer.full, padding.as_deref());
        if !tokenizer.form.has_specials() {
            tokenizer.template = Template::default();
            tokenizer.pair_template = None;
        }
        tokenizer.roles = roles;
        tokenizer.unknown = unknown.and_then(|token| tokenizer.full.token_to_id(&token));
        tokenizer.chat = chat.map(Arc::new);
        Ok(if config.takes_token_types {
            tokenizer
        } else {
            tokenizer.without_types()
        })
    }

    /// Returns the tokenizer of a model for which all tokens are of type 0.
    fn without_types(self) -> Self {
        Self {
            template: self.template.without_types(),
            pair_template: self.pair_template.map(Template::without_types),
            ..self
        }
    }

    fn from_library(
        library: tokenizers::Tokenizer,
        model: &Source,
        max_tokens: usize,
    ) -> Result<Self, LoadError> {
        let bad = |reason: String| LoadError::BadTokenizer {
            model: model.clone(),
            reason,
        };
        let template = Template::of_text(&library).map_err(bad)?;
        if template.len() >= max_tokens {
            let added = template.len();
            return Err(bad(format!(
                "adds {added} special tokens to each text, but the model's limit is {max_tokens} tokens"
            )));
        }
        Ok(Self {
            words: Wordpiece::of(&library),
            has_pieces: pieces::are_exact(&library),
            pair_template: Template::of_pair(&library),
            full: library,
            template,
            roles: None,
            unknown: None,
            chat: None,
            form: RowForm::Usual,
            max_tokens,
        })
    }

    /// Maximum tokens of a row, special tokens included.
    pub fn max_tokens(&self) -> usize {
        self.max_tokens
    }

    /// Number of special tokens of each row.
    pub fn special_tokens(&self) -> usize {
        self.template.len()
    }

    /// Returns the token ids of a text with its special tokens, cut to the model's limit. The text
    /// may be empty.
    ///
    /// # Errors
    /// Only what the tokenizer library refuses.
    pub fn encode(&self, text: &str) -> Result<TokenIds, TokenizerError> {
        self.encode_within(text, self.max_tokens)
    }

    /// Like [`encode`](Self::encode), cut to `max_tokens`, which counts special tokens; a row
    /// always has all of these.
    ///
    /// # Errors
    /// Only what the tokenizer library refuses.
    pub fn encode_within(&self, text: &str, max_tokens: usize) -> Result<TokenIds, TokenizerError> {
        self.encode_prompted("", text, max_tokens, TruncationSide::Right)
    }

    /// Like [`encode_within`](Self::encode_within), with a prompt before the text, cut at the given
    /// side. Both are tokenized as one string, unless the model takes texts as messages of a chat:
    /// then the prompt is that of the system.
    ///
    /// # Errors
    /// Only what the tokenizer library refuses.
    pub fn encode_prompted(
        &self,
        prompt: &str,
        text: &str,
        max_tokens: usize,
        side: TruncationSide,
    ) -> Result<TokenIds, TokenizerError> {
        match &self.chat {
            Some(chat) if chat.has_single() => self
                .encode_conversation(chat, prompt, &[text], max_tokens, side)
                .map_err(TokenizerError::new),
            _ => self.encode_marked(None, prompt, text, max_tokens, side),
        }
    }

    /// Does the same for a prompt that begins with a token that is never cut.
    fn encode_marked(
        &self,
        marker: Option<u32>,
        prompt: &str,
        text: &str,
        max_tokens: usize,
        side: TruncationSide,
    ) -> Result<TokenIds, TokenizerError> {
        let room = max_tokens
            .min(self.max_tokens)
            .saturating_sub(self.special_tokens());
        let mut ids = Vec::new();
        self.template.begin(&mut ids);
        let start = ids.len();
        let most = most_counted(max_tokens.min(self.max_tokens), side);
        let within = self.form.within(prompt, text, room, side);
        let (of_prompt, of_text) = within.unwrap_or((prompt, text));
        self.append_prompted(of_prompt, of_text, &mut ids, start.saturating_add(most))?;
        let mut cut_at_least = leave_most(&mut ids, start, most);
        let marked = usize::from(marker.is_some() && ids.get(start).copied() == marker);
        let mut cut = truncate(&mut ids, start + marked, room.saturating_sub(marked), side);
        if within.is_some() {
            // Characters were cut, which are of one token at least.
            (cut, cut_at_least) = (cut.max(1), true);
        }
        self.form.leave_known(&mut ids);
        let types = self.template.token_types([ids.len() - start, 0]);
        self.template.end(&mut ids);
        self.form.pad(&mut ids, self.max_tokens);
        Ok(TokenIds {
            ids,
            types,
            cut,
            cut_at_least,
            ..TokenIds::default()
        })
    }

    /// Returns the token ids of a pair of texts in one row, with the types and special tokens of a
    /// pair, cut to `max_tokens` or the model's limit. Only the second text is cut.
    ///
    /// # Errors
    /// A first text that leaves no room for the second, and a tokenizer without pairs.
    pub fn encode_pair(
        &self,
        first: &str,
        second: &str,
        max_tokens: usize,
    ) -> Result<TokenIds, PairError> {
        self.encode_prompted_pair("", first, second, max_tokens, TruncationSide::Right)
    }

    /// Like [`encode_pair`](Self::encode_pair), with a prompt before the first text, the second cut
    /// at the given side. A model that takes texts as messages of a chat gets both as such, and the
    /// prompt as that of the system.
    ///
    /// # Errors
    /// As [`encode_pair`](Self::encode_pair).
    pub fn encode_prompted_pair(
        &self,
        prompt: &str,
        first: &str,
        second: &str,
        max_tokens: usize,
        side: TruncationSide,
    ) -> Result<TokenIds, PairError> {
        if let Some(chat) = &self.chat {
            return self.encode_conversation(chat, prompt, &[first, second], max_tokens, side);
        }
        let template = self.pair_template.as_ref().ok_or(PairError::NoTemplate)?;
        let limit = max_tokens.min(self.max_tokens);
        let mut ids = Vec::new();
        template.begin(&mut ids);
        let start = ids.len();
        self.append_prompted(prompt, first, &mut ids, start + limit)?;
        let tokens = ids.len() - start;
        let room = limit.saturating_sub(template.len() + tokens);
        if room == 0 {
            return Err(PairError::FirstTooLong {
                tokens,
                special: template.len(),
                limit,
            });
        }
        template.separate(&mut ids);
        let start = ids.len();
        let most = most_counted(limit, side);
        self.append(second, &mut ids, start.saturating_add(most))?;
        let cut_at_least = leave_most(&mut ids, start, most);
        let cut = truncate(&mut ids, start, room, side);
        let types = template.token_types([tokens, ids.len() - start]);
        template.end(&mut ids);
        Ok(TokenIds {
            ids,
            types,
            cut,
            cut_at_least,
            ..TokenIds::default()
        })
    }

    /// Returns the number of tokens at the beginning of a row that are those of a prompt: its own,
    /// tokenized alone, and all special tokens of a row but the last of those at the end. So does
    /// sentence-transformers count those that it leaves out of pooling.
    ///
    /// # Errors
    /// Only what the tokenizer library refuses.
    pub fn count_prompt(&self, prompt: &str) -> Result<usize, TokenizerError> {
        let at_end = usize::from(self.template.ends_with_special());
        Ok(self.special_tokens() + self.count(prompt)? - at_end)
    }

    /// Returns the number of tokens of a text, without special tokens and without a limit.
    ///
    /// # Errors
    /// Only what the tokenizer library refuses.
    pub fn count(&self, text: &str) -> Result<usize, TokenizerError> {
        let mut ids = Vec::new();
        self.append(text, &mut ids, usize::MAX)?;
        Ok(ids.len())
    }

    /// Returns all tokens of a text in order, without special tokens and without a limit. Time is
    /// linear in the text's length.
    ///
    /// # Errors
    /// Only what the tokenizer library refuses.
    pub fn spans(&self, text: &str) -> Result<Vec<TokenSpan>, TokenizerError> {
        let mut spans = Vec::new();
        let Some(words) = &self.words else {
            self.append_spans(text, 0, 0, &mut spans)?;
            return Ok(spans);
        };
        let mut number = 0;
        for part in words.parts(text) {
            match part {
                Part::Word(word) => {
                    let span = |id, bytes: Range<usize>, piece| TokenSpan {
                        id,
                        bytes: word.start + bytes.start..word.start + bytes.end,
                        word: Some(number + piece),
                    };
                    number += words.split(&text[word.clone()], &mut spans, span);
                }
                Part::Other(part) => {
                    self.append_spans(&text[part.clone()], part.start, number, &mut spans)?;
                    let last = spans.last().and_then(|span| span.word);
                    number = last.map_or(number, |last| number.max(last + 1));
                }
            }
        }
        Ok(spans)
    }

    /// Estimates the time to tokenize a text, in units of about 10 ns: 1 for each byte of a plain
    /// word, more for others.
    pub fn cost(&self, text: &str) -> usize {
        let Some(words) = &self.words else {
            return LIBRARY_COST * text.len();
        };
        let parts = words.parts(text).map(|part| match part {
            Part::Word(word) => word.len(),
            Part::Other(part) => LIBRARY_COST * (4 + part.len()),
        });
        parts.sum()
    }

    /// Appends the ids of a prompt and a text as one string, as [`append`](Self::append).
    fn append_prompted(
        &self,
        prompt: &str,
        text: &str,
        ids: &mut Vec<u32>,
        end: usize,
    ) -> Result<(), TokenizerError> {
        if prompt.is_empty() {
            self.append(text, ids, end)
        } else if self.words.is_some() && prompt.bytes().next_back().is_some_and(is_space) {
            // No token goes over whitespace.
            self.append(prompt, ids, end)?;
            self.append(text, ids, end)
        } else {
            self.append(&[prompt, text].concat(), ids, end)
        }
    }

    /// Appends the ids of a text, without special tokens. May stop once `ids` has more than `end`.
    fn append(&self, text: &str, ids: &mut Vec<u32>, end: usize) -> Result<(), TokenizerError> {
        let Some(words) = &self.words else {
            return match self.has_pieces {
                true => self.append_pieces(text, ids, end),
                false => self.append_by_library(text, ids),
            };
        };
        for part in words.parts(text) {
            match part {
                Part::Word(word) => {
                    words.split(&text[word], ids, |id, _, _| id);
                }
                Part::Other(part) => self.append_by_library(&text[part], ids)?,
            }
            if ids.len() > end {
                break;
            }
        }
        Ok(())
    }

    fn append_pieces(
        &self,
        text: &str,
        ids: &mut Vec<u32>,
        end: usize,
    ) -> Result<(), TokenizerError> {
        for piece in pieces::pieces(text) {
            self.append_by_library(piece, ids)?;
            if ids.len() > end {
                break;
            }
        }
        Ok(())
    }

    fn append_by_library(&self, text: &str, ids: &mut Vec<u32>) -> Result<(), TokenizerError> {
        let encoding = self.full.encode_fast(text, false);
        ids.extend(encoding.map_err(TokenizerError::new)?.get_ids());
        Ok(())
    }

    /// Appends the tokens that the library finds in a part of a text that begins at byte `start`;
    /// words are numbered from `number`.
    fn append_spans(
        &self,
        part: &str,
        start: usize,
        number: u32,
        spans: &mut Vec<TokenSpan>,
    ) -> Result<(), TokenizerError> {
        let encoding = self.full.encode(part, false);
        let encoding = encoding.map_err(TokenizerError::new)?;
        let words = encoding.get_word_ids();
        let found = encoding
            .get_offsets()
            .iter()
            .zip(words)
            .zip(encoding.get_ids());
        spans.extend(found.map(|((&(from, to), word), &id)| TokenSpan {
            id,
            bytes: start + from..start + to,
            word: word.map(|word| number + word),
        }));
        Ok(())
    }
}

/// Reads a tokenizer in the form of a tokenizer.json, without its truncation and padding.
fn read_library(json: &[u8], model: &Source) -> Result<tokenizers::Tokenizer, LoadError> {
    let bad = |reason: String| LoadError::BadTokenizer {
        model: model.clone(),
        reason,
    };
    // The library panics on some files that it should refuse.
    let read = std::panic::catch_unwind(|| tokenizers::Tokenizer::from_bytes(json));
    let read = read.map_err(|_| bad("the library cannot read it".to_owned()))?;
    let mut library = read.map_err(|cause| bad(cause.to_string()))?;
    library
        .with_truncation(None)
        .map_err(|cause| bad(cause.to_string()))?;
    library.with_padding(None);
    Ok(library)
}

/// Limits as far as which the tokens of a text are counted that is cut at its end.
const LIMITS_COUNTED: usize = 16;
/// Least limit that this is of: a few thousand tokens cost nothing.
const LEAST_LIMIT: usize = 256;

/// Returns the most tokens of a text that are counted, so that the time for it does not grow with
/// the text: all of one whose beginning is cut, since its end has to be found.
fn most_counted(limit: usize, side: TruncationSide) -> usize {
    match side {
        TruncationSide::Right => limit.max(LEAST_LIMIT).saturating_mul(LIMITS_COUNTED),
        TruncationSide::Left => usize::MAX,
    }
}

/// Leaves at most `most` of the ids from `start` on. Returns whether there were more: where a text
/// was left is then not said by their number.
fn leave_most(ids: &mut Vec<u32>, start: usize, most: usize) -> bool {
    let is_more = ids.len() - start > most;
    ids.truncate(start.saturating_add(most).min(ids.len()));
    is_more
}

/// Leaves at most `room` of the ids from `start` on. Returns how many were cut.
fn truncate(ids: &mut Vec<u32>, start: usize, room: usize, side: TruncationSide) -> usize {
    let cut = (ids.len() - start).saturating_sub(room);
    match side {
        TruncationSide::Right => ids.truncate(ids.len() - cut),
        TruncationSide::Left => {
            ids.drain(start..start + cut);
        }
    }
    cut
}

#[cfg(all(test, feature = "builtin"))]
mod tests;
