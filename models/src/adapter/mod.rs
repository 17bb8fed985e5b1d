//! Adapters: low-rank changes of a model's weights (LoRA), merged into these as they are read.
//!
//! * `peft`: a folder as the library PEFT saves it, with adapter_config.json beside its weights.
//! * [`OwnAdapter`]: one of several that the weights of a model hold themselves, as torch saves
//!   parametrized tensors; config.json names them (`lora_adaptations`).
//!
//! `checkpoint` finds the tensors of an adapter, and adds their products to those of the model.

mod peft;

use motet_config::Fingerprint;
use serde::Deserialize;

use crate::error::LoadError;
use crate::family::CONFIG;
use crate::source::{JsonFiles, Source};

pub(crate) use peft::{Kind as PeftKind, PeftAdapter, SETTINGS};

/// An adapter, as a configuration names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum AdapterSource {
    /// The name of one that comes with the model: in its weights, or in a folder of its own inside
    /// the model's.
    Named(String),
    /// A folder of its own, elsewhere.
    Folder(Source),
}

/// An adapter whose settings were read.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Adapter {
    /// One of those in the weights of the model.
    Own(OwnAdapter),
    /// One in a folder.
    Peft(PeftAdapter),
}

/// Identity of an adapter among those of a model with the same files.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum AdapterId {
    /// It comes with the model.
    Named(String),
    /// The files of its folder.
    Files(Fingerprint),
}

/// Returns the adapter of this name that comes with a model; `None` if there is none.
///
/// # Errors
/// Settings that do not parse or are not supported.
pub(crate) fn find(json: &JsonFiles<'_>, name: &str) -> Result<Option<Adapter>, LoadError> {
    if let Some(own) = OwnAdapter::find(json, name)? {
        return Ok(Some(Adapter::Own(own)));
    }
    // A path would leave the model's folder.
    if name.contains(['/', '\\', ':']) || name.starts_with('.') {
        return Ok(None);
    }
    let adapter = PeftAdapter::read(json, &format!("{name}/"))?;
    Ok(adapter.map(Adapter::Peft))
}

/// One of several adapters in the weights of a model.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct OwnAdapter {
    /// Its number among them.
    pub(crate) number: usize,
    /// The number of adapters.
    pub(crate) count: usize,
    /// Rows of the one factor and columns of the other.
    pub(crate) rank: usize,
    /// Factor of the product.
    pub(crate) scale: f32,
}

/// The keys of config.json about adapters in the weights.
#[derive(Deserialize)]
struct OwnKeys {
    lora_adaptations: Option<Vec<String>>,
    #[serde(default = "four")]
    lora_rank: usize,
    #[serde(default = "one")]
    lora_alpha: f32,
}

fn four() -> usize {
    4
}

fn one() -> f32 {
    1.0
}

impl OwnAdapter {
    /// Returns the names of the adapters in the weights of a model.
    ///
    /// # Errors
    /// A config.json that does not parse.
    pub(crate) fn names(json: &JsonFiles<'_>) -> Result<Vec<String>, LoadError> {
        let keys: Option<OwnKeys> = json.optional(CONFIG)?;
        Ok(keys.and_then(|it| it.lora_adaptations).unwrap_or_default())
    }

    /// Returns the adapter of this name in the weights of a model; `None` if there is none.
    ///
    /// # Errors
    /// A config.json that does not parse, or a rank of 0.
    pub(crate) fn find(json: &JsonFiles<'_>, name: &str) -> Result<Option<Self>, LoadError> {
        let Some(keys): Option<OwnKeys> = json.optional(CONFIG)? else {
            return Ok(None);
        };
        let names = keys.lora_adaptations.unwrap_or_default();
        let Some(number) = names.iter().position(|known| known == name) else {
            return Ok(None);
        };
        if keys.lora_rank == 0 {
            return Err(json.unsupported(CONFIG, "lora_rank is 0; it must be at least 1"));
        }
        Ok(Some(Self {
            number,
            count: names.len(),
            rank: keys.lora_rank,
            scale: keys.lora_alpha / keys.lora_rank as f32,
        }))
    }
}
