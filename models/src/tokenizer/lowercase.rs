//! `do_lower_case` of sentence_bert_config.json: texts in small letters before anything else.

use serde::Deserialize;
use serde_json::Value;
use tokenizers::normalizers::{Lowercase, NormalizerWrapper, Sequence};

use crate::error::LoadError;
use crate::source::JsonFiles;

const FILE: &str = "sentence_bert_config.json";

#[derive(Default, Deserialize)]
struct Settings {
    do_lower_case: Option<bool>,
}

/// Puts small letters before what a tokenizer does, if the file says so and the tokenizer does not
/// make them anyway.
pub(super) fn prepend(
    tokenizer: &mut tokenizers::Tokenizer,
    json: &JsonFiles<'_>,
) -> Result<(), LoadError> {
    let Settings { do_lower_case } = json.optional(FILE)?.unwrap_or_default();
    let normalizer = tokenizer.get_normalizer().cloned();
    let written = serde_json::to_value(&normalizer).unwrap_or_default();
    if do_lower_case != Some(true) || has_lowercase(&written) {
        return Ok(());
    }
    let all = std::iter::once(NormalizerWrapper::Lowercase(Lowercase)).chain(normalizer);
    let added = tokenizer.with_normalizer(Some(Sequence::new(all.collect())));
    added.map_err(|cause| json.unsupported(FILE, cause.to_string()))?;
    Ok(())
}

/// Returns whether a normalizer, as tokenizer.json has it, makes small letters.
fn has_lowercase(normalizer: &Value) -> bool {
    let parts = normalizer["normalizers"].as_array();
    normalizer["type"] == "Lowercase"
        || normalizer["lowercase"] == true
        || parts.is_some_and(|parts| parts.iter().any(has_lowercase))
}
