//! Tokens that are named outside of tokenizer.json (tokenizer_config.json, special_tokens_map.json,
//! added_tokens.json), which are found in a text as a whole.

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;
use serde_json::{Map, Value};
use tokenizers::{AddedToken, Tokenizer};

use super::build;
use crate::error::LoadError;
use crate::source::{JsonFiles, TOKENIZER};

const CONFIG: &str = "tokenizer_config.json";
const SPECIAL: &str = "special_tokens_map.json";
const ADDED: &str = "added_tokens.json";

/// The special tokens that a tokenizer without a tokenizer.json needs to know.
pub(super) struct SpecialTokens {
    pub(super) first: String,
    pub(super) last: String,
    pub(super) unknown: String,
    padding: String,
    mask: String,
}

impl SpecialTokens {
    /// Reads the tokens that are named; the others are those of `usual`: before a text, after it,
    /// unknown, padding, mask.
    pub(super) fn read(json: &JsonFiles<'_>, usual: [&str; 5]) -> Result<Self, LoadError> {
        let named = named(json)?;
        let token = |role: &str, usual: &str| {
            let found = named.iter().find(|(name, _)| name == role);
            found.map_or(usual.to_owned(), |(_, token)| token.content.clone())
        };
        let [first, last, unknown, padding, mask] = usual;
        Ok(Self {
            first: token("cls_token", first),
            last: token("sep_token", last),
            unknown: token("unk_token", unknown),
            padding: token("pad_token", padding),
            mask: token("mask_token", mask),
        })
    }

    /// Returns all of them.
    pub(super) fn all(&self) -> [&str; 5] {
        let Self {
            first,
            last,
            unknown,
            padding,
            mask,
        } = self;
        [first, last, unknown, padding, mask]
    }
}

/// A token as the files write it, by its text alone or with how it is found.
#[derive(Clone, Deserialize)]
#[serde(untagged)]
enum Written {
    Text(String),
    Token {
        content: String,
        #[serde(default)]
        single_word: bool,
        #[serde(default)]
        lstrip: bool,
        #[serde(default)]
        rstrip: bool,
        normalized: Option<bool>,
        special: Option<bool>,
    },
}

impl Written {
    fn token(self, is_special: bool) -> AddedToken {
        match self {
            Self::Text(content) => AddedToken::from(content, is_special),
            Self::Token {
                content,
                single_word,
                lstrip,
                rstrip,
                normalized,
                special,
            } => {
                let special = special.unwrap_or(is_special);
                AddedToken::from(content, special)
                    .single_word(single_word)
                    .lstrip(lstrip)
                    .rstrip(rstrip)
                    .normalized(normalized.unwrap_or(!special))
            }
        }
    }
}

/// Adds to a tokenizer the tokens that it lacks: those with an id, then the special ones that are
/// in the vocabulary. (A special token that is not has no vector, and is text like any other.)
///
/// # Errors
/// A file that does not parse, and a token whose id is not the one that the file gives it.
pub(super) fn add(tokenizer: &mut Tokenizer, json: &JsonFiles<'_>) -> Result<(), LoadError> {
    let (file, numbered) = numbered(json)?;
    for (id, token) in numbered {
        if is_added(tokenizer, &token) {
            continue;
        }
        let content = token.content.clone();
        let added = match token.special {
            true => tokenizer.add_special_tokens([token]),
            false => tokenizer.add_tokens([token]),
        };
        added.map_err(|cause| json.unsupported(file, cause.to_string()))?;
        let found = tokenizer.token_to_id(&content);
        if found != Some(id) {
            let found = found.map_or("none".to_owned(), |found| found.to_string());
            let reason = format!("the added token `{content}` has the id {id}, but gets {found}");
            return Err(json.unsupported(file, reason));
        }
    }
    for (_, token) in named(json)? {
        if tokenizer.token_to_id(&token.content).is_some() && !is_added(tokenizer, &token) {
            let added = tokenizer.add_special_tokens([token]);
            added.map_err(|cause| json.unsupported(SPECIAL, cause.to_string()))?;
        }
    }
    Ok(())
}

fn is_added(tokenizer: &Tokenizer, token: &AddedToken) -> bool {
    let added = tokenizer.get_added_vocabulary().get_vocab();
    added.contains_key(&token.content)
}

/// Returns the tokens with their ids, in the order of these, and the file that they are from.
fn numbered(json: &JsonFiles<'_>) -> Result<(&'static str, BTreeMap<u32, AddedToken>), LoadError> {
    #[derive(Default, Deserialize)]
    struct Config {
        added_tokens_decoder: Option<BTreeMap<u32, Written>>,
    }
    let config: Config = json.optional(CONFIG)?.unwrap_or_default();
    if let Some(tokens) = config.added_tokens_decoder {
        let tokens = tokens.into_iter();
        let tokens = tokens.map(|(id, token)| (id, token.token(false)));
        return Ok((CONFIG, tokens.collect()));
    }
    let tokens: BTreeMap<String, u32> = json.optional(ADDED)?.unwrap_or_default();
    let tokens = tokens.into_iter();
    let tokens = tokens.map(|(content, id)| (id, AddedToken::from(content, false)));
    Ok((ADDED, tokens.collect()))
}

/// Returns the ids of the special tokens of some roles; of all special tokens where the files name
/// no role.
///
/// # Errors
/// A file that does not parse.
pub(crate) fn special_ids(json: &JsonFiles<'_>, roles: &[&str]) -> Result<Vec<u32>, LoadError> {
    #[derive(Deserialize)]
    struct Library {
        added_tokens: Vec<Added>,
    }
    #[derive(Deserialize)]
    struct Added {
        id: u32,
        content: String,
        special: bool,
    }
    // The vocabulary is not looked at.
    let library: Option<Library> = json.optional(TOKENIZER)?;
    let Library { added_tokens } = match library {
        Some(library) => library,
        None => {
            let (built, file) = build::build(json)?;
            let built = serde_json::from_value(built);
            built.map_err(|cause| json.unsupported(file, cause.to_string()))?
        }
    };
    let named = named(json)?;
    let of_role = |content: &str| {
        let mut roles_of = named.iter().filter(|(_, token)| token.content == content);
        roles_of.any(|(role, _)| roles.contains(&role.as_str()))
    };
    let is_wanted = |token: &&Added| match named.is_empty() {
        true => token.special,
        false => of_role(&token.content),
    };
    let ids = added_tokens.iter().filter(is_wanted).map(|token| token.id);
    Ok(ids.collect())
}

/// Returns the ids of tokens by their text; `None` for those that the tokenizer has not. One that
/// has to be built of other files is not looked at.
///
/// # Errors
/// A file that does not parse.
pub(super) fn ids_of(json: &JsonFiles<'_>, tokens: &[&str]) -> Result<Vec<Option<u32>>, LoadError> {
    #[derive(Deserialize)]
    struct Library {
        added_tokens: Option<Vec<Added>>,
        model: Model,
    }
    #[derive(Deserialize)]
    struct Added {
        id: u32,
        content: String,
    }
    #[derive(Deserialize)]
    struct Model {
        vocab: Option<Vocabulary>,
    }
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Vocabulary {
        Numbered(HashMap<String, u32>),
        /// With the score of each.
        InOrder(Vec<(String, f64)>),
    }
    let Some(library) = json.optional::<Library>(TOKENIZER)? else {
        return Ok(vec![None; tokens.len()]);
    };
    let (_, numbered) = numbered(json)?;
    let added = library.added_tokens.unwrap_or_default();
    let id = |token: &&str| {
        let of_library = added.iter().find(|added| added.content == *token);
        let of_files = || numbered.iter().find(|(_, added)| added.content == *token);
        let of_vocabulary = || match library.model.vocab.as_ref()? {
            Vocabulary::Numbered(ids) => ids.get(*token).copied(),
            Vocabulary::InOrder(pieces) => {
                let place = pieces.iter().position(|(piece, _)| piece == token);
                place.and_then(|place| u32::try_from(place).ok())
            }
        };
        of_library
            .map(|added| added.id)
            .or_else(|| of_files().map(|(id, _)| *id))
            .or_else(of_vocabulary)
    };
    Ok(tokens.iter().map(id).collect())
}

/// Returns the special token of a role, such as `mask_token`, if the files name it.
pub(super) fn token_of_role(json: &JsonFiles<'_>, role: &str) -> Result<Option<String>, LoadError> {
    let named = named(json)?.into_iter();
    let mut tokens = named.filter(|(name, _)| name == role);
    Ok(tokens.next().map(|(_, token)| token.content))
}

/// Keys of lists of special tokens without a role.
const LISTS: [&str; 2] = ["additional_special_tokens", "extra_special_tokens"];

/// Returns the special tokens by their roles, such as `cls_token`, and those of lists.
fn named(json: &JsonFiles<'_>) -> Result<Vec<(String, AddedToken)>, LoadError> {
    let mut named: Vec<(String, AddedToken)> = Vec::new();
    for file in [CONFIG, SPECIAL] {
        let keys: Map<String, Value> = json.optional(file)?.unwrap_or_default();
        let of_key = |(role, value): (String, Value)| match value {
            Value::Array(values) if LISTS.contains(&role.as_str()) => {
                let values = values.into_iter().enumerate();
                let values = values.map(|(at, value)| (format!("{role} {at}"), value));
                values.collect()
            }
            value if role.ends_with("_token") => vec![(role, value)],
            _ => Vec::new(),
        };
        for (role, value) in keys.into_iter().flat_map(of_key) {
            let written = serde_json::from_value::<Written>(value).ok();
            let is_new = !named.iter().any(|(known, _)| *known == role);
            if let Some(written) = written.filter(|_| is_new) {
                let mut token = written.token(true);
                // A mask takes the space before it wherever texts begin with `<s>`.
                token.lstrip |= token.content == "<mask>";
                named.push((role, token));
            }
        }
    }
    Ok(named)
}
