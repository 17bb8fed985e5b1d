//! Static embeddings: a vector for each token, whatever stands beside it, and the mean of a text's.
//! Models of model2vec, and the module StaticEmbedding of sentence-transformers.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{CONFIG, Family, OwnText, at_least_one, refuse};
use crate::architecture::{
    Architecture, Embedding, Head, Pooling, Scope, SharedRows, TensorRef, TextRows, TokenEmbedding,
};
use crate::error::LoadError;
use crate::names;
use crate::source::{JsonFiles, Shapes, TOKENIZER};

pub(super) const FAMILY: Family = Family {
    model_types: &[MODEL2VEC],
    classes: &[],
    describe,
    classifiers: None,
    text: Some(text),
};

const MODEL2VEC: &str = "model2vec";
/// Class of the module of sentence-transformers.
pub(super) const MODULE: &str = "StaticEmbedding";
/// Names of the table, as model2vec and as the module have it.
const TABLES: [&str; 2] = ["embeddings", "embedding.weight"];
/// Most tokens of a row where the files have no limit.
const MAX_TOKENS: usize = 32_768;
/// Most tokens of a row of model2vec where its file does not say.
const MODEL2VEC_TOKENS: usize = 512;

/// Returns whether the first module of modules.json is one of static embeddings.
///
/// # Errors
/// A file that does not parse.
pub(super) fn is_module(json: &JsonFiles<'_>) -> Result<bool, LoadError> {
    #[derive(Deserialize)]
    struct Module {
        r#type: String,
    }
    let modules: Vec<Module> = json.optional("modules.json")?.unwrap_or_default();
    let first = modules.first().and_then(|it| it.r#type.rsplit('.').next());
    Ok(first == Some(MODULE))
}

/// Returns the keys of config.json, if it is one of model2vec.
fn model2vec(json: &JsonFiles<'_>) -> Result<Option<Map<String, Value>>, LoadError> {
    let keys: Option<Map<String, Value>> = json.optional(CONFIG)?;
    Ok(keys.filter(|keys| keys.get("model_type") == Some(&MODEL2VEC.into())))
}

fn describe(json: &JsonFiles<'_>) -> Result<Architecture, LoadError> {
    let shapes = json.shapes()?;
    let words = table(json, &shapes)?;
    let of_tokens = |name: &str| {
        let count = *shapes.get(name)?.first()?;
        Some(TensorRef::new(name, &[count]).in_scope(Scope::Numbers))
    };
    let (rows, factors) = (of_tokens("mapping"), of_tokens("weights"));
    let has_shared = rows.is_some() || factors.is_some();
    Ok(Architecture {
        prefixes: &[],
        hidden: words.row_size(),
        max_tokens: limit(json)?,
        embedding: Embedding::Tokens(TokenEmbedding {
            shared: has_shared.then_some(SharedRows { rows, factors }),
            ..TokenEmbedding::of_words(words)
        }),
        position_bias: None,
        relative: None,
        convolution: None,
        layers: Vec::new(),
        final_norm: None,
    })
}

/// Returns the table of vectors.
fn table(json: &JsonFiles<'_>, shapes: &Shapes) -> Result<TensorRef, LoadError> {
    let mut tables = TABLES.into_iter();
    let found = tables.find_map(|name| Some((name, shapes.get(name)?)));
    let Some((name, shape)) = found else {
        let [name, _] = TABLES;
        let nearest = names::nearest(name, shapes.keys().map(String::as_str), 3);
        return Err(LoadError::MissingTensor {
            model: json.model.clone(),
            file: "model.safetensors".to_owned(),
            tensor: TABLES.join(" or "),
            nearest: nearest.into_iter().map(str::to_owned).collect(),
        });
    };
    let [rows, size] = shape[..] else {
        let reason = format!("{name} has the shape {shape:?}; it must be a table, [tokens, size]");
        return Err(json.unsupported("model.safetensors", reason));
    };
    at_least_one(json, &[("tokens", rows), ("size", size)])?;
    Ok(TensorRef::new(name, shape).in_scope(Scope::Numbers))
}

/// Returns the most tokens of a row: those of model2vec, or those as far as which the tokenizer
/// that the module has cuts texts.
fn limit(json: &JsonFiles<'_>) -> Result<usize, LoadError> {
    let limit = match model2vec(json)? {
        Some(keys) => match keys.get("max_length") {
            None => Some(MODEL2VEC_TOKENS),
            Some(Value::Null) => None,
            Some(limit) => {
                let number = limit.as_u64().filter(|limit| *limit > 0);
                let refused = || refuse(json, "max_length", &limit.to_string(), "1 and more, null");
                Some(number.ok_or_else(refused)? as usize)
            }
        },
        None => {
            #[derive(Default, Deserialize)]
            struct Tokenizer {
                truncation: Option<Truncation>,
            }
            #[derive(Deserialize)]
            struct Truncation {
                max_length: usize,
            }
            let Tokenizer { truncation } = json.optional(TOKENIZER)?.unwrap_or_default();
            truncation.map(|truncation| truncation.max_length)
        }
    };
    Ok(limit.unwrap_or(MAX_TOKENS).clamp(1, MAX_TOKENS))
}

fn text(json: &JsonFiles<'_>, _: &Architecture) -> Result<OwnText, LoadError> {
    let keys = model2vec(json)?;
    let head = Head::pooled(Pooling::Mean);
    Ok(match keys {
        Some(keys) => OwnText {
            head: head.normalized(keys.get("normalize") == Some(&Value::Bool(true))),
            rows: TextRows::Known,
        },
        None => OwnText {
            head,
            rows: TextRows::Bare,
        },
    })
}
