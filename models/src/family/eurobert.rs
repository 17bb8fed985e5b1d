//! EuroBERT: Llama's layers, whose tokens see the whole row.

use serde::Deserialize;

use super::decoder::Config;
use super::{CONFIG, Family, classifiers, llama};
use crate::architecture::Architecture;
use crate::error::LoadError;
use crate::source::JsonFiles;

pub(super) const FAMILY: Family = Family {
    model_types: &["eurobert"],
    classes: &[
        "EuroBertModel",
        "EuroBertForMaskedLM",
        "EuroBertForSequenceClassification",
        "EuroBertForTokenClassification",
    ],
    describe,
    classifiers: classifiers::DENSE_LATE,
    text: None,
};

fn describe(json: &JsonFiles<'_>) -> Result<Architecture, LoadError> {
    #[derive(Deserialize)]
    struct Own {
        #[serde(default = "small")]
        rms_norm_eps: f32,
    }
    fn small() -> f32 {
        1e-5
    }
    let Own { rms_norm_eps } = json.required(CONFIG)?;
    let mut config: Config = json.required(CONFIG)?;
    config.is_causal.get_or_insert(false);
    config.rms_norm_eps = rms_norm_eps;
    config.describe(json, llama::biases(json)?, |_| None)
}
