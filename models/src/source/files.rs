//! The files of a model directory in the Hugging Face layout, whether on disk or in the binary.

use std::borrow::Cow;
use std::io::ErrorKind;
use std::path::Path;

use motet_config::files::{self, FileError};

use super::Source;
use super::builtin::BUILTIN;
use crate::config::ModelConfig;
use crate::error::LoadError;

const WEIGHTS: &str = "model.safetensors";
const TOKENIZER: &str = "tokenizer.json";
/// Most bytes of a file of weights.
const WEIGHTS_BYTES_MAX: u64 = 64 << 30;
/// Most bytes of a tokenizer or of a configuration.
const JSON_BYTES_MAX: u64 = 256 << 20;

/// A model's files, with the small JSON files read and the large ones known to exist.
///
/// Opening is cheap: questions about shapes and limits ([`ModelFiles::config`]) never load weights.
#[derive(Clone, Debug)]
pub struct ModelFiles {
    source: Source,
    config: ModelConfig,
}

impl ModelFiles {
    /// Reads and checks the configuration files, and that weights and tokenizer are there.
    ///
    /// # Errors
    /// A directory or file that is missing or unreadable, JSON that does not parse, an architecture
    /// that is not supported.
    pub fn open(source: &Source) -> Result<Self, LoadError> {
        let dir = Directory { source };
        dir.check()?;
        let config = ModelConfig::read(source, |file| dir.read_optional(file))?;
        dir.check_file(WEIGHTS)?;
        dir.check_file(TOKENIZER)?;
        Ok(Self {
            source: source.clone(),
            config,
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

    /// Returns the bytes of tokenizer.json.
    pub(crate) fn tokenizer(&self) -> Result<Cow<'static, [u8]>, LoadError> {
        Directory {
            source: &self.source,
        }
        .read(TOKENIZER)
    }

    /// Returns the bytes of model.safetensors: static for a built-in model, read from disk
    /// otherwise.
    pub(crate) fn weights(&self) -> Result<Cow<'static, [u8]>, LoadError> {
        Directory {
            source: &self.source,
        }
        .read(WEIGHTS)
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

    fn check_file(&self, file: &str) -> Result<(), LoadError> {
        match self.source {
            Source::Builtin(name) => builtin_file(name, file)
                .map(|_| ())
                .ok_or_else(|| self.missing(file)),
            Source::File(path) => match std::fs::metadata(path.join(file)) {
                Ok(_) => Ok(()),
                Err(cause) if cause.kind() == ErrorKind::NotFound => Err(self.missing(file)),
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
            Source::File(path) => match read_inside(path, file) {
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

fn read_inside(dir: &Path, file: &str) -> Result<Vec<u8>, FileError> {
    let limit = match file {
        WEIGHTS => WEIGHTS_BYTES_MAX,
        _ => JSON_BYTES_MAX,
    };
    files::read(&dir.join(file), limit)
}

fn builtin_file(model: &str, file: &str) -> Option<&'static [u8]> {
    let model = BUILTIN.iter().find(|entry| entry.name == model)?;
    model
        .files
        .iter()
        .find(|(path, _)| *path == file)
        .map(|(_, content)| *content)
}
