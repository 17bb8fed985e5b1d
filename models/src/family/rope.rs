//! The keys of config.json about rotary positions, in the spellings of older and newer files, and
//! the angles that they mean.
//!
//! Older files have `rope_theta`, and `rope_scaling` where a model reaches farther than it was
//! trained for; newer ones have both in `rope_parameters`. Where layers are of several types, these
//! have an entry for each.

use std::f64::consts::PI;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{CONFIG, HEAD_SIZE_MAX, refuse};
use crate::architecture::{Pairs, Rotary};
use crate::error::LoadError;
use crate::source::JsonFiles;

/// The ways to reach farther that are computed.
const TYPES: &str = "default, linear, dynamic, yarn, llama3";

/// The keys, as a file has them.
#[derive(Deserialize)]
pub(super) struct Keys {
    rope_theta: Option<f64>,
    #[serde(default)]
    rope_scaling: Option<Map<String, Value>>,
    #[serde(default)]
    rope_parameters: Option<Map<String, Value>>,
    partial_rotary_factor: Option<f64>,
    max_position_embeddings: usize,
    original_max_position_embeddings: Option<f64>,
}

/// Rotary positions of some layers.
#[derive(Clone, Debug, Deserialize)]
struct Parameters {
    rope_theta: Option<f64>,
    #[serde(alias = "type")]
    rope_type: Option<String>,
    partial_rotary_factor: Option<f64>,
    factor: Option<f64>,
    original_max_position_embeddings: Option<f64>,
    attention_factor: Option<f64>,
    beta_fast: Option<f64>,
    beta_slow: Option<f64>,
    mscale: Option<f64>,
    mscale_all_dim: Option<f64>,
    truncate: Option<bool>,
    low_freq_factor: Option<f64>,
    high_freq_factor: Option<f64>,
}

/// Rotary positions of a model whose layers are all alike. `theta` is the family's default.
pub(super) fn of_all_layers(
    json: &JsonFiles<'_>,
    head_size: usize,
    theta: f64,
) -> Result<Rotary, LoadError> {
    let keys: Keys = json.required(CONFIG)?;
    let scaling = keys.rope_scaling.as_ref().filter(|keys| !keys.is_empty());
    let (key, parameters) = match (scaling, &keys.rope_parameters) {
        (Some(scaling), _) => ("rope_scaling", scaling.clone()),
        (None, Some(parameters)) => ("rope_parameters", parameters.clone()),
        (None, None) => ("rope_parameters", Map::new()),
    };
    if let Some((name, _)) = parameters.iter().find(|(_, value)| value.is_object()) {
        let supported = "one set of parameters for all layers";
        return Err(refuse(json, key, name, supported));
    }
    let theta = keys.rope_theta.unwrap_or(theta);
    rotary(json, &keys, key, parameters, head_size, theta)
}

/// Rotary positions of the layers of one type. `theta` is the family's default, `older` the key of
/// older files and its value; `scaled` says whether `rope_scaling` is also about these layers.
pub(super) fn of_layer_type(
    json: &JsonFiles<'_>,
    layer_type: &str,
    head_size: usize,
    theta: f64,
    scaled: bool,
) -> Result<Rotary, LoadError> {
    let keys: Keys = json.required(CONFIG)?;
    let all = keys.rope_parameters.clone().unwrap_or_default();
    if let Some((name, _)) = all
        .iter()
        .find(|(_, value)| !value.is_object() && !value.is_null())
    {
        let supported = "an entry for each type of layer";
        return Err(refuse(json, "rope_parameters", name, supported));
    }
    let own = all.get(layer_type).and_then(Value::as_object).cloned();
    let mut parameters = own.unwrap_or_default();
    let scaling = keys.rope_scaling.clone().filter(|_| scaled);
    parameters.extend(scaling.into_iter().flatten());
    let key = if scaled {
        "rope_scaling"
    } else {
        "rope_parameters"
    };
    rotary(json, &keys, key, parameters, head_size, theta)
}

/// Returns the usual frequencies of `columns` rotated columns.
pub(super) fn frequencies(theta: f64, columns: usize) -> Vec<f32> {
    motet_kernels::Rotary::frequencies(theta, columns)
}

fn rotary(
    json: &JsonFiles<'_>,
    keys: &Keys,
    key: &str,
    parameters: Map<String, Value>,
    head_size: usize,
    theta: f64,
) -> Result<Rotary, LoadError> {
    let parameters: Parameters = serde_json::from_value(Value::Object(parameters))
        .map_err(|cause| json.unsupported(CONFIG, format!("{key}: {cause}")))?;
    let theta = parameters.rope_theta.unwrap_or(theta);
    if !(theta.is_finite() && theta > 0.0) {
        return Err(refuse(
            json,
            "rope_theta",
            &theta.to_string(),
            "a number above 0",
        ));
    }
    let partial = parameters
        .partial_rotary_factor
        .or(keys.partial_rotary_factor);
    if partial.is_some_and(|partial| partial != 1.0) {
        let found = partial.unwrap_or_default().to_string();
        return Err(refuse(json, "partial_rotary_factor", &found, "1"));
    }
    if head_size > HEAD_SIZE_MAX {
        let reason = format!("heads are of {head_size} values; at most {HEAD_SIZE_MAX}");
        return Err(json.unsupported(CONFIG, reason));
    }
    if head_size == 0 || !head_size.is_multiple_of(2) {
        return Err(refuse(
            json,
            "head_dim",
            &head_size.to_string(),
            "an even number",
        ));
    }
    let required = |name: &str, value: Option<f64>| match value {
        Some(value) if value.is_finite() && value > 0.0 => Ok(value),
        Some(value) => Err(refuse(json, name, &value.to_string(), "a number above 0")),
        None => Err(json.unsupported(CONFIG, format!("{key} has no {name}"))),
    };
    let trained = keys
        .original_max_position_embeddings
        .or(parameters.original_max_position_embeddings)
        .unwrap_or(keys.max_position_embeddings as f64);
    let usual = frequencies(theta, head_size);
    let mut scale = 1.0;
    let frequencies = match parameters.rope_type.as_deref().unwrap_or("default") {
        // The angles of `dynamic` are others only for rows that are longer than the model takes.
        "default" | "dynamic" => usual,
        "linear" => {
            let factor = required("factor", parameters.factor)? as f32;
            usual.into_iter().map(|x| x / factor).collect()
        }
        "llama3" => {
            let factor = required("factor", parameters.factor)?;
            let low = required("low_freq_factor", parameters.low_freq_factor)?;
            let high = required("high_freq_factor", parameters.high_freq_factor)?;
            let slower = |x: f32| llama3(f64::from(x), factor, [low, high], trained) as f32;
            usual.into_iter().map(slower).collect()
        }
        "yarn" => {
            let ratio = keys.max_position_embeddings as f64 / trained;
            let factor = required("factor", parameters.factor.or(Some(ratio)))?;
            scale = yarn_scale(&parameters, factor) as f32;
            yarn(&parameters, factor, theta, head_size, trained)
        }
        other => return Err(refuse(json, &format!("{key}.rope_type"), other, TYPES)),
    };
    Ok(Rotary {
        pairs: Pairs::Halves,
        frequencies,
        scale,
    })
}

/// Returns the frequency of Llama 3: waves that are long in the positions of the training are
/// stretched, short ones are not, and between the share grows with the length.
fn llama3(frequency: f64, factor: f64, [low, high]: [f64; 2], trained: f64) -> f64 {
    let turns = trained * frequency / (2.0 * PI);
    let kept = ((turns - low) / (high - low)).clamp(0.0, 1.0);
    frequency * (kept + (1.0 - kept) / factor)
}

/// Returns the frequencies of YaRN: those of pairs that turn often within the positions of the
/// training are kept, those that turn seldom are divided by `factor`, and between the share changes
/// with the number of the pair.
fn yarn(
    parameters: &Parameters,
    factor: f64,
    theta: f64,
    columns: usize,
    trained: f64,
) -> Vec<f32> {
    // A value of 0 is as good as none.
    let given = |value: Option<f64>, default| value.filter(|x| *x != 0.0).unwrap_or(default);
    let size = columns as f64;
    let pair_of = |turns: f64| size * (trained / (turns * 2.0 * PI)).ln() / (2.0 * theta.ln());
    let (mut low, mut high) = (
        pair_of(given(parameters.beta_fast, 32.0)),
        pair_of(given(parameters.beta_slow, 1.0)),
    );
    if parameters.truncate.unwrap_or(true) {
        (low, high) = (low.floor(), high.ceil());
    }
    (low, high) = (low.max(0.0), high.min(size - 1.0));
    if low == high {
        high += 0.001;
    }
    let usual = frequencies(theta, columns).into_iter().enumerate();
    let stretched = usual.map(|(pair, frequency)| {
        let share = ((pair as f64 - low) / (high - low)).clamp(0.0, 1.0);
        let frequency = f64::from(frequency);
        (frequency / factor * share + frequency * (1.0 - share)) as f32
    });
    stretched.collect()
}

/// Returns the factor of the rotated values of YaRN.
fn yarn_scale(parameters: &Parameters, factor: f64) -> f64 {
    let by = |scale: f64| {
        if factor <= 1.0 {
            1.0
        } else {
            0.1 * scale * factor.ln() + 1.0
        }
    };
    let given = |value: Option<f64>| value.filter(|x| *x != 0.0);
    parameters.attention_factor.unwrap_or_else(|| {
        match (given(parameters.mscale), given(parameters.mscale_all_dim)) {
            (Some(scale), Some(of_all)) => by(scale) / by(of_all),
            _ => by(1.0),
        }
    })
}
