//! The settings of PyLate, in config_sentence_transformers.json, and of sentence-transformers, in
//! sentence_bert_config.json, which win over the others.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Expansion, Marker, Mask, Projection, RowRules, TokenVectors, limit, punctuation};
use crate::error::LoadError;
use crate::source::JsonFiles;

const FILE: &str = "config_sentence_transformers.json";
const TRANSFORMER: &str = "sentence_bert_config.json";

/// Value of `model_type` in PyLate's files.
const PYLATE: &str = "ColBERT";
/// Value of `model_type` in those of sentence-transformers.
const MULTI_VECTOR: &str = "MultiVectorEncoder";
/// Tokens of a query in PyLate if nothing is said.
const QUERY_TOKENS: usize = 32;

/// Keys by which PyLate's files are known.
const OF_PYLATE: [&str; 9] = [
    "query_prefix",
    "document_prefix",
    "query_length",
    "document_length",
    "query_expansion",
    "do_query_expansion",
    "attend_to_expansion_tokens",
    "attend_to_mask_tokens",
    "skiplist_words",
];
/// The other keys of these files: none of them changes a vector of a token but by a prompt.
const OTHERS: [&str; 5] = [
    "__version__",
    "model_type",
    "prompts",
    "default_prompt_name",
    "similarity_fn_name",
];

/// The keys of PyLate.
#[derive(Default, Deserialize)]
struct Pylate {
    query_prefix: Option<String>,
    document_prefix: Option<String>,
    query_length: Option<usize>,
    document_length: Option<usize>,
    do_query_expansion: Option<bool>,
    attend_to_expansion_tokens: Option<bool>,
    attend_to_mask_tokens: Option<bool>,
    skiplist_words: Option<Vec<String>>,
}

/// An expansion as sentence-transformers writes it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    strategy: String,
    attend: Option<bool>,
    token: Option<String>,
    length: usize,
}

pub(super) fn read(
    json: &JsonFiles<'_>,
    mask: Option<Mask>,
) -> Result<Option<TokenVectors>, LoadError> {
    let keys: Map<String, Value> = json.optional(FILE)?.unwrap_or_default();
    let model_type = keys.get("model_type").and_then(Value::as_str);
    let has_keys = OF_PYLATE.iter().any(|key| keys.contains_key(*key));
    let is_known = [Some(PYLATE), Some(MULTI_VECTOR)].contains(&model_type);
    let file = match &mask {
        _ if has_keys || is_known => FILE,
        Some(_) => "modules.json",
        None => return Ok(None),
    };
    let is_known = |key: &str| OF_PYLATE.contains(&key) || OTHERS.contains(&key);
    let mut unknown = keys.iter().filter(|(key, _)| !is_known(key));
    if let Some((key, _)) = unknown.find(|(_, value)| !value.is_null()) {
        let reason = format!(
            "{key} is not supported for a model of token vectors; supported: {}, {}",
            OF_PYLATE.join(", "),
            OTHERS.join(", ")
        );
        return Err(json.unsupported(FILE, reason));
    }
    let pylate: Pylate = json.optional(FILE)?.unwrap_or_default();
    let own: Map<String, Value> = json.optional(TRANSFORMER)?.unwrap_or_default();
    let length = |key, of_pylate| {
        let (file, tokens) = match own.get(key) {
            Some(tokens) => (TRANSFORMER, parse(json, TRANSFORMER, key, tokens)?),
            None => (FILE, of_pylate),
        };
        limit(json, file, key, tokens)
    };
    let mut query_length = length("query_length", pylate.query_length)?;
    let document_length = length("document_length", pylate.document_length)?;
    let file_of_expansion = match own.contains_key("query_expansion") {
        true => TRANSFORMER,
        false => FILE,
    };
    let expansion = match own.get("query_expansion").or(keys.get("query_expansion")) {
        Some(written) => expansion(json, file_of_expansion, written)?,
        None if !has_keys || pylate.do_query_expansion == Some(false) => None,
        None => {
            let attend = pylate.attend_to_expansion_tokens;
            Some(Expansion {
                // The length to which queries are filled up is their limit.
                tokens: pylate.query_length.unwrap_or(QUERY_TOKENS),
                is_limit: true,
                attended: attend.or(pylate.attend_to_mask_tokens).unwrap_or(false),
                token: None,
                file: FILE,
            })
        }
    };
    if let Some(expansion) = &expansion {
        match query_length {
            Some(length) if length < expansion.tokens => {
                let reason = format!(
                    "query_length is {length}, but queries are expanded to {} tokens",
                    expansion.tokens
                );
                return Err(json.unsupported(expansion.file, reason));
            }
            _ if expansion.is_limit => query_length = Some(expansion.tokens),
            _ => {}
        }
    }
    // PyLate's own modules have no mask and no norm, which it applies by itself.
    let is_pylate = model_type == Some(PYLATE) || (has_keys && model_type != Some(MULTI_VECTOR));
    let mask = match mask {
        Some(mask) => mask,
        None if !is_pylate && expansion.is_some() => {
            let reason = "query_expansion is set, but modules.json has no MultiVectorMask, without \
                          which the tokens that are added give no vector";
            return Err(json.unsupported(file_of_expansion, reason));
        }
        None => Mask {
            skipped_in_queries: Vec::new(),
            skipped_in_documents: match pylate.skiplist_words {
                Some(words) => words,
                None if is_pylate => punctuation(),
                None => Vec::new(),
            },
            only: None,
        },
    };
    let marker = |prefix: Option<String>| {
        let text = prefix.filter(|prefix| !prefix.is_empty())?;
        let token_of = None;
        Some(Marker { text, token_of })
    };
    Ok(Some(TokenVectors {
        query: RowRules {
            marker: marker(pylate.query_prefix),
            max_tokens: query_length,
            expansion,
            skipped: mask.skipped_in_queries,
            only: None,
        },
        document: RowRules {
            marker: marker(pylate.document_prefix),
            max_tokens: document_length,
            expansion: None,
            skipped: mask.skipped_in_documents,
            only: mask.only,
        },
        projection: Projection::Modules {
            unit_length: is_pylate,
        },
        file,
    }))
}

/// Reads an expansion; `null` is none.
fn expansion(
    json: &JsonFiles<'_>,
    file: &'static str,
    written: &Value,
) -> Result<Option<Expansion>, LoadError> {
    let written: Option<Written> = parse(json, file, "query_expansion", written)?;
    let Some(written) = written else {
        return Ok(None);
    };
    let is_limit = match written.strategy.as_str() {
        "fixed" => true,
        "min" => false,
        other => {
            let reason = format!(
                "query_expansion.strategy `{other}` is not supported; supported: fixed, min"
            );
            return Err(json.unsupported(file, reason));
        }
    };
    Ok(Some(Expansion {
        tokens: written.length,
        is_limit,
        attended: written.attend.unwrap_or(false),
        token: written.token,
        file,
    }))
}

/// Reads the value of a key.
fn parse<T: serde::de::DeserializeOwned>(
    json: &JsonFiles<'_>,
    file: &str,
    key: &str,
    value: &Value,
) -> Result<T, LoadError> {
    let parsed = serde_json::from_value(value.clone());
    parsed.map_err(|cause| json.unsupported(file, format!("{key}: {cause}")))
}
