//! The settings of the colbert library. Its models were saved without modules: the projection is
//! among the weights, and the file has the settings of training, of which a few matter later.

use serde::Deserialize;

use super::{Expansion, Marker, Projection, RowRules, TokenVectors, limit, punctuation};
use crate::error::LoadError;
use crate::family::CONFIG;
use crate::source::JsonFiles;

const FILE: &str = "artifact.metadata";
/// Classes that the library saves weights as.
const CLASSES: [&str; 2] = ["HF_ColBERT", "ColBERT"];
/// Tokens of a query if the file does not say it.
const QUERY_TOKENS: usize = 32;

#[derive(Default, Deserialize)]
struct Metadata {
    query_token_id: Option<String>,
    doc_token_id: Option<String>,
    query_maxlen: Option<usize>,
    doc_maxlen: Option<usize>,
    mask_punctuation: Option<bool>,
    attend_to_mask_tokens: Option<bool>,
    dim: Option<usize>,
    similarity: Option<String>,
    interaction: Option<String>,
}

pub(super) fn read(
    json: &JsonFiles<'_>,
    classes: &[String],
) -> Result<Option<TokenVectors>, LoadError> {
    let metadata: Option<Metadata> = json.optional(FILE)?;
    let is_of_library = |class: &String| CLASSES.contains(&class.as_str());
    if metadata.is_none() && !classes.iter().any(is_of_library) {
        return Ok(None);
    }
    let file = match metadata {
        Some(_) => FILE,
        None => CONFIG,
    };
    let metadata = metadata.unwrap_or_default();
    for (key, value, supported) in [
        ("similarity", &metadata.similarity, "cosine"),
        ("interaction", &metadata.interaction, "colbert"),
    ] {
        if let Some(value) = value.as_deref().filter(|value| *value != supported) {
            let reason = format!("{key} `{value}` is not supported; supported: {supported}");
            return Err(json.unsupported(FILE, reason));
        }
    }
    let marker = |key, token: Option<String>, usual: &str| Marker {
        text: format!("{} ", token.as_deref().unwrap_or(usual)),
        token_of: Some((FILE, key)),
    };
    let limit = |key, tokens| limit(json, FILE, key, tokens);
    let expansion = Expansion {
        tokens: metadata.query_maxlen.unwrap_or(QUERY_TOKENS),
        is_limit: true,
        attended: metadata.attend_to_mask_tokens.unwrap_or(false),
        token: None,
        file: FILE,
    };
    let query = RowRules {
        marker: Some(marker(
            "query_token_id",
            metadata.query_token_id,
            "[unused0]",
        )),
        max_tokens: Some(expansion.tokens),
        expansion: Some(expansion),
        ..RowRules::default()
    };
    let document = RowRules {
        marker: Some(marker("doc_token_id", metadata.doc_token_id, "[unused1]")),
        max_tokens: limit("doc_maxlen", metadata.doc_maxlen)?,
        skipped: match metadata.mask_punctuation {
            Some(false) => Vec::new(),
            _ => punctuation(),
        },
        ..RowRules::default()
    };
    Ok(Some(TokenVectors {
        query,
        document,
        projection: Projection::Weights { size: metadata.dim },
        file,
    }))
}
