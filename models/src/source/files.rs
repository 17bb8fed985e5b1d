//! The files of a model directory in the Hugging Face layout, whether on disk or in the binary.

use std::borrow::Cow;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use motet_config::Fingerprint;
use motet_config::files::{self, FileError};

use super::Source;
use super::builtin::BUILTIN;
use super::json::{JsonFiles, Shapes};
use super::weights::{self, WeightBytes, WeightFiles};
use crate::adapter::{self, Adapter, AdapterId, AdapterSource, OwnAdapter, PeftAdapter};
use crate::checkpoint;
use crate::config::{ModelConfig, transformer_folder};
use crate::error::LoadError;
use crate::family::CONFIG;

/// The tokenizer of a model.
pub(crate) const TOKENIZER: &str = "tokenizer.json";
/// Files of which a tokenizer is made where there is no tokenizer.json: all of one set.
const PARTS: [&[&str]; 2] = [&["vocab.txt"], &["vocab.json", "merges.txt"]];
/// Models of sentencepiece, of which a tokenizer is made, too.
pub(crate) const SENTENCEPIECE: [&str; 4] = [
    "sentencepiece.bpe.model",
    "spiece.model",
    "tokenizer.model",
    "spm.model",
];
/// Files of sentence-transformers that lie in the model's own folder wherever its encoder is.
const OF_MODEL: [&str; 2] = ["modules.json", "config_sentence_transformers.json"];
/// Most bytes of a tokenizer or of a configuration.
const JSON_BYTES_MAX: u64 = 256 << 20;

/// Identity of the files of a model, wherever they lie: equal ones have the same weights and
/// tokenizer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Origin {
    Builtin(&'static str),
    Files(Fingerprint),
}

/// The kind of a model's rows. A folder may have a model of each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Modality {
    /// Texts.
    #[default]
    Texts,
    /// Images.
    Images,
}

/// A model's files, with the small JSON files read and the large ones known to exist.
///
/// Opening is cheap: questions about shapes and limits ([`ModelFiles::config`]) never load weights.
#[derive(Clone, Debug)]
pub struct ModelFiles {
    source: Source,
    modality: Modality,
    /// The version of the files, as it was before any was read.
    fingerprint: Fingerprint,
    /// Folder of the encoder, its tokenizer and their settings inside the model's; mostly empty.
    encoder: Arc<str>,
    config: ModelConfig,
    weights: Arc<WeightFiles>,
    /// The adapter whose changes the weights get, and its identity.
    adapter: Option<Arc<(AdapterId, Adapter)>>,
}

impl ModelFiles {
    /// Reads and checks the configuration files, and that weights (each shard of them) and
    /// tokenizer are there.
    ///
    /// # Errors
    /// A directory or file that is missing or unreadable, JSON that does not parse, an architecture
    /// that is not supported.
    pub fn open(source: &Source) -> Result<Self, LoadError> {
        Self::open_for(source, Modality::Texts)
    }

    /// Reads and checks the configuration files of a model of such rows. One of images has no
    /// tokenizer.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_for(source: &Source, modality: Modality) -> Result<Self, LoadError> {
        let folder = source.directory();
        let fingerprint = folder.map(Fingerprint::of).unwrap_or_default();
        let whole = Directory {
            source,
            encoder: "",
        };
        whole.check()?;
        if whole.exists(adapter::SETTINGS)? && !whole.exists(CONFIG)? {
            return Err(LoadError::IsAdapter {
                model: source.clone(),
            });
        }
        let encoder = transformer_folder(&JsonFiles {
            model: source,
            read: &|file| whole.read_optional(file),
            shapes: &|| whole.shapes(),
        })?;
        let dir = Directory {
            encoder: &encoder,
            ..whole
        };
        let read = |file: &str| dir.read_optional(file);
        let json = JsonFiles {
            model: source,
            read: &read,
            shapes: &|| dir.shapes(),
        };
        let config = match modality {
            Modality::Images => ModelConfig::read_images(&json)?,
            Modality::Texts => ModelConfig::read(&json)?,
        };
        let weights = dir.weights()?;
        if modality == Modality::Texts {
            dir.check_tokenizer()?;
        }
        for folder in config.head.folders() {
            weights::check_module(source, folder, |file| dir.exists(file))?;
        }
        Ok(Self {
            source: source.clone(),
            modality,
            fingerprint,
            encoder: encoder.into(),
            config,
            weights: Arc::new(weights),
            adapter: None,
        })
    }

    /// Returns the files with the changes of an adapter in the weights. Of the adapter its settings
    /// are read; its weights are checked with those of the model.
    ///
    /// # Errors
    /// A name that is none of [`adapters`](Self::adapters), a folder that is missing or has no
    /// adapter_config.json, or settings of another change than that of LoRA.
    pub fn with_adapter(self, adapter: &AdapterSource) -> Result<Self, LoadError> {
        let (id, adapter) = match adapter {
            AdapterSource::Named(name) => {
                let found = self.with_json(|json| adapter::find(json, name))?;
                let Some(found) = found else {
                    return Err(self.unknown_adapter(name)?);
                };
                (AdapterId::Named(name.clone()), found)
            }
            AdapterSource::Folder(source) => {
                let folder = source.directory();
                let fingerprint = folder.map(Fingerprint::of).unwrap_or_default();
                let dir = Directory {
                    source,
                    encoder: "",
                };
                dir.check()?;
                let json = JsonFiles {
                    model: source,
                    read: &|file| dir.read_optional(file),
                    shapes: &|| Ok(Shapes::new()),
                };
                let Some(found) = PeftAdapter::read(&json, "")? else {
                    return Err(dir.missing(adapter::SETTINGS));
                };
                (AdapterId::Files(fingerprint), Adapter::Peft(found))
            }
        };
        Ok(Self {
            adapter: Some(Arc::new((id, adapter))),
            ..self
        })
    }

    /// Returns the names of the adapters that come with the model: those in its weights, and
    /// folders with an adapter inside the model's.
    ///
    /// # Errors
    /// A file or folder that cannot be read.
    pub fn adapters(&self) -> Result<Vec<String>, LoadError> {
        let mut names = self.with_json(OwnAdapter::names)?;
        if let Some(path) = self.source.directory() {
            let folders = std::fs::read_dir(path)
                .map_err(|cause| self.directory().unreadable(".", cause.into()))?;
            let folders = folders.flatten().map(|entry| entry.path());
            let mut folders: Vec<String> = folders
                .filter(|path| path.join(adapter::SETTINGS).is_file())
                .filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()))
                .collect();
            folders.sort_unstable();
            names.append(&mut folders);
        }
        Ok(names)
    }

    /// Returns the error of a name that is no adapter's.
    fn unknown_adapter(&self, name: &str) -> Result<LoadError, LoadError> {
        Ok(LoadError::UnknownAdapter {
            model: self.source.clone(),
            adapter: name.to_owned(),
            known: self.adapters()?,
        })
    }

    /// Returns the adapter whose changes the weights get.
    pub(crate) fn adapter(&self) -> Option<&Adapter> {
        self.adapter.as_deref().map(|(_, adapter)| adapter)
    }

    /// Returns the identity of that adapter.
    pub(crate) fn adapter_id(&self) -> Option<&AdapterId> {
        self.adapter.as_deref().map(|(id, _)| id)
    }

    /// Returns access to the bytes of the weights of an adapter in a folder.
    pub(crate) fn open_adapter(&self, adapter: &PeftAdapter) -> Result<WeightBytes, LoadError> {
        let dir = Directory {
            source: &adapter.source,
            encoder: "",
        };
        let file = adapter.weights();
        match dir.exists(&file)? {
            true => dir.open_weights(&file),
            false => Err(weights::missing_adapter(&adapter.source, &file, |file| {
                dir.exists(file)
            })?),
        }
    }

    /// Where the model comes from.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// Returns what the rows of the model are.
    pub fn modality(&self) -> Modality {
        self.modality
    }

    /// Returns what the files are, as it was before any was read.
    pub(crate) fn origin(&self) -> Origin {
        match &self.source {
            Source::Builtin(name) => Origin::Builtin(name),
            Source::File(_) | Source::Hub { .. } => Origin::Files(self.fingerprint.clone()),
        }
    }

    /// Sizes, pooling and limits.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// Calls `read` with the model's JSON files.
    pub(crate) fn with_json<T>(&self, read: impl FnOnce(&JsonFiles<'_>) -> T) -> T {
        let dir = self.directory();
        read(&JsonFiles {
            model: &self.source,
            read: &|file| dir.read_optional(file),
            shapes: &|| dir.shapes(),
        })
    }

    /// Returns which files hold the weights.
    pub(crate) fn weights(&self) -> &WeightFiles {
        &self.weights
    }

    /// Returns access to the bytes of a file of weights, by its name.
    pub(crate) fn open_weights(&self, file: &str) -> Result<WeightBytes, LoadError> {
        self.directory().open_weights(file)
    }

    /// Returns the file that has the weights of a head by itself, beside the encoder's, if there is
    /// one: as safetensors or, as torch saves it, a pickle (`NAME.pt`).
    pub(crate) fn head_file(&self, name: &str) -> Result<Option<String>, LoadError> {
        let dir = self.directory();
        for ending in ["safetensors", "pt"] {
            let file = format!("{name}.{ending}");
            if dir.exists(&file)? {
                return Ok(Some(file));
            }
        }
        Ok(None)
    }

    fn directory(&self) -> Directory<'_> {
        Directory {
            source: &self.source,
            encoder: &self.encoder,
        }
    }
}

/// Reads files by their path inside the model directory.
#[derive(Clone, Copy)]
struct Directory<'a> {
    source: &'a Source,
    /// Folder of the files that are the encoder's own.
    encoder: &'a str,
}

impl Directory<'_> {
    /// Returns the path of a file inside the model's folder. What has a folder in its name is a
    /// module's; but for the two files of the whole model, the others are the encoder's.
    fn place<'f>(&self, file: &'f str) -> Cow<'f, str> {
        let is_of_model = OF_MODEL.contains(&file) || file.contains('/');
        match self.encoder {
            _ if is_of_model => Cow::Borrowed(file),
            "" => Cow::Borrowed(file),
            encoder => Cow::Owned(format!("{encoder}/{file}")),
        }
    }

    /// Returns the model's directory on disk.
    fn on_disk(&self) -> Result<&Path, LoadError> {
        let directory = self.source.directory();
        directory.ok_or_else(|| LoadError::NotFetched {
            model: self.source.clone(),
        })
    }

    /// Returns the path of a file on disk.
    fn path(&self, file: &str) -> Result<PathBuf, LoadError> {
        Ok(self.on_disk()?.join(&*self.place(file)))
    }

    fn check(&self) -> Result<(), LoadError> {
        if matches!(self.source, Source::Builtin(_)) {
            return Ok(());
        }
        let path = self.on_disk()?;
        match std::fs::metadata(path) {
            Ok(meta) if meta.is_dir() => Ok(()),
            Ok(_) => Err(LoadError::NotADirectory {
                model: self.source.clone(),
                path: path.to_owned(),
            }),
            Err(cause) if cause.kind() == ErrorKind::NotFound => Err(LoadError::DirectoryMissing {
                model: self.source.clone(),
                path: path.to_owned(),
            }),
            Err(cause) => Err(self.unreadable(".", cause.into())),
        }
    }

    /// Checks that there is a tokenizer, or the files to make one of.
    fn check_tokenizer(&self) -> Result<(), LoadError> {
        let all_exist = |parts: &[&str]| {
            let missing = parts.iter().map(|file| self.exists(file));
            missing
                .into_iter()
                .try_fold(true, |all, exists| Ok(all && exists?))
        };
        let models = SENTENCEPIECE.iter().map(std::slice::from_ref);
        for parts in std::iter::once(&[TOKENIZER][..]).chain(PARTS).chain(models) {
            if all_exist(parts)? {
                return Ok(());
            }
        }
        Err(self.missing(TOKENIZER))
    }

    fn exists(&self, file: &str) -> Result<bool, LoadError> {
        match self.source {
            Source::Builtin(name) => Ok(builtin_file(name, &self.place(file)).is_some()),
            _ => match std::fs::metadata(self.path(file)?) {
                Ok(_) => Ok(true),
                Err(cause) if cause.kind() == ErrorKind::NotFound => Ok(false),
                Err(cause) => Err(self.unreadable(file, cause.into())),
            },
        }
    }

    /// Finds which files hold the weights.
    fn weights(&self) -> Result<WeightFiles, LoadError> {
        let json = JsonFiles {
            model: self.source,
            read: &|file| self.read_optional(file),
            shapes: &|| self.shapes(),
        };
        WeightFiles::find(&json, |file| self.exists(file))
    }

    /// Returns access to the bytes of a file of weights, by its name.
    fn open_weights(&self, file: &str) -> Result<WeightBytes, LoadError> {
        match self.source {
            Source::Builtin(name) => builtin_file(name, &self.place(file))
                .map(WeightBytes::Static)
                .ok_or_else(|| self.missing(file)),
            _ => {
                let opened = WeightBytes::open(&self.path(file)?);
                opened.map_err(|cause| self.unreadable(file, cause))
            }
        }
    }

    /// Returns the shapes of the weights, by the headers of their files.
    fn shapes(&self) -> Result<Shapes, LoadError> {
        let weights = self.weights()?;
        checkpoint::shapes(self.source, &weights, |file| self.open_weights(file))
    }

    /// Returns the file's content, or `None` where there is no such file.
    fn read_optional(&self, file: &str) -> Result<Option<Cow<'static, [u8]>>, LoadError> {
        match self.source {
            Source::Builtin(name) => Ok(builtin_file(name, &self.place(file)).map(Cow::Borrowed)),
            _ => match files::read(&self.path(file)?, JSON_BYTES_MAX) {
                Ok(bytes) => Ok(Some(Cow::Owned(bytes))),
                Err(FileError::Missing) => Ok(None),
                Err(cause) => Err(self.unreadable(file, cause)),
            },
        }
    }

    fn missing(&self, file: &str) -> LoadError {
        LoadError::FileMissing {
            model: self.source.clone(),
            file: self.place(file).into_owned(),
        }
    }

    fn unreadable(&self, file: &str, cause: FileError) -> LoadError {
        LoadError::Unreadable {
            model: self.source.clone(),
            file: self.place(file).into_owned(),
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
