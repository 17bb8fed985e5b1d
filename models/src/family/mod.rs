//! Families of models: from config.json to an [`Architecture`].
//!
//! A family is one file with a [`Family`] in the list below: the values of `model_type` that it
//! describes, and a function from the configuration to the description. Nothing else of the crate
//! knows a family; both engines compute any description.
//!
//! # Adding a family
//!
//! 1. Write `family/NAME.rs` with a private `Config` (serde; only the keys that are read, with the
//!    defaults that transformers gives them, in the spellings of older and newer files) and
//!    `pub(super) const FAMILY: Family`, with the values of `model_type` and, where repositories
//!    bring code along, its classes (`auto_map`). Its `classifiers` are one of those in
//!    `family/classifiers.rs`, or a further one there; `None` if it has none. So is `text`, unless
//!    the family makes rows or vectors of texts by rules of its own (`clip`, `static_embedding`).
//! 2. In `describe`, read the `Config` with `json.required(CONFIG)`. Refuse, with [`refuse`],
//!    every key whose value would change the computation to one that is not described: it must
//!    never be computed wrong without a word. [`at_least_one`], [`layer_count`], [`head_size`]
//!    and [`activation`] check what all families have; `rope` reads the keys of rotary positions,
//!    `decoder::layer_types` which layers have windows.
//! 3. Describe the tensors by the names that the checkpoint of the bare encoder has
//!    ([`Linear::new`] is `NAME.weight` and `NAME.bias`), and set [`Architecture::prefixes`] to
//!    what is before them in a checkpoint with a head (`bert.`). Finding the prefix of the file at
//!    hand, old names of norms, element types and shards are the business of `checkpoint`.
//! 4. What a family has otherwise is mostly a matter of rows: positions that begin after the id of
//!    padding are [`skip_padding`], matrices that are stored as one are rows of one tensor
//!    ([`Linear::split`]).
//! 5. Add the file to [`FAMILIES`], its keys to `family/tests.rs`, a model to
//!    `tests/expected/family_models.py`, from which `families.py` beside it makes fixtures with
//!    reference values, and its name to `encoder/family_tests.rs`.
//!
//! Families whose layers have BERT's names take [`bert::Config::layers`], those with Llama's names
//! [`decoder::Config::layer`], with their own embedding.
//!
//! [`Linear::split`]: crate::architecture::Linear::split
//! [`Linear::new`]: crate::architecture::Linear::new

mod bert;
mod classifiers;
mod clip;
mod deberta;
mod decoder;
mod distilbert;
mod electra;
mod eurobert;
mod gemma;
mod gte;
pub(crate) mod images;
mod jina_bert;
mod llama;
mod masked_words;
mod modernbert;
mod mpnet;
mod next_word;
mod nomic_bert;
mod qwen;
mod roberta;
mod rope;
mod static_embedding;
mod towers;
mod xlm_roberta_flash;

use classifiers::Classifiers;
pub(crate) use masked_words::masked_words;
pub(crate) use next_word::next_word;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::architecture::{Activation, Architecture, Counting, Head, TextRows, TokenEmbedding};
use crate::classification::Level;
use crate::error::LoadError;
use crate::source::JsonFiles;

/// File of the configuration.
pub(crate) const CONFIG: &str = "config.json";

/// A family of models.
struct Family {
    /// Values of `model_type` in config.json.
    model_types: &'static [&'static str],
    /// Classes of code that repositories bring along (`auto_map`) whose models are of this family.
    classes: &'static [&'static str],
    /// Reads the configuration and describes the encoder.
    describe: fn(&JsonFiles<'_>) -> Result<Architecture, LoadError>,
    /// Heads of classification, by the names that the family gives their tensors; `None` if none is
    /// computed.
    classifiers: Option<Classifiers>,
    /// Rows and vectors of texts, where the family has rules of its own for them.
    text: Option<DescribeText>,
}

/// Describes the rows and vectors of texts.
type DescribeText = fn(&JsonFiles<'_>, &Architecture) -> Result<OwnText, LoadError>;

/// Rows and vectors of texts by a family's own rules.
pub(crate) struct OwnText {
    /// The head that makes the vector of a text, if modules.json says nothing else.
    pub(crate) head: Head,
    /// Rules by which texts become rows.
    pub(crate) rows: TextRows,
}

/// Every family.
const FAMILIES: &[Family] = &[
    bert::FAMILY,
    roberta::FAMILY,
    distilbert::FAMILY,
    electra::FAMILY,
    mpnet::FAMILY,
    modernbert::FAMILY,
    eurobert::FAMILY,
    qwen::QWEN3,
    qwen::QWEN2,
    llama::LLAMA,
    llama::MISTRAL,
    nomic_bert::FAMILY,
    gte::FAMILY,
    gemma::FAMILY,
    deberta::FAMILY,
    jina_bert::FAMILY,
    xlm_roberta_flash::FAMILY,
    static_embedding::FAMILY,
    clip::CLIP,
    clip::SIGLIP,
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
    let Some(classifiers) = &find(json)?.classifiers else {
        let reason = "classification is not supported by models of this model_type";
        return Err(json.unsupported(CONFIG, reason));
    };
    let describe = match level {
        Level::Text => classifiers.text,
        Level::Token => classifiers.token,
    };
    describe(json, architecture, labels)
}

/// Returns whether heads of classification are computed for a model's family.
///
/// # Errors
/// As [`describe`].
pub(crate) fn has_classifiers(json: &JsonFiles<'_>) -> Result<bool, LoadError> {
    Ok(find(json)?.classifiers.is_some())
}

/// Returns the rules of the model's family for rows and vectors of texts, if it has its own.
///
/// # Errors
/// As [`describe`], and a value that the family does not support.
pub(crate) fn own_text(
    json: &JsonFiles<'_>,
    architecture: &Architecture,
) -> Result<Option<OwnText>, LoadError> {
    let describe = find(json)?.text;
    describe.map(|text| text(json, architecture)).transpose()
}

/// Returns whether a value of `model_type` is that of a family of models of texts.
fn is_of_texts(model_type: &str) -> bool {
    FAMILIES
        .iter()
        .any(|family| family.model_types.contains(&model_type))
}

/// Finds the family of a model.
fn find(json: &JsonFiles<'_>) -> Result<&'static Family, LoadError> {
    #[derive(Deserialize)]
    struct Config {
        model_type: String,
        auto_map: Option<Map<String, Value>>,
    }
    if static_embedding::is_module(json)? {
        return Ok(&static_embedding::FAMILY);
    }
    let config: Config = json.required(CONFIG)?;
    let known = |names: fn(&Family) -> &'static [&'static str], name: &str| {
        let family = FAMILIES.iter().find(|family| names(family).contains(&name));
        family.ok_or_else(|| FAMILIES.iter().flat_map(names).copied().collect::<Vec<_>>())
    };
    match config.auto_map.as_ref().and_then(model_class) {
        // Code of the repository's own may compute anything, whatever the model's type is.
        Some(class) => known(|family| family.classes, class).map_err(|classes| {
            let supported = format!("{} (their code is not run)", classes.join(", "));
            refuse(json, "auto_map", class, &supported)
        }),
        None => known(|family| family.model_types, &config.model_type).map_err(|types| {
            if images::has(&config.model_type) {
                let reason = format!(
                    "model_type `{}` is that of a model of images, whose tasks are \
                     `classify_images` and `embed_images`",
                    config.model_type
                );
                return json.unsupported(CONFIG, reason);
            }
            refuse(json, "model_type", &config.model_type, &types.join(", "))
        }),
    }
}

/// Returns the class of a model that `auto_map` names, without repository and module: that of the
/// bare model, or of one with a head where there is only such.
fn model_class(auto_map: &Map<String, Value>) -> Option<&str> {
    let of_heads = || {
        auto_map
            .iter()
            .find(|(key, _)| key.starts_with("AutoModel"))
    };
    let entry = auto_map.get_key_value("AutoModel").or_else(of_heads);
    let path = entry.and_then(|(_, path)| path.as_str())?;
    path.rsplit('.').next()
}

/// Returns the error of a key of config.json whose value is not supported.
fn refuse(json: &JsonFiles<'_>, key: &str, found: &str, supported: &str) -> LoadError {
    let reason = format!("{key} `{found}` is not supported; supported: {supported}");
    json.unsupported(CONFIG, reason)
}

/// Checks that no size is 0, and none more than any model has: what is computed of a few of them
/// stays a number.
fn at_least_one(json: &JsonFiles<'_>, sizes: &[(&str, usize)]) -> Result<(), LoadError> {
    const MOST: usize = 1 << 28;
    for (key, size) in sizes {
        if *size == 0 {
            return Err(json.unsupported(CONFIG, format!("{key} is 0; it must be at least 1")));
        }
        if *size > MOST {
            return Err(json.unsupported(CONFIG, format!("{key} is {size}; at most {MOST}")));
        }
    }
    Ok(())
}

/// Checks a number of layers; a description with more than any model has would only cost memory.
fn layer_count(json: &JsonFiles<'_>, key: &str, count: usize) -> Result<(), LoadError> {
    const MOST: usize = 1024;
    if count > MOST {
        return Err(json.unsupported(CONFIG, format!("{key} is {count}; at most {MOST}")));
    }
    at_least_one(json, &[(key, count)])
}

/// Most values of a head; the angles of more would only cost memory.
const HEAD_SIZE_MAX: usize = 1 << 16;

/// Returns the size of each of `heads` that together are as wide as `hidden`; both with their keys.
fn head_size(
    json: &JsonFiles<'_>,
    (hidden_key, hidden): (&str, usize),
    (heads_key, heads): (&str, usize),
) -> Result<usize, LoadError> {
    match hidden.checked_rem(heads) {
        Some(0) if hidden / heads <= HEAD_SIZE_MAX => Ok(hidden / heads),
        Some(0) => {
            let size = hidden / heads;
            let reason = format!(
                "{hidden_key} {hidden} in {heads_key} {heads} makes heads of {size} values; at \
                 most {HEAD_SIZE_MAX}"
            );
            Err(json.unsupported(CONFIG, reason))
        }
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
    let Some(table) = &mut embedding.positions else {
        return Ok(());
    };
    let (padding, rows) = (pad_token_id as usize, table.len());
    if rows < 2 || padding > rows - 2 {
        let reason = format!(
            "max_position_embeddings is {rows} and pad_token_id {padding}; positions begin at \
             pad_token_id + 1, so none is left"
        );
        return Err(json.unsupported(CONFIG, reason));
    }
    table.rows.start = padding;
    embedding.counting = Counting::But(pad_token_id);
    Ok(())
}

/// Names of activations, as config.json has them. Those of the GELU by `tanh` differ in how they
/// are computed, not in what.
const ACTIVATIONS: [(&str, Activation); 11] = [
    ("gelu", Activation::Gelu),
    ("gelu_python", Activation::Gelu),
    ("gelu_new", Activation::GeluTanh),
    ("gelu_fast", Activation::GeluTanh),
    ("gelu_pytorch_tanh", Activation::GeluTanh),
    ("gelu_python_tanh", Activation::GeluTanh),
    ("gelu_accurate", Activation::GeluTanh),
    ("quick_gelu", Activation::QuickGelu),
    ("silu", Activation::Silu),
    ("swish", Activation::Silu),
    ("relu", Activation::Relu),
];

/// Returns the activation that a key names.
fn activation(json: &JsonFiles<'_>, key: &str, name: &str) -> Result<Activation, LoadError> {
    match ACTIVATIONS.iter().find(|(known, _)| *known == name) {
        Some((_, activation)) => Ok(*activation),
        None => {
            let known = ACTIVATIONS.map(|(known, _)| known);
            Err(refuse(json, key, name, &known.join(", ")))
        }
    }
}

#[cfg(test)]
mod tests;
