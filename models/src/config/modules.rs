//! The modules of a sentence encoder in the order of modules.json, each with the settings in its
//! own folder.

use serde::Deserialize;

use super::chat::LogitScore;
use super::pooling::{self, PoolingConfig};
use super::token_vectors::Mask;
use crate::architecture::{
    Head, HeadActivation, HeadModule, Linear, Norm, Readout, Scope, SparsePooling,
};
use crate::error::LoadError;
use crate::source::JsonFiles;

const MODULES: &str = "modules.json";

/// Class of the mask of token vectors.
const MASK: &str = "MultiVectorMask";
/// Class of the score by the logits of words.
const LOGIT_SCORE: &str = "LogitScore";

/// Classes of the module that makes vectors of tokens, or of texts by rules of its own.
const ENCODERS: [&str; 4] = [
    "Transformer",
    "MLMTransformer",
    "StaticEmbedding",
    "CLIPModel",
];

/// The modules that are computed.
const SUPPORTED: &str = "Transformer, StaticEmbedding, CLIPModel, Pooling, Dense, LayerNorm, \
                         Normalize, Dropout, SpladePooling, MultiVectorMask, LogitScore";

/// The head that modules.json describes.
pub(super) struct Modules {
    pub(super) head: Head,
    /// `true` with a pooling module: the files say that the model gives vectors.
    pub(super) has_pooling: bool,
    /// Pooling to sparse vectors, if the files say that the model gives these.
    pub(super) sparse: Option<SparsePooling>,
    /// `false` if the tokens of a prompt are left out of pooling.
    pub(super) pools_prompt: bool,
}

/// Vectors that a module reads and writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Vectors {
    /// The vector of a text.
    OfText,
    /// The vectors of its tokens.
    OfTokens,
}

impl Vectors {
    /// Returns the name that sentence-transformers gives them.
    fn name(self) -> &'static str {
        match self {
            Self::OfText => "sentence_embedding",
            Self::OfTokens => "token_embeddings",
        }
    }
}

#[derive(Deserialize)]
struct ModuleEntry {
    path: String,
    r#type: String,
}

impl ModuleEntry {
    /// Returns the name of the module's class.
    fn class(&self) -> &str {
        self.r#type.rsplit('.').next().unwrap_or_default()
    }

    fn config(&self) -> String {
        format!("{}/config.json", self.path)
    }
}

#[derive(Deserialize)]
struct DenseConfig {
    in_features: usize,
    out_features: usize,
    bias: Option<bool>,
    activation_function: Option<String>,
    use_residual: Option<bool>,
}

#[derive(Deserialize)]
struct LayerNormConfig {
    dimension: usize,
}

/// Names of what a module reads and writes.
#[derive(Default, Deserialize)]
struct Names {
    module_input_name: Option<String>,
    module_output_name: Option<String>,
}

/// Variance that torch's LayerNorm adds if nothing else is said; its module says nothing.
const LAYER_NORM_EPS: f32 = 1e-5;

/// Returns the folder of the Transformer module, empty if it is the model's own.
///
/// # Errors
/// A modules.json that does not parse, or a folder outside of the model's.
pub(crate) fn transformer_folder(json: &JsonFiles<'_>) -> Result<String, LoadError> {
    let mut entries = entries(json)?.into_iter();
    let is_transformer = |entry: &ModuleEntry| ENCODERS.contains(&entry.class());
    let transformer = entries.find(is_transformer);
    Ok(transformer.map(|entry| entry.path).unwrap_or_default())
}

/// Returns the mask of token vectors, if there is a module that is one.
///
/// # Errors
/// A mask whose settings are not known.
pub(super) fn mask(json: &JsonFiles<'_>) -> Result<Option<Mask>, LoadError> {
    let mut entries = entries(json)?.into_iter();
    let mask = entries.find(|entry| entry.class() == MASK);
    mask.map(|entry| Mask::read(json, &entry.config()))
        .transpose()
}

/// Returns the tokens whose logits make a score, if there is a module that says so, for a
/// vocabulary of so many tokens.
///
/// # Errors
/// A module whose settings are not known.
pub(super) fn logit_score(
    json: &JsonFiles<'_>,
    vocabulary: usize,
) -> Result<Option<LogitScore>, LoadError> {
    let mut entries = entries(json)?.into_iter();
    let module = entries.find(|entry| entry.class() == LOGIT_SCORE);
    module
        .map(|entry| LogitScore::read(json, &entry.config(), vocabulary))
        .transpose()
}

/// Returns whether the files say which modules the model has.
pub(super) fn are_there(json: &JsonFiles<'_>) -> Result<bool, LoadError> {
    Ok((json.read)(MODULES)?.is_some())
}

/// Reads modules.json. Paths without a slash at their end lie in the model's folder.
fn entries(json: &JsonFiles<'_>) -> Result<Vec<ModuleEntry>, LoadError> {
    let mut entries: Vec<ModuleEntry> = json.optional(MODULES)?.unwrap_or_default();
    for entry in &mut entries {
        let path = entry.path.trim_end_matches('/');
        let leaves = |part: &str| part == ".." || part.contains(['\\', ':']);
        if path.starts_with('/') || path.split('/').any(leaves) {
            let reason = format!("path `{path}` leaves the model's folder");
            return Err(json.unsupported(MODULES, reason));
        }
        let path = path.strip_prefix("./").unwrap_or(path);
        entry.path = if path == "." { "" } else { path }.to_owned();
    }
    Ok(entries)
}

/// Reads the modules of an encoder with vectors of `hidden` values. A directory without
/// modules.json is a plain transformer: mean pooling, not normalised, as sentence-transformers
/// takes it; or `own_head` for a family that has one.
///
/// # Errors
/// A module that is not computed, or not where it is.
pub(super) fn read(
    json: &JsonFiles<'_>,
    hidden: usize,
    vectors: Vectors,
    own_head: Option<Head>,
) -> Result<Modules, LoadError> {
    let entries = entries(json)?;
    let has_own = own_head.is_some();
    let mut modules = Modules {
        head: match (vectors, own_head) {
            // Modules say whether vectors are scaled to length 1.
            (Vectors::OfText, Some(head)) if !entries.is_empty() => head.normalized(false),
            (Vectors::OfText, Some(head)) => head,
            (Vectors::OfText, None) => Head::pooled(crate::Pooling::Mean),
            (Vectors::OfTokens, _) => Head::tokens(),
        },
        has_pooling: has_own,
        sparse: None,
        pools_prompt: true,
    };
    for (number, entry) in entries.iter().enumerate() {
        match entry.class() {
            "Transformer" | "MLMTransformer" if number == 0 => {}
            "StaticEmbedding" | "CLIPModel" if number == 0 && has_own => {}
            "SpladePooling" if number == 1 && vectors == Vectors::OfText => {
                modules.sparse = Some(pooling::read_sparse(json, &entry.config())?);
            }
            "Dropout" => {}
            // Without vectors: its logits are those of the Transformer.
            LOGIT_SCORE if number == 1 && vectors == Vectors::OfText => {}
            MASK if vectors == Vectors::OfTokens => {}
            "Pooling" | "SpladePooling" if vectors == Vectors::OfTokens => {
                let reason = format!(
                    "module `{}` makes one vector of those of tokens, which the other files say \
                     that the model gives",
                    entry.r#type
                );
                return Err(json.unsupported(MODULES, reason));
            }
            "Pooling" if !modules.has_pooling && modules.head.modules.is_empty() => {
                let PoolingConfig {
                    poolings,
                    pools_prompt,
                } = pooling::read(json, &entry.config(), hidden)?;
                modules.head.readout = Readout::Pooled(poolings);
                modules.pools_prompt = pools_prompt;
                modules.has_pooling = true;
            }
            "Dense" => {
                let dense = dense(json, entry, modules.head.size(hidden), vectors)?;
                modules.head.modules.push(dense);
            }
            "LayerNorm" => {
                let norm = layer_norm(json, entry, modules.head.size(hidden))?;
                modules.head.modules.push(norm);
            }
            "Normalize" => {
                check_names(json, &entry.config(), vectors)?;
                modules.head.modules.push(HeadModule::UnitLength);
            }
            "Transformer" | "Pooling" => {
                let reason = format!(
                    "module `{}` is number {number}; supported: one Transformer, at most one \
                     Pooling, then the others",
                    entry.r#type
                );
                return Err(json.unsupported(MODULES, reason));
            }
            _ => {
                let reason = format!(
                    "module `{}` is not supported; supported: {SUPPORTED}",
                    entry.r#type
                );
                return Err(json.unsupported(MODULES, reason));
            }
        }
    }
    Ok(modules)
}

fn dense(
    json: &JsonFiles<'_>,
    entry: &ModuleEntry,
    size: usize,
    vectors: Vectors,
) -> Result<HeadModule, LoadError> {
    let file = entry.config();
    let config: DenseConfig = json.required(&file)?;
    check_names(json, &file, vectors)?;
    check_size(json, &file, "in_features", config.in_features, size)?;
    let (inputs, outputs) = (config.in_features, config.out_features);
    if outputs == 0 {
        return Err(json.unsupported(&file, "out_features is 0; it must be at least 1"));
    }
    let product = |name: &str| {
        let scope = Scope::Folder(entry.path.clone());
        Linear::new(name, inputs, outputs).in_scope(scope)
    };
    let linear = match config.bias {
        Some(false) => product("linear").without_bias(),
        _ => product("linear"),
    };
    let activation = match &config.activation_function {
        None => HeadActivation::Tanh,
        Some(class) => activation(json, &file, class)?,
    };
    Ok(match config.use_residual {
        Some(true) => HeadModule::Residual {
            linear,
            activation,
            skip: (inputs != outputs).then(|| product("residual").without_bias()),
        },
        _ => HeadModule::Dense { linear, activation },
    })
}

fn layer_norm(
    json: &JsonFiles<'_>,
    entry: &ModuleEntry,
    size: usize,
) -> Result<HeadModule, LoadError> {
    let file = entry.config();
    let LayerNormConfig { dimension } = json.required(&file)?;
    check_size(json, &file, "dimension", dimension, size)?;
    let norm = Norm::layer("norm", dimension, LAYER_NORM_EPS);
    Ok(HeadModule::Norm(
        norm.in_scope(Scope::Folder(entry.path.clone())),
    ))
}

/// Returns a function by the name of its class in torch.
fn activation(json: &JsonFiles<'_>, file: &str, class: &str) -> Result<HeadActivation, LoadError> {
    const KNOWN: [(&str, HeadActivation); 6] = [
        ("Identity", HeadActivation::Identity),
        ("Tanh", HeadActivation::Tanh),
        ("ReLU", HeadActivation::Relu),
        ("GELU", HeadActivation::Gelu),
        ("Sigmoid", HeadActivation::Sigmoid),
        ("SiLU", HeadActivation::Silu),
    ];
    let name = class.strip_prefix("torch.");
    let name = name.and_then(|path| path.rsplit('.').next());
    let known = KNOWN.iter().find(|(known, _)| Some(*known) == name);
    known.map(|(_, activation)| *activation).ok_or_else(|| {
        let known = KNOWN.map(|(name, _)| format!("torch.nn.{name}")).join(", ");
        let reason = format!("activation_function `{class}` is not supported; supported: {known}");
        json.unsupported(file, reason)
    })
}

/// Checks that a module has the size of the vectors that reach it.
pub(super) fn check_size(
    json: &JsonFiles<'_>,
    file: &str,
    key: &str,
    found: usize,
    size: usize,
) -> Result<(), LoadError> {
    if found == size {
        return Ok(());
    }
    let reason = format!("{key} is {found}, but the vectors before it have {size} values");
    Err(json.unsupported(file, reason))
}

/// Checks that a module reads and writes these vectors; it may have no file.
fn check_names(json: &JsonFiles<'_>, file: &str, vectors: Vectors) -> Result<(), LoadError> {
    let names: Names = json.optional(file)?.unwrap_or_default();
    let keys = [
        ("module_input_name", names.module_input_name),
        ("module_output_name", names.module_output_name),
    ];
    for (key, name) in keys {
        let supported = vectors.name();
        if let Some(name) = name.filter(|name| name != supported) {
            let reason = format!("{key} `{name}` is not supported; supported: {supported}");
            return Err(json.unsupported(file, reason));
        }
    }
    Ok(())
}
