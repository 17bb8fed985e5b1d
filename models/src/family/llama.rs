//! Llama and Mistral as embedders.

use serde::Deserialize;

use super::decoder::{Biases, Config};
use super::{CONFIG, Family, at_least_one, classifiers};
use crate::architecture::Architecture;
use crate::error::LoadError;
use crate::source::JsonFiles;

pub(super) const LLAMA: Family = Family {
    model_types: &["llama"],
    classes: &[],
    describe: describe_llama,
    classifiers: classifiers::SCORE,
    text: None,
};

pub(super) const MISTRAL: Family = Family {
    model_types: &["mistral"],
    classes: &[],
    describe: describe_mistral,
    classifiers: classifiers::SCORE,
    text: None,
};

fn describe_llama(json: &JsonFiles<'_>) -> Result<Architecture, LoadError> {
    let config: Config = json.required(CONFIG)?;
    config.describe(json, biases(json)?, |_| None)
}

/// Returns which products have a bias, as config.json says.
pub(super) fn biases(json: &JsonFiles<'_>) -> Result<Biases, LoadError> {
    #[derive(Deserialize)]
    struct Own {
        #[serde(default)]
        attention_bias: bool,
        #[serde(default)]
        mlp_bias: bool,
    }
    let own: Own = json.required(CONFIG)?;
    Ok(Biases {
        projections: own.attention_bias,
        output: own.attention_bias,
        feed_forward: own.mlp_bias,
    })
}

fn describe_mistral(json: &JsonFiles<'_>) -> Result<Architecture, LoadError> {
    #[derive(Deserialize)]
    struct Own {
        #[serde(default = "window")]
        sliding_window: Option<usize>,
    }
    // A file that does not name the key has a window; one that says `null` has none.
    #[expect(clippy::unnecessary_wraps, reason = "the default of an optional key")]
    fn window() -> Option<usize> {
        Some(4096)
    }
    let config: Config = json.required(CONFIG)?;
    let Own { sliding_window } = json.required(CONFIG)?;
    at_least_one(json, &[("sliding_window", sliding_window.unwrap_or(1))])?;
    config.describe(json, Biases::default(), |_| sliding_window)
}
