//! Errors of loading a model.

use crate::source::Source;

/// A model that cannot be loaded. Every message is one line that says which model, which file, and
/// what is wrong in it.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The directory of a `file:` source does not exist.
    #[error("model {model}: directory {} does not exist", path.display())]
    DirectoryMissing {
        /// The model as the user named it.
        model: Source,
        /// The directory looked for.
        path: std::path::PathBuf,
    },
    /// The files of a repository of a hub are not on this machine.
    #[error("model {model}: its files are not on this machine; `motet pull {model}` fetches them")]
    NotFetched {
        /// The model as the user named it.
        model: Source,
    },
    /// The path of a `file:` source is a file, not a directory.
    #[error(
        "model {model}: {} is not a directory; give the directory that holds config.json and \
         model.safetensors",
        path.display()
    )]
    NotADirectory {
        /// The model as the user named it.
        model: Source,
        /// The path looked at.
        path: std::path::PathBuf,
    },
    /// A file of the layout is missing.
    #[error(
        "model {model}: file {file} is missing; a model directory holds config.json, \
         model.safetensors and tokenizer.json"
    )]
    FileMissing {
        /// The model as the user named it.
        model: Source,
        /// The file inside the model directory.
        file: String,
    },
    /// A file is there but cannot be read.
    #[error("model {model}: cannot read {file}: {cause}")]
    Unreadable {
        /// The model as the user named it.
        model: Source,
        /// The file inside the model directory.
        file: String,
        /// Error of the operating system.
        cause: motet_config::files::FileError,
    },
    /// A JSON file does not parse or lacks a key.
    #[error("model {model}: {file}: {cause}")]
    BadJson {
        /// The model as the user named it.
        model: Source,
        /// The file inside the model directory.
        file: String,
        /// Message, with line and column.
        cause: serde_json::Error,
    },
    /// The configuration asks for something that is not implemented, or contradicts itself.
    #[error("model {model}: {file}: {reason}")]
    Unsupported {
        /// The model as the user named it.
        model: Source,
        /// The file inside the model directory.
        file: String,
        /// Unsupported value, and the supported ones.
        reason: String,
    },
    /// Weights are there only in the form of Python's pickle.
    #[error(
        "model {model}: {file} is a Python pickle, which is not read, and there is no \
         model.safetensors beside it; convert it in its folder with `{CONVERT}`"
    )]
    Pickled {
        /// The model as the user named it.
        model: Source,
        /// The file inside the model directory.
        file: String,
    },
    /// A file of weights that the index names does not exist.
    #[error("model {model}: file {file} is missing, which model.safetensors.index.json names")]
    ShardMissing {
        /// The model as the user named it.
        model: Source,
        /// The file inside the model directory.
        file: String,
    },
    /// A file is the pointer that git LFS leaves in the place of a large file.
    #[error(
        "model {model}: {file} is a pointer of git LFS, not the file itself; fetch it with \
         `git lfs pull` in the model's folder, or take `source: hf:ORG/NAME`"
    )]
    LfsPointer {
        /// The model as the user named it.
        model: Source,
        /// The file inside the model directory.
        file: String,
    },
    /// A weights file is truncated or otherwise no safetensors file.
    #[error("model {model}: {file} is truncated or corrupt ({bytes} bytes): {reason}")]
    CorruptWeights {
        /// The model as the user named it.
        model: Source,
        /// The file inside the model directory.
        file: String,
        /// Size of the file in bytes.
        bytes: u64,
        /// Description of the fault.
        reason: String,
    },
    /// A tensor that the configuration needs is not among the weights.
    #[error(
        "model {model}: {file} has no tensor {tensor}{}",
        nearest_ones(nearest)
    )]
    MissingTensor {
        /// The model as the user named it.
        model: Source,
        /// The file that lists the tensors.
        file: String,
        /// Name of the tensor.
        tensor: String,
        /// The most similar names that there are, the most similar first.
        nearest: Box<[String]>,
    },
    /// A tensor has another shape than the configuration says.
    #[error(
        "model {model}: tensor {tensor} has shape {found:?}, config.json asks for {expected:?}"
    )]
    WrongShape {
        /// The model as the user named it.
        model: Source,
        /// Name of the tensor.
        tensor: String,
        /// The shape that follows from config.json.
        expected: Vec<usize>,
        /// The shape in the file.
        found: Vec<usize>,
    },
    /// A tensor is stored in an element type that is not read.
    #[error("model {model}: tensor {tensor} is stored as {found}; supported are F32, F16 and BF16")]
    WrongElementType {
        /// The model as the user named it.
        model: Source,
        /// Name of the tensor.
        tensor: String,
        /// The stored element type.
        found: String,
    },
    /// tokenizer.json is no tokenizer.
    #[error("model {model}: tokenizer.json: {reason}")]
    BadTokenizer {
        /// The model as the user named it.
        model: Source,
        /// Error of the tokenizer library.
        reason: String,
    },
    /// The files are those of an adapter, not of a model.
    #[error(
        "{model} is an adapter, not a model: the key `adapter` takes it, and `source` the model \
         that it changes (base_model_name_or_path in adapter_config.json)"
    )]
    IsAdapter {
        /// The adapter as the user named it.
        model: Source,
    },
    /// The model comes with no adapter of this name.
    #[error(
        "model {model} comes with no adapter `{adapter}`{}",
        known_adapters(known)
    )]
    UnknownAdapter {
        /// The model as the user named it.
        model: Source,
        /// The name asked for.
        adapter: String,
        /// Names of the adapters that it comes with.
        known: Vec<String>,
    },
    /// An adapter has settings and no weights.
    #[error("adapter {model}: file {file} is missing; it has the weights of an adapter")]
    AdapterWeightsMissing {
        /// The adapter as the user named it, or the model that it comes with.
        model: Source,
        /// The file inside its directory.
        file: String,
    },
    /// Weights of an adapter are there only in the form of Python's pickle.
    #[error(
        "adapter {model}: {file} is a Python pickle, which is not read; save the adapter with \
         `save_pretrained(..., safe_serialization=True)`"
    )]
    PickledAdapter {
        /// The adapter as the user named it, or the model that it comes with.
        model: Source,
        /// The file inside its directory.
        file: String,
    },
    /// The device does not compute in the element type asked for.
    #[error("model {model}: {cause}")]
    Precision {
        /// The model as the user named it.
        model: Source,
        /// Why, and what to do.
        cause: crate::device::DeviceError,
    },
    /// The engine asked for does not compute on the device or in the element type.
    #[error("model {model}: {cause}")]
    Engine {
        /// The model as the user named it.
        model: Source,
        /// Why, and what to do.
        cause: crate::engine::EngineError,
    },
    /// The device refused, for instance for want of memory.
    #[error("model {model}: placing the weights on the device failed: {cause}")]
    Device {
        /// The model as the user named it.
        model: Source,
        /// Error of Candle.
        cause: Box<candle_core::Error>,
    },
}

/// Converts the pickled weights of the current folder, one file or several.
const CONVERT: &str = "python -c \"import glob, torch, safetensors.torch as s; w = {}; \
                       [w.update(torch.load(f, map_location='cpu', weights_only=True)) for f in \
                       glob.glob('pytorch_model*.bin')]; s.save_file({k: v.contiguous().clone() \
                       for k, v in w.items()}, 'model.safetensors')\"";

/// Saves the tokenizer of the model in the current folder as a tokenizer.json.
pub(crate) const SAVE_TOKENIZER: &str = "python -c \"from transformers import AutoTokenizer; \
                                         AutoTokenizer.from_pretrained('.').save_pretrained('.')\"";

fn known_adapters(names: &[String]) -> String {
    match names {
        [] => "; it has none: write file:PATH or hf:ORG/NAME of one elsewhere".to_owned(),
        names => format!("; it has {}", names.join(", ")),
    }
}

fn nearest_ones(names: &[String]) -> String {
    match names {
        [] => String::new(),
        names => format!("; the nearest are {}", names.join(", ")),
    }
}
