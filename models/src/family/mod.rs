//! Families of models: from config.json to an [`Architecture`].
//!
//! A family is one file with a [`Family`] in the list below: the values of `model_type` that it
//! describes, and a function from the configuration to the description. Nothing else of the crate
//! knows a family; both engines compute any description.
//!
//! # Adding a family
//!
//! 1. Write `family/NAME.rs` with a private `Config` (serde; only the keys that are read, with the
//!    defaults that transformers gives them) and
//!    `pub(super) const FAMILY: Family = Family { model_types: &["NAME"], describe, classifiers }`,
//!    where `classifiers` is one of those in `family/classifiers.rs`, or a further one there.
//! 2. In `describe`, read the `Config` with `json.required(CONFIG)`. Refuse, with [`refuse`],
//!    every key whose value would change the computation to one that is not described: it must
//!    never be computed wrong without a word. [`at_least_one`], [`layer_count`], [`head_size`]
//!    and [`activation`] check what all families have.
//! 3. Describe the tensors by the names that the checkpoint of the bare encoder has
//!    ([`Linear::new`] is `NAME.weight` and `NAME.bias`), and set [`Architecture::prefix`] to what
//!    stands before them in a checkpoint with a head (`bert.`). Finding the prefix of the file at
//!    hand, old names of norms, element types and shards are the business of `checkpoint`.
//! 4. What a family has otherwise is mostly a matter of rows: positions that begin after the id of
//!    padding are [`skip_padding`], matrices that are stored as one are rows of one tensor.
//! 5. Add the file to [`FAMILIES`], a model to `tests/expected/families.py`, which makes fixtures
//!    with reference values, and its name to `encoder/family_tests.rs`.
//!
//! Families whose layers have BERT's names take [`bert::Config::layers`], with their own embedding.
//!
//! [`Linear::new`]: crate::architecture::Linear::new

mod bert;
mod classifiers;
mod distilbert;
mod electra;
mod mpnet;
mod roberta;

use classifiers::Classifiers;
use serde::Deserialize;

use crate::architecture::{Activation, Architecture, Counting, Head, TokenEmbedding};
use crate::classification::Level;
use crate::error::LoadError;
use crate::source::JsonFiles;

/// File of the configuration.
pub(crate) const CONFIG: &str = "config.json";

/// A family of models.
struct Family {
    /// Values of `model_type` in config.json.
    model_types: &'static [&'static str],
    /// Reads the configuration and describes the encoder.
    describe: fn(&JsonFiles<'_>) -> Result<Architecture, LoadError>,
    /// Heads of classification, by the names that the family gives their tensors.
    classifiers: Classifiers,
}

/// Every family.
const FAMILIES: &[Family] = &[
    bert::FAMILY,
    roberta::FAMILY,
    distilbert::FAMILY,
    electra::FAMILY,
    mpnet::FAMILY,
];

/// Returns the description of a model by its config.json.
///
/// # Errors
/// A file that is missing or does not parse, a family that is not known, or a value that the family
/// does not support; these list what is supported.
pub(crate) fn describe(json: &JsonFiles<'_>) -> Result<Architecture, LoadError> {
    (find(json)?.describe)(json)
}

/// Returns the description of a head of classification with this number of labels.
///
/// # Errors
/// As [`describe`], and a value that the head does not support.
pub(crate) fn classifier(
    json: &JsonFiles<'_>,
    architecture: &Architecture,
    level: Level,
    labels: usize,
) -> Result<Head, LoadError> {
    let classifiers = &find(json)?.classifiers;
    let describe = match level {
        Level::Text => classifiers.text,
        Level::Token => classifiers.token,
    };
    describe(json, architecture, labels)
}

/// Finds the family of a model.
fn find(json: &JsonFiles<'_>) -> Result<&'static Family, LoadError> {
    #[derive(Deserialize)]
    struct Config {
        model_type: String,
    }
    let Config { model_type } = json.required(CONFIG)?;
    let known = |family: &&Family| family.model_types.contains(&model_type.as_str());
    match FAMILIES.iter().find(known) {
        Some(family) => Ok(family),
        None => {
            let known: Vec<&str> = FAMILIES
                .iter()
                .flat_map(|family| family.model_types.iter().copied())
                .collect();
            Err(refuse(json, "model_type", &model_type, &known.join(", ")))
        }
    }
}

/// Returns the error of a key of config.json whose value is not supported.
fn refuse(json: &JsonFiles<'_>, key: &str, found: &str, supported: &str) -> LoadError {
    let reason = format!("{key} `{found}` is not supported; supported: {supported}");
    json.unsupported(CONFIG, reason)
}

/// Checks that no size is 0.
fn at_least_one(json: &JsonFiles<'_>, sizes: &[(&str, usize)]) -> Result<(), LoadError> {
    match sizes.iter().find(|(_, size)| *size == 0) {
        Some((key, _)) => {
            Err(json.unsupported(CONFIG, format!("{key} is 0; it must be at least 1")))
        }
        None => Ok(()),
    }
}

/// Checks a number of layers; a description with more than any model has would only cost memory.
fn layer_count(json: &JsonFiles<'_>, key: &str, count: usize) -> Result<(), LoadError> {
    const MOST: usize = 1024;
    at_least_one(json, &[(key, count)])?;
    if count > MOST {
        return Err(json.unsupported(CONFIG, format!("{key} is {count}; at most {MOST}")));
    }
    Ok(())
}

/// Returns the size of each of `heads` that together are as wide as `hidden`; both with their keys.
fn head_size(
    json: &JsonFiles<'_>,
    (hidden_key, hidden): (&str, usize),
    (heads_key, heads): (&str, usize),
) -> Result<usize, LoadError> {
    match hidden.checked_rem(heads) {
        Some(0) => Ok(hidden / heads),
        _ => {
            let reason = format!("{hidden_key} {hidden} is not a multiple of {heads_key} {heads}");
            Err(json.unsupported(CONFIG, reason))
        }
    }
}

/// Makes positions those of a family that counts a row's tokens from `pad_token_id + 1` on, and
/// does not count padding tokens.
///
/// # Errors
/// A table with no row for a token.
fn skip_padding(json: &JsonFiles<'_>, embedding: &mut TokenEmbedding) -> Result<(), LoadError> {
    #[derive(Deserialize)]
    struct Config {
        #[serde(default = "one")]
        pad_token_id: u32,
    }
    fn one() -> u32 {
        1
    }
    let Config { pad_token_id } = json.required(CONFIG)?;
    let (padding, rows) = (pad_token_id as usize, embedding.positions.len());
    if rows < 2 || padding > rows - 2 {
        let reason = format!(
            "max_position_embeddings is {rows} and pad_token_id {padding}; positions begin at \
             pad_token_id + 1, so none is left"
        );
        return Err(json.unsupported(CONFIG, reason));
    }
    embedding.positions.rows.start = padding;
    embedding.counting = Counting::But(pad_token_id);
    Ok(())
}

/// Returns the activation that a key names.
fn activation(json: &JsonFiles<'_>, key: &str, name: &str) -> Result<Activation, LoadError> {
    match name {
        "gelu" => Ok(Activation::Gelu),
        other => Err(refuse(json, key, other, "gelu")),
    }
}
