//! The settings of a Pooling module.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::modules::check_size;
use crate::architecture::{Pooling, SparsePooling};
use crate::error::LoadError;
use crate::source::JsonFiles;

/// Flags of older files, in the order in which what they choose is joined.
const FLAGS: [(&str, Pooling); 6] = [
    ("pooling_mode_cls_token", Pooling::Cls),
    ("pooling_mode_max_tokens", Pooling::Max),
    ("pooling_mode_mean_tokens", Pooling::Mean),
    ("pooling_mode_mean_sqrt_len_tokens", Pooling::MeanSqrtLen),
    ("pooling_mode_weightedmean_tokens", Pooling::WeightedMean),
    ("pooling_mode_lasttoken", Pooling::LastToken),
];

/// Settings of a Pooling module.
#[derive(Debug)]
pub(super) struct PoolingConfig {
    pub(super) poolings: Vec<Pooling>,
    /// `false` if the tokens of a prompt are left out.
    pub(super) pools_prompt: bool,
}

/// Reads either spelling: one flag `pooling_mode_*` for each mode, or newer `pooling_mode` with a
/// name or a list of names, which wins.
pub(super) fn read(
    json: &JsonFiles<'_>,
    file: &str,
    hidden: usize,
) -> Result<PoolingConfig, LoadError> {
    let keys: Map<String, Value> = json.required(file)?;
    for key in ["word_embedding_dimension", "embedding_dimension"] {
        if let Some(size) = keys.get(key).and_then(Value::as_u64) {
            check_size(json, file, key, size as usize, hidden)?;
        }
    }
    let poolings = match keys.get("pooling_mode") {
        Some(modes) => named(json, file, modes)?,
        None => flagged(json, file, &keys)?,
    };
    Ok(PoolingConfig {
        poolings,
        pools_prompt: keys.get("include_prompt") != Some(&Value::Bool(false)),
    })
}

fn named(json: &JsonFiles<'_>, file: &str, modes: &Value) -> Result<Vec<Pooling>, LoadError> {
    let one = |mode: &Value| {
        let known = Pooling::NAMES.iter();
        let mut known = known.filter(|(name, _)| mode.as_str() == Some(name));
        let pooling = known.next().map(|(_, pooling)| *pooling);
        pooling.ok_or_else(|| {
            let known = Pooling::NAMES.map(|(name, _)| name).join(", ");
            let reason = format!("pooling_mode {mode} is not supported; supported: {known}");
            json.unsupported(file, reason)
        })
    };
    match modes {
        Value::Array(modes) if modes.is_empty() => {
            Err(json.unsupported(file, "pooling_mode is an empty list"))
        }
        Value::Array(modes) => modes.iter().map(one).collect(),
        mode => Ok(vec![one(mode)?]),
    }
}

/// Returns the poolings whose flags are set; the mean if none is, as sentence-transformers takes
/// it.
fn flagged(
    json: &JsonFiles<'_>,
    file: &str,
    keys: &Map<String, Value>,
) -> Result<Vec<Pooling>, LoadError> {
    let set = |key: &str| keys.get(key) == Some(&Value::Bool(true));
    let is_known = |key: &str| FLAGS.iter().any(|(flag, _)| *flag == key);
    let mut flags = keys.keys().filter(|key| key.starts_with("pooling_mode_"));
    if let Some(unknown) = flags.find(|key| !is_known(key) && set(key)) {
        let known = FLAGS.map(|(flag, _)| flag).join(", ");
        let reason = format!("{unknown} is not supported; supported: {known}");
        return Err(json.unsupported(file, reason));
    }
    let chosen = FLAGS.iter().filter(|(flag, _)| set(flag));
    let chosen: Vec<Pooling> = chosen.map(|(_, pooling)| *pooling).collect();
    Ok(match chosen[..] {
        [] => vec![Pooling::Mean],
        _ => chosen,
    })
}

/// Reads how vectors over the vocabulary are pooled.
pub(super) fn read_sparse(json: &JsonFiles<'_>, file: &str) -> Result<SparsePooling, LoadError> {
    #[derive(Deserialize)]
    struct Config {
        pooling_strategy: Option<String>,
        activation_function: Option<String>,
    }
    let config: Config = json.required(file)?;
    let refuse = |key: &str, found: &str, supported: &str| {
        let reason = format!("{key} `{found}` is not supported; supported: {supported}");
        json.unsupported(file, reason)
    };
    Ok(SparsePooling {
        sum: match config.pooling_strategy.as_deref() {
            None | Some("max") => false,
            Some("sum") => true,
            Some(other) => return Err(refuse("pooling_strategy", other, "max, sum")),
        },
        log_twice: match config.activation_function.as_deref() {
            None | Some("relu") => false,
            Some("log1p_relu") => true,
            Some(other) => return Err(refuse("activation_function", other, "relu, log1p_relu")),
        },
    })
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    fn read_text(text: &'static str) -> Result<PoolingConfig, String> {
        let model = "file:/model".parse().unwrap();
        let json = JsonFiles {
            model: &model,
            shapes: &|| Ok(crate::source::Shapes::new()),
            read: &|_| Ok(Some(Cow::Borrowed(text.as_bytes()))),
        };
        read(&json, "1_Pooling/config.json", 8).map_err(|error| error.to_string())
    }

    #[test]
    fn both_spellings_choose_poolings_in_their_order() {
        use Pooling::*;
        let check = |text: &'static str, expected: &[Pooling]| {
            let found = read_text(text).unwrap();
            assert_eq!(found.poolings, expected, "{text}");
            assert!(found.pools_prompt);
        };
        check("{}", &[Mean]);
        check(
            r#"{"pooling_mode_cls_token": false, "pooling_mode_mean_tokens": false}"#,
            &[Mean],
        );
        check(r#"{"pooling_mode_cls_token": true}"#, &[Cls]);
        check(
            r#"{"pooling_mode_lasttoken": true, "pooling_mode_max_tokens": true}"#,
            &[Max, LastToken],
        );
        check(
            r#"{"pooling_mode_weightedmean_tokens": true, "pooling_mode_mean_sqrt_len_tokens": true,
                "pooling_mode_mean_tokens": true, "word_embedding_dimension": 8}"#,
            &[Mean, MeanSqrtLen, WeightedMean],
        );
        for (name, pooling) in Pooling::NAMES {
            let text = format!(r#"{{"pooling_mode": "{name}", "embedding_dimension": 8}}"#);
            check(text.leak(), &[pooling]);
        }
        check(
            r#"{"pooling_mode": ["max", "cls", "max"]}"#,
            &[Max, Cls, Max],
        );
        check(
            r#"{"pooling_mode": ["lasttoken"], "pooling_mode_cls_token": true}"#,
            &[LastToken],
        );
        let left_out = r#"{"pooling_mode": "mean", "include_prompt": false}"#;
        assert!(!read_text(left_out).unwrap().pools_prompt);
    }

    #[test]
    fn what_is_not_known_is_refused_with_the_key() {
        let check = |text: &'static str, expected: &str| {
            let error = read_text(text).unwrap_err();
            assert!(error.contains("1_Pooling/config.json: "), "{error}");
            assert!(error.contains(expected), "{error}");
        };
        check(
            r#"{"pooling_mode": "median"}"#,
            "pooling_mode \"median\" is not supported; supported: cls, max, mean, \
             mean_sqrt_len_tokens, weightedmean, lasttoken",
        );
        check(
            r#"{"pooling_mode": ["cls", 7]}"#,
            "pooling_mode 7 is not supported",
        );
        check(r#"{"pooling_mode": []}"#, "pooling_mode is an empty list");
        check(
            r#"{"pooling_mode_median": true}"#,
            "pooling_mode_median is not supported; supported: pooling_mode_cls_token",
        );
        check(
            r#"{"pooling_mode": "cls", "embedding_dimension": 9}"#,
            "embedding_dimension is 9, but the vectors before it have 8 values",
        );
    }
}
