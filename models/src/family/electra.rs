//! ELECTRA: BERT whose tables may be narrower than its layers, with a product between.

use serde::Deserialize;

use super::{CONFIG, Family, at_least_one, bert, classifiers};
use crate::architecture::{Architecture, Linear};
use crate::error::LoadError;
use crate::source::JsonFiles;

pub(super) const FAMILY: Family = Family {
    model_types: &["electra"],
    classes: &[],
    describe,
    classifiers: classifiers::DENSE_GELU,
    text: None,
};

/// The keys that BERT has not.
#[derive(Deserialize)]
struct Config {
    #[serde(default = "small")]
    embedding_size: usize,
}

fn small() -> usize {
    128
}

fn describe(json: &JsonFiles<'_>) -> Result<Architecture, LoadError> {
    let config: bert::Config = json.required(CONFIG)?;
    let Config { embedding_size } = json.required(CONFIG)?;
    at_least_one(json, &[("embedding_size", embedding_size)])?;
    let layers = config.layers(json)?;
    let hidden = config.hidden_size;
    let mut embedding = config.embedding(embedding_size);
    if embedding_size != hidden {
        embedding.projection = Some(Linear::new("embeddings_project", embedding_size, hidden));
    }
    Ok(config.encoder(&["electra."], embedding, layers))
}
