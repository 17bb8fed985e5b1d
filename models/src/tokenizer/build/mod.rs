//! A tokenizer made of the files of models without tokenizer.json.
//!
//! * `wordpiece`: a vocabulary of WordPiece (vocab.txt).
//! * `byte_bpe`: one of byte-level BPE with its merges (vocab.json, merges.txt).
//! * `sentencepiece`: a model of sentencepiece, Unigram or BPE; `proto`: its file; `layout`: the
//!   ids that a family gives its pieces; `merges`: merges of the scores of pieces.

mod byte_bpe;
mod layout;
mod merges;
mod proto;
mod sentencepiece;
mod wordpiece;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::added::SpecialTokens;
use crate::error::LoadError;
use crate::source::{JsonFiles, SENTENCEPIECE};

const VOCABULARY: &str = "vocab.txt";
const BPE_VOCABULARY: &str = "vocab.json";
const MERGES: &str = "merges.txt";

/// Names of a kind of tokenizer: classes of transformers (tokenizer_config.json, without `Fast`),
/// and types of models (config.json) whose tokenizers are of this kind.
struct Names {
    classes: &'static [&'static str],
    model_types: &'static [&'static str],
}

/// Settings of tokenizer_config.json, with what they are without it.
#[derive(Default, Deserialize)]
struct Settings {
    tokenizer_class: Option<String>,
    do_lower_case: Option<bool>,
    strip_accents: Option<bool>,
    tokenize_chinese_chars: Option<bool>,
    add_prefix_space: Option<bool>,
    split_by_punct: Option<bool>,
    legacy: Option<bool>,
    add_bos_token: Option<bool>,
    add_eos_token: Option<bool>,
}

/// The kind of a model's tokenizer, by its files.
struct Wanted {
    /// Class of transformers, without `Fast`; empty without one.
    class: String,
    model_type: String,
}

impl Wanted {
    fn read(json: &JsonFiles<'_>, settings: &Settings) -> Result<Self, LoadError> {
        #[derive(Deserialize)]
        struct Model {
            model_type: Option<String>,
        }
        let Model { model_type } = json.required("config.json")?;
        let class = settings.tokenizer_class.as_deref().unwrap_or_default();
        Ok(Self {
            class: class.strip_suffix("Fast").unwrap_or(class).to_owned(),
            model_type: model_type.unwrap_or_default(),
        })
    }

    /// Returns the one of some kinds that the model's is: by its class, else by its type.
    ///
    /// # Errors
    /// None of them, which names the file and those that are known.
    fn of<'k, K>(
        &self,
        json: &JsonFiles<'_>,
        file: &str,
        kinds: &'k [(Names, K)],
    ) -> Result<&'k K, LoadError> {
        let by_class = kinds
            .iter()
            .find(|(names, _)| names.classes.contains(&self.class.as_str()));
        let by_type = || {
            let is_one = |(names, _): &&(Names, K)| {
                let types = names.model_types;
                types.contains(&self.model_type.as_str())
            };
            kinds.iter().find(is_one)
        };
        let (_, kind) = by_class.or_else(by_type).ok_or_else(|| {
            let types = kinds.iter().flat_map(|(names, _)| names.model_types);
            let types: Vec<&str> = types.copied().collect();
            let reason = format!(
                "there is no tokenizer.json, and how a `{}` model uses this file is not known; it \
                 is of: {}. Save the tokenizer anew with `{}`",
                self.model_type,
                types.join(", "),
                crate::error::SAVE_TOKENIZER
            );
            json.unsupported(file, reason)
        })?;
        Ok(kind)
    }
}

/// Returns a tokenizer in the form of a tokenizer.json, and the file of its vocabulary.
///
/// # Errors
/// Files that are not those of a family that is known to have them, or that contradict themselves.
pub(super) fn build(json: &JsonFiles<'_>) -> Result<(Value, &'static str), LoadError> {
    let settings: Settings = json.optional("tokenizer_config.json")?.unwrap_or_default();
    let wanted = Wanted::read(json, &settings)?;
    if let Some(text) = text(json, VOCABULARY)? {
        let special = *wanted.of(json, VOCABULARY, &wordpiece::KINDS)?;
        let specials = SpecialTokens::read(json, special)?;
        let built = wordpiece::build(json, &text, &specials, &settings)?;
        return Ok((built, VOCABULARY));
    }
    for file in SENTENCEPIECE {
        if let Some(bytes) = (json.read)(file)? {
            let layout = wanted.of(json, file, &layout::KINDS)?;
            let built = sentencepiece::build(json, file, &bytes, layout, &settings)?;
            return Ok((built, file));
        }
    }
    let vocabulary = json.required(BPE_VOCABULARY)?;
    let kind = wanted.of(json, BPE_VOCABULARY, &byte_bpe::KINDS)?;
    let merges = text(json, MERGES)?.unwrap_or_default();
    let built = byte_bpe::build(json, vocabulary, &merges, kind, &settings)?;
    Ok((built, BPE_VOCABULARY))
}

/// Returns the content of a file, or `None` where there is no such file.
fn text(json: &JsonFiles<'_>, file: &str) -> Result<Option<String>, LoadError> {
    let Some(bytes) = (json.read)(file)? else {
        return Ok(None);
    };
    let text = String::from_utf8(bytes.into_owned());
    let text = text.map_err(|_| json.unsupported(file, "it is not UTF-8"))?;
    Ok(Some(text))
}

/// Returns the lines of a text, without the empty one after its last line's end.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    let text = text.strip_suffix('\n').unwrap_or(text);
    let lines = text.split('\n');
    lines.map(|line| line.strip_suffix('\r').unwrap_or(line))
}

/// Returns the special tokens that are in the vocabulary, as tokenizer.json lists them by their
/// ids.
fn added<'t>(
    vocabulary: impl Fn(&str) -> Option<u64>,
    tokens: impl IntoIterator<Item = &'t str>,
) -> Vec<Value> {
    let tokens = tokens.into_iter();
    let mut added: Vec<(u64, &str)> = tokens
        .filter_map(|token| Some((vocabulary(token)?, token)))
        .collect();
    added.sort_unstable();
    added.dedup_by_key(|(id, _)| *id);
    let added = added.into_iter().map(|(id, token)| {
        json!({
            // A mask takes the space before it wherever texts begin with `<s>`.
            "id": id, "content": token, "lstrip": token == "<mask>", "rstrip": false,
            "single_word": false, "normalized": false, "special": true,
        })
    });
    added.collect()
}

/// Returns the id of a special token.
fn id(
    json: &JsonFiles<'_>,
    file: &str,
    vocabulary: &Map<String, Value>,
    token: &str,
) -> Result<Value, LoadError> {
    vocabulary
        .get(token)
        .cloned()
        .ok_or_else(|| missing(json, file, token))
}

/// Returns the error of a vocabulary without a token that texts have around them.
fn missing(json: &JsonFiles<'_>, file: &str, token: &str) -> LoadError {
    let reason = format!("there is no token `{token}`, which every text has around it");
    json.unsupported(file, reason)
}

/// The special tokens around texts, in the form of tokenizer.json: `first A last`, and for pairs
/// that and `second`, whose `B` is the other text.
fn template(single: &[Part<'_>], second: &[Part<'_>], ids: &[(&str, u64)]) -> Value {
    let part = |part: &Part<'_>| match *part {
        Part::Text(name, of) => json!({ "Sequence": { "id": name, "type_id": of } }),
        Part::Token(token, of) => json!({ "SpecialToken": { "id": token, "type_id": of } }),
    };
    let pair = single.iter().chain(second);
    let special = |(token, id): &(&str, u64)| {
        let entry = json!({ "id": token, "ids": [id], "tokens": [token] });
        ((*token).to_owned(), entry)
    };
    json!({
        "type": "TemplateProcessing",
        "single": single.iter().map(part).collect::<Vec<Value>>(),
        "pair": pair.map(part).collect::<Vec<Value>>(),
        "special_tokens": ids.iter().map(special).collect::<Map<String, Value>>(),
    })
}

/// A part of a template, with the type of its tokens.
#[derive(Clone, Copy)]
enum Part<'a> {
    Text(&'static str, u32),
    Token(&'a str, u32),
}
