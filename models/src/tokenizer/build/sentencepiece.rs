//! A tokenizer of a model of sentencepiece, Unigram or BPE, which splits a text as sentencepiece
//! does by the settings in the model's file.

use std::collections::HashMap;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use prost::Message;
use serde_json::{Map, Value, json};

use super::layout::{Around, Layout, Pair, Signs, Token};
use super::proto::{Algorithm, Kind, Model, Normalizer, Piece, Trainer};
use super::{Part, Settings, added, merges, missing, template};
use crate::error::LoadError;
use crate::source::{JsonFiles, is_lfs_pointer};
use crate::tokenizer::added::token_of_role;
use crate::tokenizer::pieces::SPACES_AROUND;

/// The sign of a space in pieces.
const SPACE: &str = "▁";

pub(super) fn build(
    json: &JsonFiles<'_>,
    file: &str,
    bytes: &[u8],
    layout: &Layout,
    settings: &Settings,
) -> Result<Value, LoadError> {
    if is_lfs_pointer(bytes) {
        return Err(LoadError::LfsPointer {
            model: json.model.clone(),
            file: file.to_owned(),
        });
    }
    let refused = |reason: String| json.unsupported(file, reason);
    let model = Model::decode(bytes)
        .map_err(|cause| refused(format!("it is no model of sentencepiece: {cause}")))?;
    let is_unknown = |piece: &Piece| piece.is(Kind::Unknown);
    let unknown = model.pieces.iter().position(is_unknown).ok_or_else(|| {
        refused("it is no model of sentencepiece: no piece is the unknown one".to_owned())
    })?;
    let unknown = layout.unknown.map_or(unknown, |id| id as usize);
    let trainer = model.trainer.clone().unwrap_or_default();
    let normalizer = model.normalizer.clone().unwrap_or_default();
    if trainer.treat_whitespace_as_suffix() {
        let reason = "its pieces have spaces at their ends (treat_whitespace_as_suffix), which is \
                      not supported";
        return Err(refused(reason.to_owned()));
    }
    let tokens = layout.tokens(&model.pieces).map_err(refused)?;
    let ids: HashMap<&str, u64> = (tokens.iter().map(|token| token.text.as_str()))
        .zip(0..)
        .collect();
    let model = split(&tokens, unknown, &trainer).map_err(refused)?;
    let specials = tokens.iter().enumerate();
    let specials = specials
        .filter(|(id, token)| token.kind == Kind::Control || *id == unknown)
        .map(|(_, token)| token.text.as_str());
    let number = |token: &str| ids.get(token).copied();
    Ok(json!({
        "version": "1.0",
        "added_tokens": added(number, specials),
        "normalizer": normalization(&normalizer, layout, settings),
        "pre_tokenizer": words(&tokens, &trainer, &normalizer, settings),
        "post_processor": around(json, file, layout, settings, number)?,
        "decoder": null,
        "model": model,
    }))
}

/// Returns the model that splits words.
fn split(tokens: &[Token], unknown: usize, trainer: &Trainer) -> Result<Value, String> {
    match trainer.algorithm() {
        Algorithm::Unigram => {
            let scored = tokens.iter().map(|token| json!([token.text, token.score]));
            Ok(json!({
                "type": "Unigram",
                "unk_id": unknown,
                "byte_fallback": trainer.byte_fallback(),
                "vocab": scored.collect::<Vec<Value>>(),
            }))
        }
        Algorithm::Bpe => {
            let ids = tokens.iter().zip(0u64..);
            let ids = ids.map(|(token, id)| (token.text.clone(), id.into()));
            Ok(json!({
                "type": "BPE",
                "dropout": null,
                "unk_token": tokens[unknown].text,
                "continuing_subword_prefix": null,
                "end_of_word_suffix": null,
                "fuse_unk": true,
                "byte_fallback": trainer.byte_fallback(),
                // Pieces of the user are words, which no merge makes.
                "ignore_merges": tokens.iter().any(|token| token.kind == Kind::UserDefined),
                "vocab": ids.collect::<Map<String, Value>>(),
                "merges": merges::of_scores(tokens),
            }))
        }
        Algorithm::Word | Algorithm::Char => Err(String::from(
            "it splits texts into words or characters; Unigram and BPE are supported",
        )),
    }
}

/// The sign of a space before a text that has none, or another one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Prefix {
    Never,
    /// Before the text itself.
    First,
    /// Before each part between special tokens.
    Always,
}

impl Prefix {
    fn of(normalizer: &Normalizer, settings: &Settings) -> Self {
        let has_prefix = normalizer.add_dummy_prefix() && settings.add_prefix_space.unwrap_or(true);
        match (has_prefix, settings.legacy.unwrap_or(true)) {
            (false, _) => Self::Never,
            (true, true) => Self::Always,
            (true, false) => Self::First,
        }
    }

    const fn scheme(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::First => "first",
            Self::Always => "always",
        }
    }
}

/// Returns what happens to the characters of a text, in sentencepiece's order. Spaces become signs
/// where words are made.
fn normalization(normalizer: &Normalizer, layout: &Layout, settings: &Settings) -> Value {
    let replace = |pattern: &str, content: &str| json!({ "type": "Replace", "pattern": { "Regex": pattern }, "content": content });
    let mut steps = Vec::new();
    let is_small = layout.signs == Signs::LeftOut;
    if layout.signs == Signs::LeftOut {
        // The sign of a space is before all that is left out, also before a space.
        steps.push(replace(SPACE, " "));
        steps.push(json!({ "type": "Prepend", "prepend": SPACE }));
    }
    if settings.do_lower_case.unwrap_or(is_small) {
        steps.push(json!({ "type": "Lowercase" }));
    }
    if layout.signs == Signs::LeftOut {
        steps.push(replace(r"[!-/:-@\[-`{-~]", ""));
        steps.push(replace(r"\s+", " "));
        steps.push(replace(" $", ""));
        steps.push(replace("^▁$", ""));
    }
    let rules = normalizer.precompiled_charsmap.as_deref();
    if let Some(rules) = rules.filter(|rules| !rules.is_empty()) {
        let rules = BASE64_STANDARD.encode(rules);
        steps.push(json!({ "type": "Precompiled", "precompiled_charsmap": rules }));
    }
    if normalizer.remove_extra_whitespaces() {
        steps.push(replace(SPACES_AROUND, ""));
        steps.push(replace(" {2,}", " "));
    } else if Prefix::of(normalizer, settings) == Prefix::Always {
        // The step that makes words gives none to a text that begins with a space.
        steps.push(json!({ "type": "Prepend", "prepend": SPACE }));
    }
    json!({ "type": "Sequence", "normalizers": steps })
}

/// Returns what makes words of a text: the sign of a space is before each, and pieces of the user
/// are words.
fn words(
    tokens: &[Token],
    trainer: &Trainer,
    normalizer: &Normalizer,
    settings: &Settings,
) -> Value {
    let prefix = match Prefix::of(normalizer, settings) {
        // The characters have it.
        Prefix::Always if !normalizer.remove_extra_whitespaces() => Prefix::Never,
        prefix => prefix,
    };
    // No piece of Unigram has a space within; merges of BPE may make one.
    let is_split = trainer.algorithm() == Algorithm::Unigram && trainer.split_by_whitespace();
    let mut steps = Vec::new();
    if settings.split_by_punct == Some(true) {
        steps.push(json!({ "type": "Punctuation", "behavior": "Isolated" }));
    }
    if normalizer.escape_whitespaces() {
        steps.push(json!({
            "type": "Metaspace", "replacement": SPACE, "prepend_scheme": prefix.scheme(),
            "split": is_split,
        }));
    }
    let of_user = tokens
        .iter()
        .filter(|token| token.kind == Kind::UserDefined);
    let mut of_user: Vec<&str> = of_user.map(|token| token.text.as_str()).collect();
    // Of two that a text has at one place, the longer.
    of_user.sort_by_key(|piece| std::cmp::Reverse(piece.len()));
    if !of_user.is_empty() {
        let pieces: Vec<String> = of_user.into_iter().map(escaped).collect();
        steps.push(json!({
            "type": "Split", "pattern": { "Regex": pieces.join("|") }, "behavior": "Isolated",
            "invert": false,
        }));
    }
    json!({ "type": "Sequence", "pretokenizers": steps })
}

/// Returns a pattern that only this text matches.
fn escaped(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for character in text.chars() {
        if r"\.+*?()|[]{}^$#&-~".contains(character) {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern
}

/// Returns the special tokens around texts.
///
/// # Errors
/// One that is no piece.
fn around(
    json: &JsonFiles<'_>,
    file: &str,
    layout: &Layout,
    settings: &Settings,
    id: impl Fn(&str) -> Option<u64>,
) -> Result<Value, LoadError> {
    let (roles, usual) = match &layout.around {
        Around::Both(usual, _) => (["cls_token", "sep_token"], usual),
        Around::Chosen(usual) | Around::Last(usual) => (["bos_token", "eos_token"], usual),
    };
    let mut tokens = Vec::new();
    for (role, usual) in roles.into_iter().zip(usual) {
        let token = token_of_role(json, role)?;
        tokens.push(token.unwrap_or_else(|| (*usual).to_owned()));
    }
    let wanted = match layout.around {
        Around::Both(..) => [true, true],
        Around::Chosen(_) => [
            settings.add_bos_token.unwrap_or(true),
            settings.add_eos_token.unwrap_or(false),
        ],
        Around::Last(_) => [false, true],
    };
    let mut ids = Vec::new();
    for (token, _) in tokens.iter().zip(wanted).filter(|(_, wanted)| *wanted) {
        let id = id(token).ok_or_else(|| missing(json, file, token))?;
        ids.push((token.as_str(), id));
    }
    let [first, last] = [0, 1].map(|at| wanted[at].then(|| tokens[at].as_str()));
    let text = |name, of| {
        let parts = [
            first.map(|token| Part::Token(token, of)),
            Some(Part::Text(name, of)),
            last.map(|token| Part::Token(token, of)),
        ];
        parts.into_iter().flatten().collect::<Vec<Part<'_>>>()
    };
    let second = match layout.around {
        Around::Both(_, Pair::TwoSigns) => vec![
            Part::Token(&tokens[1], 0),
            Part::Text("B", 0),
            Part::Token(&tokens[1], 0),
        ],
        Around::Both(_, Pair::Types) => vec![Part::Text("B", 1), Part::Token(&tokens[1], 1)],
        Around::Chosen(_) => text("B", 1),
        Around::Last(_) => text("B", 0),
    };
    Ok(template(&text("A", 0), &second, &ids))
}
