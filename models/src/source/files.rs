//! The files of a model directory in the Hugging Face layout, whether on disk or in the binary.

use std::borrow::Cow;
use std::io::ErrorKind;
use std::sync::Arc;

use motet_config::files::{self, FileError};

use super::Source;
use super::builtin::BUILTIN;
use super::json::JsonFiles;
use super::weights::{WeightBytes, WeightFiles};
use crate::config::ModelConfig;
use crate::error::LoadError;

const TOKENIZER: &str = "tokenizer.json";
/// Most bytes of a tokenizer or of a configuration.
const JSON_BYTES_MAX: u64 = 256 << 20;

/// A model's files, with the small JSON files read and the large ones known to exist.
///
/// Opening is cheap: questions about shapes and limits ([`ModelFiles::config`]) never load weights.
#[derive(Clone, Debug)]
pub struct ModelFiles {
    source: Source,
    config: ModelConfig,
    weights: Arc<WeightFiles>,
}

impl ModelFiles {
    /// Reads and checks the configuration files, and that weights (each shard of them) and
    /// tokenizer are there.
    ///
    /// # Errors
    /// A directory or file that is missing or unreadable, JSON that does not parse, an architecture
    /// that is not supported.
    pub fn open(source: &Source) -> Result<Self, LoadError> {
        let dir = Directory { source };
        dir.check()?;
        let read = |file: &str| dir.read_optional(file);
        let config = ModelConfig::read(source, &read)?;
        let json = JsonFiles {
            model: source,
            read: &read,
        };
        let weights = WeightFiles::find(&json, |file| dir.exists(file))?;
        if !dir.exists(TOKENIZER)? {
            return Err(dir.missing(TOKENIZER));
        }
        Ok(Self {
            source: source.clone(),
            config,
            weights: Arc::new(weights),
        })
    }

    /// Where the model comes from.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// Sizes, pooling and limits.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// Calls `read` with the model's JSON files.
    pub(crate) fn with_json<T>(&self, read: impl FnOnce(&JsonFiles<'_>) -> T) -> T {
        let dir = Directory {
            source: &self.source,
        };
        read(&JsonFiles {
            model: &self.source,
            read: &|file| dir.read_optional(file),
        })
    }

    /// Returns the bytes of tokenizer.json.
    pub(crate) fn tokenizer(&self) -> Result<Cow<'static, [u8]>, LoadError> {
        Directory {
            source: &self.source,
        }
        .read(TOKENIZER)
    }

    /// Returns which files hold the weights.
    pub(crate) fn weights(&self) -> &WeightFiles {
        &self.weights
    }

    /// Returns access to the bytes of a file of weights, by its name.
    pub(crate) fn open_weights(&self, file: &str) -> Result<WeightBytes, LoadError> {
        let dir = Directory {
            source: &self.source,
        };
        match &self.source {
            Source::Builtin(name) => builtin_file(name, file)
                .map(WeightBytes::Static)
                .ok_or_else(|| dir.missing(file)),
            Source::File(path) => {
                WeightBytes::open(&path.join(file)).map_err(|cause| dir.unreadable(file, cause))
            }
        }
    }
}

/// Reads files by their path inside the model directory.
struct Directory<'a> {
    source: &'a Source,
}

impl Directory<'_> {
    fn check(&self) -> Result<(), LoadError> {
        let Source::File(path) = self.source else {
            return Ok(());
        };
        match std::fs::metadata(path) {
            Ok(meta) if meta.is_dir() => Ok(()),
            Ok(_) => Err(LoadError::NotADirectory {
                model: self.source.clone(),
                path: path.clone(),
            }),
            Err(cause) if cause.kind() == ErrorKind::NotFound => Err(LoadError::DirectoryMissing {
                model: self.source.clone(),
                path: path.clone(),
            }),
            Err(cause) => Err(self.unreadable(".", cause.into())),
        }
    }

    fn exists(&self, file: &str) -> Result<bool, LoadError> {
        match self.source {
            Source::Builtin(name) => Ok(builtin_file(name, file).is_some()),
            Source::File(path) => match std::fs::metadata(path.join(file)) {
                Ok(_) => Ok(true),
                Err(cause) if cause.kind() == ErrorKind::NotFound => Ok(false),
                Err(cause) => Err(self.unreadable(file, cause.into())),
            },
        }
    }

    fn read(&self, file: &str) -> Result<Cow<'static, [u8]>, LoadError> {
        self.read_optional(file)?.ok_or_else(|| self.missing(file))
    }

    /// Returns the file's content, or `None` where there is no such file.
    fn read_optional(&self, file: &str) -> Result<Option<Cow<'static, [u8]>>, LoadError> {
        match self.source {
            Source::Builtin(name) => Ok(builtin_file(name, file).map(Cow::Borrowed)),
            Source::File(path) => match files::read(&path.join(file), JSON_BYTES_MAX) {
                Ok(bytes) => Ok(Some(Cow::Owned(bytes))),
                Err(FileError::Missing) => Ok(None),
                Err(cause) => Err(self.unreadable(file, cause)),
            },
        }
    }

    fn missing(&self, file: &str) -> LoadError {
        LoadError::FileMissing {
            model: self.source.clone(),
            file: file.to_owned(),
        }
    }

    fn unreadable(&self, file: &str, cause: FileError) -> LoadError {
        LoadError::Unreadable {
            model: self.source.clone(),
            file: file.to_owned(),
            cause,
        }
    }
}

fn builtin_file(model: &str, file: &str) -> Option<&'static [u8]> {
    let model = BUILTIN.iter().find(|entry| entry.name == model)?;
    model
        .files
        .iter()
        .find(|(path, _)| *path == file)
        .map(|(_, content)| *content)
}
