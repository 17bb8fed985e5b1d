//! RoBERTa, and XLM-RoBERTa and CamemBERT, which are the same with other words: BERT whose
//! positions are counted from the one after the padding token's id.

use super::{CONFIG, Family, bert, classifiers, skip_padding};
use crate::architecture::Architecture;
use crate::error::LoadError;
use crate::source::JsonFiles;

pub(super) const FAMILY: Family = Family {
    model_types: &["roberta", "xlm-roberta", "camembert"],
    classes: &[],
    describe,
    classifiers: classifiers::DENSE_TANH,
    text: None,
};

fn describe(json: &JsonFiles<'_>) -> Result<Architecture, LoadError> {
    let config: bert::Config = json.required(CONFIG)?;
    let layers = config.layers(json)?;
    let mut embedding = config.embedding(config.hidden_size);
    skip_padding(json, &mut embedding)?;
    Ok(config.encoder(&["roberta."], embedding, layers))
}
