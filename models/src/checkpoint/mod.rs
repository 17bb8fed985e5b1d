//! The tensors of a model's weights, by name: over all files that hold them, whatever prefix and
//! element type they were saved with.
//!
//! Opening reads the files' headers only. Values are read when they are asked for, piece by piece
//! into the memory where they are wanted ([`Checkpoint::read`]).
//!
//! * `file`: one safetensors file.
//! * `pickle`: a file as torch saves it by itself.
//! * `convert`: stored elements to f32.
//! * `prefix`: what stands before the encoder's names.
//! * `adapted`: the tensors that an adapter changes; `low_rank`: one such change; `parametrized`:
//!   names of tensors that are saved beside their adapters.

mod adapted;
mod convert;
mod file;
mod low_rank;
mod parametrized;
mod pickle;
mod prefix;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;

use safetensors::Dtype;
use safetensors::tensor::TensorInfo;

use crate::architecture::{Head, Linear, Scope, TensorRef};
use crate::error::LoadError;
use crate::names;
use crate::source::{ModelFiles, Shapes, Source, WeightBytes, WeightFiles};
use convert::Element;
use file::WeightsFile;
use low_rank::LowRank;

pub(crate) use prefix::without_wrappers;

/// Similar names that an error about a missing tensor lists.
const NEAREST: usize = 3;

/// The tensors of a model.
pub(crate) struct Checkpoint {
    model: Source,
    /// The file that lists the tensors, for messages.
    listing: &'static str,
    files: Vec<WeightsFile>,
    /// The file of each tensor, by its number, and what the header says of the tensor.
    tensors: BTreeMap<String, (usize, TensorInfo)>,
    /// Changes of tensors by an adapter, by their names.
    changes: BTreeMap<String, LowRank>,
    /// Prefix that the files put before the names of the encoder.
    prefix: String,
    /// Prefix that they put before the names of the model around it.
    model_prefix: String,
}

impl fmt::Debug for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checkpoint")
            .field("model", &self.model)
            .field("prefix", &self.prefix)
            .field("tensors", &self.tensors.len())
            .finish_non_exhaustive()
    }
}

impl Checkpoint {
    /// Reads the headers of the weights of a model, and checks that all tensors of its description
    /// are there.
    ///
    /// # Errors
    /// A file that cannot be read or is corrupt; a tensor that is missing, or has another shape or
    /// an element type that is not read.
    pub(crate) fn open(files: &ModelFiles) -> Result<Self, LoadError> {
        let model = files.source();
        let names = files.weights().names();
        let open = |name: &&str| WeightsFile::open(model, name, files.open_weights(name)?);
        let opened: Vec<WeightsFile> = names.iter().map(open).collect::<Result<_, _>>()?;
        let mut tensors = BTreeMap::new();
        for (number, file) in opened.iter().enumerate() {
            let entries = file.tensors();
            tensors.extend(entries.map(|(name, info)| (name, (number, info))));
        }
        let mut checkpoint = Self {
            model: model.clone(),
            listing: files.weights().listing(),
            files: opened,
            tensors,
            changes: BTreeMap::new(),
            prefix: String::new(),
            model_prefix: String::new(),
        };
        if let WeightFiles::Shards(shards) = files.weights() {
            checkpoint.keep_indexed(shards)?;
        }
        let architecture = &files.config().architecture;
        let own_factors = parametrized::take(&mut checkpoint.tensors);
        checkpoint.adapt(files, own_factors, architecture.prefixes)?;
        checkpoint.prefix = prefix::find(checkpoint.names(), architecture);
        checkpoint.model_prefix = prefix::of_model(&checkpoint.prefix, architecture.prefixes);
        for tensor in architecture.tensors() {
            checkpoint.check(tensor)?;
        }
        for folder in files.config().head.folders() {
            checkpoint.open_folder(files, folder)?;
        }
        Ok(checkpoint)
    }

    /// Does the same, and reads the headers of the files that a head has by itself.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub(crate) fn for_head(files: &ModelFiles, head: &Head) -> Result<Self, LoadError> {
        Self::for_heads(files, &[head])
    }

    /// Does the same for several heads.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub(crate) fn for_heads(files: &ModelFiles, heads: &[&Head]) -> Result<Self, LoadError> {
        let mut checkpoint = Self::open(files)?;
        let names: BTreeSet<&str> = heads.iter().flat_map(|head| head.files()).collect();
        for name in names {
            checkpoint.open_file(files, name)?;
        }
        Ok(checkpoint)
    }

    /// Reads the header of the weights of a module in a folder of its own. The folder begins the
    /// names of its tensors.
    fn open_folder(&mut self, files: &ModelFiles, folder: &str) -> Result<(), LoadError> {
        let name = weights_in(folder);
        let file = WeightsFile::open(&self.model, &name, files.open_weights(&name)?)?;
        self.add(folder, file);
        Ok(())
    }

    /// Reads the header of a file that has a head by itself. Its name begins the names of its
    /// tensors.
    pub(crate) fn open_file(&mut self, files: &ModelFiles, name: &str) -> Result<(), LoadError> {
        let mut bytes = files.open_weights(name)?;
        if name.ends_with(".pt") {
            bytes = pickle::convert(&self.model, name, &bytes)?;
        }
        let file = WeightsFile::open(&self.model, name, bytes)?;
        self.add(name, file);
        Ok(())
    }

    fn add(&mut self, before: &str, file: WeightsFile) {
        let number = self.files.len();
        let entries = file.tensors();
        let entries = entries.map(|(name, info)| (format!("{before}/{name}"), (number, info)));
        self.tensors.extend(entries);
        self.files.push(file);
    }

    /// Leaves the tensors that the index names, each from the file that it names for it.
    fn keep_indexed(&mut self, shards: &BTreeMap<String, String>) -> Result<(), LoadError> {
        let mut indexed = BTreeMap::new();
        for (tensor, shard) in shards {
            let number = self.files.iter().position(|file| file.name() == shard);
            let info = number.and_then(|number| self.files[number].info(tensor));
            let (Some(number), Some(info)) = (number, info) else {
                return Err(self.missing(shard, tensor));
            };
            indexed.insert(tensor.clone(), (number, info));
        }
        self.tensors = indexed;
        Ok(())
    }

    /// Returns where the model comes from.
    pub(crate) fn model(&self) -> &Source {
        &self.model
    }

    /// Returns the file that lists the tensors.
    pub(crate) fn listing(&self) -> &'static str {
        self.listing
    }

    /// Returns the names of all tensors, as they are in the files.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// Returns the names of the tensors that are not among `used`.
    pub(crate) fn unused<'a>(&self, used: impl IntoIterator<Item = &'a TensorRef>) -> Vec<&str> {
        let used = used.into_iter();
        let used: BTreeSet<&str> = used.filter_map(|tensor| self.stored_name(tensor)).collect();
        self.names().filter(|name| !used.contains(name)).collect()
    }

    /// Returns whether an adapter changes a tensor.
    pub(crate) fn is_adapted(&self, tensor: &str) -> bool {
        self.changes.contains_key(tensor)
    }

    /// Returns the name of a tensor as it is stored, and its element type, if it is there.
    pub(crate) fn stored(&self, tensor: &TensorRef) -> Option<(&str, String)> {
        let name = self.stored_name(tensor)?;
        let (_, info) = &self.tensors[name];
        Some((name, format!("{:?}", info.dtype).to_lowercase()))
    }

    /// Returns the shape of a tensor as it is stored, if it is there.
    pub(crate) fn shape(&self, tensor: &TensorRef) -> Option<&[usize]> {
        let (_, info) = &self.tensors[self.stored_name(tensor)?];
        Some(&info.shape)
    }

    /// Checks that a tensor is there, with its shape and an element type that is read.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub(crate) fn check(&self, tensor: &TensorRef) -> Result<(), LoadError> {
        self.find(tensor).map(|_| ())
    }

    /// Reads some of a reference's rows, counted from its first, as f32 into `values`, which has
    /// their size, with the change of an adapter.
    ///
    /// # Errors
    /// As [`open`](Self::open), and a file that cannot be read.
    ///
    /// # Panics
    /// If `values` has another size.
    pub(crate) fn read(
        &self,
        tensor: &TensorRef,
        rows: Range<usize>,
        values: &mut [f32],
    ) -> Result<(), LoadError> {
        let (file, info, element) = self.find(tensor)?;
        let row = tensor.row_size();
        assert_eq!(values.len(), rows.len() * row, "room for the rows");
        let first = tensor.rows.start + rows.start;
        let start = info.data_offsets.0 + first * row * element.size();
        file.read(&self.model, start, element, values)?;
        let change = self.stored_name(tensor);
        match change.and_then(|name| self.changes.get(name)) {
            Some(change) => change.add_to(&self.model, &self.files, first, values),
            None => Ok(()),
        }
    }

    /// Returns rows of a tensor as f32.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub(crate) fn values(&self, tensor: &TensorRef) -> Result<Vec<f32>, LoadError> {
        self.stack(&[tensor])
    }

    /// Returns rows of several tensors as f32, one tensor after the other.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub(crate) fn stack(&self, tensors: &[&TensorRef]) -> Result<Vec<f32>, LoadError> {
        let sizes = tensors
            .iter()
            .map(|tensor| tensor.len() * tensor.row_size());
        let mut values = vec![0.0; sizes.clone().sum()];
        let mut rest = values.as_mut_slice();
        for (tensor, size) in tensors.iter().zip(sizes) {
            let (values, others) = rest.split_at_mut(size);
            self.read(tensor, 0..tensor.len(), values)?;
            rest = others;
        }
        Ok(values)
    }

    /// Returns the biases of several products as f32, one product's after the other's, with 0 for
    /// a product that has none; `None` if none of them has one.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub(crate) fn biases(&self, linears: &[&Linear]) -> Result<Option<Vec<f32>>, LoadError> {
        if linears.iter().all(|linear| linear.bias.is_none()) {
            return Ok(None);
        }
        let mut values = Vec::new();
        for linear in linears {
            match &linear.bias {
                Some(bias) => values.extend(self.values(bias)?),
                None => values.resize(values.len() + linear.outputs(), 0.0),
            }
        }
        Ok(Some(values))
    }

    /// Returns a tensor's name as the files should have it.
    fn wanted_name(&self, tensor: &TensorRef) -> String {
        let name = &tensor.name;
        match &tensor.scope {
            Scope::Encoder | Scope::Numbers => format!("{}{name}", self.prefix),
            Scope::Model => format!("{}{name}", self.model_prefix),
            Scope::Folder(place) | Scope::File(place) => format!("{place}/{name}"),
        }
    }

    /// Returns a tensor's name as it is in the files, if it is there.
    fn stored_name(&self, tensor: &TensorRef) -> Option<&str> {
        let name = self.wanted_name(tensor);
        let stored = |name: &str| {
            self.tensors
                .get_key_value(name)
                .map(|(name, _)| name.as_str())
        };
        stored(&name).or_else(|| stored(&prefix::former_name(&name)?))
    }

    /// Finds a tensor, and checks its shape and element type.
    fn find(&self, tensor: &TensorRef) -> Result<(&WeightsFile, &TensorInfo, Element), LoadError> {
        let Some(name) = self.stored_name(tensor) else {
            let name = self.wanted_name(tensor);
            return Err(match &tensor.scope {
                Scope::Folder(folder) => self.missing(&weights_in(folder), &name),
                Scope::File(file) => self.missing(file, &tensor.name),
                Scope::Encoder | Scope::Numbers | Scope::Model => self.missing(self.listing, &name),
            });
        };
        let (number, info) = &self.tensors[name];
        if info.shape != tensor.shape {
            return Err(LoadError::WrongShape {
                model: self.model.clone(),
                tensor: name.to_owned(),
                expected: tensor.shape.clone(),
                found: info.shape.clone(),
            });
        }
        let of_numbers = match info.dtype {
            Dtype::F64 => Some(Element::F64),
            Dtype::I8 => Some(Element::I8),
            Dtype::I32 => Some(Element::I32),
            Dtype::I64 => Some(Element::I64),
            _ => None,
        };
        let of_numbers = of_numbers.filter(|_| tensor.scope == Scope::Numbers);
        let Some(element) = Element::of_weights(info.dtype).or(of_numbers) else {
            return Err(LoadError::WrongElementType {
                model: self.model.clone(),
                tensor: name.to_owned(),
                found: format!("{:?}", info.dtype),
            });
        };
        Ok((&self.files[*number], info, element))
    }

    fn missing(&self, file: &str, tensor: &str) -> LoadError {
        let nearest = names::nearest(tensor, self.names(), NEAREST);
        LoadError::MissingTensor {
            model: self.model.clone(),
            file: file.to_owned(),
            tensor: tensor.to_owned(),
            nearest: nearest.into_iter().map(str::to_owned).collect(),
        }
    }
}

/// Returns the shapes of all tensors of a model's weights, by the headers of the files.
///
/// # Errors
/// A file that cannot be read or is corrupt.
pub(crate) fn shapes(
    model: &Source,
    weights: &WeightFiles,
    open: impl Fn(&str) -> Result<WeightBytes, LoadError>,
) -> Result<Shapes, LoadError> {
    let mut shapes = Shapes::new();
    for name in weights.names() {
        let file = WeightsFile::open(model, name, open(name)?)?;
        shapes.extend(file.tensors().map(|(name, info)| (name, info.shape)));
    }
    parametrized::take(&mut shapes);
    Ok(shapes)
}

/// Returns the path of the weights of a module in this folder.
fn weights_in(folder: &str) -> String {
    format!("{folder}/model.safetensors")
}
