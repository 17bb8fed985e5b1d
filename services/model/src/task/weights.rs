//! [`Weights`]: the tensors of a model, for Candle.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{DType, Device, Shape, Tensor};
use candle_nn::var_builder::SimpleBackend;
use candle_nn::{Init, VarBuilder};
use motet_config::{files, nearest};
use safetensors::tensor::{Metadata, TensorInfo};

use super::FolderError;

/// The usual file of all weights.
const SINGLE: &str = "model.safetensors";
/// The file that lists the files of weights in parts.
const INDEX: &str = "model.safetensors.index.json";
/// Largest index.
const INDEX_BYTES_MAX: u64 = 64 << 20;
/// Bytes before a header, which say how many it has.
const LENGTH_BYTES: usize = 8;
/// Most bytes of a header, as the format has it.
const HEADER_BYTES_MAX: u64 = 100_000_000;

/// The tensors of one or several safetensors files. Opening reads the headers; a tensor is read
/// when it is asked for, by itself, so that loading takes little more memory than the model. Files
/// are not mapped: a mapping ends the process if a file is cut short. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Weights(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    folder: PathBuf,
    files: Vec<WeightsFile>,
    /// The file of each tensor, by its number, and what the header says of the tensor.
    tensors: BTreeMap<String, (usize, TensorInfo)>,
}

#[derive(Debug)]
struct WeightsFile {
    file: Mutex<File>,
    /// Bytes before the first tensor.
    data_start: u64,
}

/// The files of an index.
#[derive(serde::Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

impl Weights {
    /// Opens the weights in a folder and reads their headers.
    pub(super) fn open(folder: &Path) -> Result<Self, FolderError> {
        let names = find(folder)?;
        let mut weights = Inner {
            folder: folder.to_owned(),
            files: Vec::new(),
            tensors: BTreeMap::new(),
        };
        for name in names {
            let path = folder.join(name);
            let (file, header) = open(&path)?;
            let number = weights.files.len();
            weights.files.push(file);
            let tensors = header.tensors().into_iter();
            weights
                .tensors
                .extend(tensors.map(|(name, info)| (name, (number, info.clone()))));
        }
        Ok(Self(Arc::new(weights)))
    }

    /// Returns the names of all tensors, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.tensors.keys().map(String::as_str)
    }

    /// Returns the shape of a tensor, if there is one of this name.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.0.tensors.get(name).map(|(_, info)| &info.shape[..])
    }

    /// Checks that a tensor is there and has this shape, by the header alone.
    ///
    /// # Errors
    /// One line that names the folder and the tensor, and a name that is near.
    pub fn expect(&self, name: &str, shape: &[usize]) -> Result<(), FolderError> {
        let reason = match self.shape(name) {
            Some(found) if found == shape => return Ok(()),
            Some(found) => {
                format!("the tensor `{name}` has the shape {found:?}, which must be {shape:?}")
            }
            None => {
                let near = nearest(name, self.names());
                let near = near.map_or(String::new(), |near| format!("; there is `{near}`"));
                format!("there is no tensor `{name}`{near}")
            }
        };
        Err(FolderError::Content {
            path: self.0.folder.clone(),
            reason,
        })
    }

    /// Returns a builder of variables that reads tensors from these weights, converted to `dtype`
    /// on `device`.
    pub fn var_builder(&self, dtype: DType, device: &Device) -> VarBuilder<'static> {
        VarBuilder::from_backend(Box::new(self.clone()), dtype, device.clone())
    }

    /// Reads a tensor.
    fn read(&self, name: &str, dtype: DType, device: &Device) -> candle_core::Result<Tensor> {
        let Some((number, info)) = self.0.tensors.get(name) else {
            let error = candle_core::Error::CannotFindTensor {
                path: name.to_owned(),
            };
            return Err(error.bt());
        };
        let (start, end) = info.data_offsets;
        let file = &self.0.files[*number];
        let mut bytes = vec![0; end - start];
        {
            let mut open = file.file.lock().unwrap_or_else(PoisonError::into_inner);
            open.seek(SeekFrom::Start(file.data_start + start as u64))?;
            open.read_exact(&mut bytes)?;
        }
        let stored = DType::try_from(info.dtype)?;
        Tensor::from_raw_buffer(&bytes, stored, &info.shape, device)?.to_dtype(dtype)
    }
}

impl SimpleBackend for Weights {
    fn get(
        &self,
        shape: Shape,
        name: &str,
        _: Init,
        dtype: DType,
        device: &Device,
    ) -> candle_core::Result<Tensor> {
        let tensor = self.read(name, dtype, device)?;
        if tensor.shape() != &shape {
            let error = candle_core::Error::UnexpectedShape {
                msg: format!("shape mismatch for {name}"),
                expected: shape,
                got: tensor.shape().clone(),
            };
            return Err(error.bt());
        }
        Ok(tensor)
    }

    fn get_unchecked(
        &self,
        name: &str,
        dtype: DType,
        device: &Device,
    ) -> candle_core::Result<Tensor> {
        self.read(name, dtype, device)
    }

    fn contains_tensor(&self, name: &str) -> bool {
        self.0.tensors.contains_key(name)
    }
}

/// Returns the names of the files that hold the weights.
fn find(folder: &Path) -> Result<Vec<String>, FolderError> {
    if folder.join(SINGLE).exists() {
        return Ok(vec![SINGLE.to_owned()]);
    }
    let index = folder.join(INDEX);
    if index.exists() {
        let bytes = files::read(&index, INDEX_BYTES_MAX);
        let bytes = bytes.map_err(|cause| FolderError::File {
            path: index.clone(),
            cause,
        })?;
        let listed: Index =
            serde_json::from_slice(&bytes).map_err(|error| content(&index, error.to_string()))?;
        let mut names: Vec<String> = listed.weight_map.into_values().collect();
        names.sort();
        names.dedup();
        // A name is one of a file beside the index, never a path to somewhere else.
        if let Some(path) = names.iter().find(|name| name.contains(['/', '\\'])) {
            return Err(content(
                &index,
                format!("`{path}` is no name of a file beside it"),
            ));
        }
        return Ok(names);
    }
    let entries = std::fs::read_dir(folder).map_err(|error| FolderError::File {
        path: folder.to_owned(),
        cause: error.into(),
    })?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut names: Vec<String> = names
        .filter(|name| name.ends_with(".safetensors"))
        .collect();
    names.sort();
    match names.len() {
        1 => Ok(names),
        0 => Err(content(
            folder,
            "it has no weights, no file *.safetensors".to_owned(),
        )),
        _ => Err(content(
            folder,
            format!("it has several files *.safetensors, and no {INDEX} that says what they are"),
        )),
    }
}

/// Opens a safetensors file and reads its header.
fn open(path: &Path) -> Result<(WeightsFile, Metadata), FolderError> {
    let failed = |cause| FolderError::File {
        path: path.to_owned(),
        cause,
    };
    let mut file = files::open(path).map_err(failed)?;
    let size = file.metadata().map_err(|e| failed(e.into()))?.len();
    let mut length = [0; LENGTH_BYTES];
    if size < LENGTH_BYTES as u64 {
        return Err(content(
            path,
            "it is too short for a safetensors file".to_owned(),
        ));
    }
    file.read_exact(&mut length).map_err(|e| failed(e.into()))?;
    let length = u64::from_le_bytes(length);
    let data_start = LENGTH_BYTES as u64 + length.min(HEADER_BYTES_MAX);
    if length > HEADER_BYTES_MAX || data_start > size {
        return Err(content(path, "it is no safetensors file".to_owned()));
    }
    let mut header = vec![0; usize::try_from(length).unwrap_or_default()];
    file.read_exact(&mut header).map_err(|e| failed(e.into()))?;
    // Parsing also checks that shapes, element types and offsets go together.
    let header: Metadata = serde_json::from_slice(&header)
        .map_err(|error| content(path, format!("its header: {error}")))?;
    let whole = data_start + header.data_len() as u64;
    if whole != size {
        let reason = format!("it has {size} bytes, but {whole} by its header: it is cut short");
        return Err(content(path, reason));
    }
    let file = Mutex::new(file);
    Ok((WeightsFile { file, data_start }, header))
}

fn content(path: &Path, reason: String) -> FolderError {
    FolderError::Content {
        path: path.to_owned(),
        reason,
    }
}
