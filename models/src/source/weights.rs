//! Which files of a model hold its weights, and access to their bytes.
//!
//! Weights are read by position, a piece at a time: never whole, and not through a mapping, whose
//! pages would count as memory of the process, and which ends the process if a file is cut short.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::Path;

use motet_config::files::{self, FileError};
use serde::Deserialize;

use super::Source;
use super::json::JsonFiles;
use crate::error::LoadError;

const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// Weights as torch saves them by itself, whole and in shards: programs, which are not run.
const PICKLED: [&str; 2] = ["pytorch_model.bin", "pytorch_model.bin.index.json"];

/// The files that hold a model's weights.
#[derive(Debug)]
pub(crate) enum WeightFiles {
    /// All weights are in model.safetensors.
    Single,
    /// The file of each tensor, by the tensor's name (model.safetensors.index.json).
    Shards(BTreeMap<String, String>),
}

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

impl WeightFiles {
    /// Finds the files: model.safetensors, or else those that the index names, and no others.
    ///
    /// # Errors
    /// No weights, an index that does not parse or that leaves the directory, a shard that does not
    /// exist.
    pub(super) fn find(
        json: &JsonFiles<'_>,
        exists: impl Fn(&str) -> Result<bool, LoadError>,
    ) -> Result<Self, LoadError> {
        if exists(SINGLE)? {
            return Ok(Self::Single);
        }
        let Some(Index { weight_map }) = json.optional(INDEX)? else {
            return Err(missing(json.model, "", exists)?);
        };
        if weight_map.is_empty() {
            return Err(json.unsupported(INDEX, "weight_map names no tensor"));
        }
        let files = Self::Shards(weight_map);
        for shard in files.names() {
            if shard.is_empty() || shard.contains(['/', '\\']) || shard == ".." {
                let reason = format!("weight_map names `{shard}`; a shard is a file beside it");
                return Err(json.unsupported(INDEX, reason));
            }
            if !exists(shard)? {
                return Err(LoadError::ShardMissing {
                    model: json.model.clone(),
                    file: shard.to_owned(),
                });
            }
        }
        Ok(files)
    }

    /// Returns the names of the files, each once.
    pub(crate) fn names(&self) -> Vec<&str> {
        match self {
            Self::Single => vec![SINGLE],
            Self::Shards(shards) => {
                let mut names: Vec<&str> = shards.values().map(String::as_str).collect();
                names.sort_unstable();
                names.dedup();
                names
            }
        }
    }

    /// Returns the file that says which tensors there are.
    pub(crate) fn listing(&self) -> &'static str {
        match self {
            Self::Single => SINGLE,
            Self::Shards(_) => INDEX,
        }
    }
}

/// Checks that a module with weights has them in its folder.
///
/// # Errors
/// No weights, or pickled ones.
pub(super) fn check_module(
    model: &Source,
    folder: &str,
    exists: impl Fn(&str) -> Result<bool, LoadError>,
) -> Result<(), LoadError> {
    let folder = format!("{folder}/");
    match exists(&format!("{folder}{SINGLE}"))? {
        true => Ok(()),
        false => Err(missing(model, &folder, exists)?),
    }
}

/// Returns the error of a folder, written with a slash at its end, without weights that are read.
fn missing(
    model: &Source,
    folder: &str,
    exists: impl Fn(&str) -> Result<bool, LoadError>,
) -> Result<LoadError, LoadError> {
    for pickled in PICKLED {
        let file = format!("{folder}{pickled}");
        if exists(&file)? {
            let model = model.clone();
            return Ok(LoadError::Pickled { model, file });
        }
    }
    Ok(LoadError::FileMissing {
        model: model.clone(),
        file: format!("{folder}{SINGLE}"),
    })
}

/// Returns the error of an adapter without the file of weights that is read.
pub(super) fn missing_adapter(
    source: &Source,
    file: &str,
    exists: impl Fn(&str) -> Result<bool, LoadError>,
) -> Result<LoadError, LoadError> {
    let pickled = file.replace(".safetensors", ".bin");
    let model = source.clone();
    Ok(match exists(&pickled)? {
        true => LoadError::PickledAdapter {
            model,
            file: pickled,
        },
        false => LoadError::AdapterWeightsMissing {
            model,
            file: file.to_owned(),
        },
    })
}

/// The bytes of a file of weights.
#[derive(Debug)]
pub(crate) enum WeightBytes {
    /// In the binary.
    Static(&'static [u8]),
    /// Made of another file.
    Made(Vec<u8>),
    /// On disk, with the size that the file had when it was opened.
    File(File, u64),
}

impl WeightBytes {
    pub(super) fn open(path: &Path) -> Result<Self, FileError> {
        let file = files::open(path)?;
        let size = file.metadata()?.len();
        Ok(Self::File(file, size))
    }

    /// Returns the number of bytes.
    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::Static(bytes) => bytes.len() as u64,
            Self::Made(bytes) => bytes.len() as u64,
            Self::File(_, size) => *size,
        }
    }

    /// Calls `use_piece` with `len` bytes from `start` on, in pieces of [`PIECE`] bytes and a last
    /// one of what is left.
    ///
    /// # Errors
    /// As reading the file, or when it ends before.
    pub(crate) fn for_each_piece(
        &self,
        start: u64,
        len: usize,
        mut use_piece: impl FnMut(&[u8]),
    ) -> io::Result<()> {
        let in_memory = match self {
            Self::Static(bytes) => bytes,
            Self::Made(bytes) => bytes.as_slice(),
            Self::File(file, _) => {
                let mut piece = vec![0; len.min(PIECE)];
                for at in (0..len).step_by(PIECE) {
                    let piece = &mut piece[..PIECE.min(len - at)];
                    read_exact_at(file, piece, start + at as u64)?;
                    use_piece(piece);
                }
                return Ok(());
            }
        };
        let bytes = usize::try_from(start)
            .ok()
            .and_then(|at| in_memory.get(at..));
        let bytes = bytes.and_then(|bytes| bytes.get(..len));
        let bytes = bytes.ok_or(io::ErrorKind::UnexpectedEof)?;
        bytes.chunks(PIECE).for_each(use_piece);
        Ok(())
    }
}

/// Bytes that are read at once: few enough to stay in the second level cache until they are
/// converted. A multiple of the size of every element.
pub(crate) const PIECE: usize = 256 << 10;

#[cfg(unix)]
fn read_exact_at(file: &File, bytes: &mut [u8], start: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, start)
}

/// Several threads may read, and a file has one position.
#[cfg(not(unix))]
fn read_exact_at(mut file: &File, bytes: &mut [u8], start: u64) -> io::Result<()> {
    use std::io::{Read, Seek, SeekFrom};
    use std::sync::{Mutex, PoisonError};
    static POSITION: Mutex<()> = Mutex::new(());
    let _position = POSITION.lock().unwrap_or_else(PoisonError::into_inner);
    file.seek(SeekFrom::Start(start))?;
    file.read_exact(bytes)
}
