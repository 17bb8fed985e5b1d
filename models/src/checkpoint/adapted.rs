//! Adapters in a checkpoint: which tensors they change, and by which factors.

use std::collections::BTreeMap;

use safetensors::tensor::TensorInfo;

use super::file::WeightsFile;
use super::low_rank::{Factor, LowRank};
use super::prefix::without_wrappers;
use super::{Checkpoint, NEAREST};
use crate::adapter::{Adapter, OwnAdapter, PeftAdapter, PeftKind};
use crate::error::LoadError;
use crate::names;
use crate::source::ModelFiles;

/// Factors of all adapters in the weights of a model, by the tensors that they change: the number
/// of the file and what its header says of each.
pub(super) type OwnFactors = BTreeMap<String, [(usize, TensorInfo); 2]>;

impl Checkpoint {
    /// Finds the changes of the adapter that the files have chosen. `prefixes` are those of the
    /// family.
    ///
    /// # Errors
    /// A factor of another shape or type than its tensor asks for, or for a tensor that the model
    /// does not have.
    pub(super) fn adapt(
        &mut self,
        files: &ModelFiles,
        own: OwnFactors,
        prefixes: &[&str],
    ) -> Result<(), LoadError> {
        match files.adapter() {
            None => Ok(()),
            Some(Adapter::Own(adapter)) => self.adapt_own(adapter, own),
            Some(Adapter::Peft(adapter)) => self.adapt_peft(files, adapter, prefixes),
        }
    }

    fn adapt_own(&mut self, adapter: &OwnAdapter, own: OwnFactors) -> Result<(), LoadError> {
        let unsupported = |reason: String| LoadError::Unsupported {
            model: self.model.clone(),
            file: self.listing.to_owned(),
            reason,
        };
        if own.is_empty() {
            let reason = "no tensor has adapters, though config.json names some".to_owned();
            return Err(unsupported(reason));
        }
        let mut changes = BTreeMap::new();
        for (tensor, [first, second]) in own {
            let shape = &self.tensors[&tensor].1.shape;
            let (count, rank) = (adapter.count, adapter.rank);
            let shapes = [&first.1.shape[..], &second.1.shape[..]];
            let [reads, writes] = match shape[..] {
                // A product reads with the first factor, a table with the second.
                [rows, columns] if shapes == [[count, rank, columns], [count, rows, rank]] => {
                    [&first, &second]
                }
                [rows, columns] if shapes == [[count, rows, rank], [count, rank, columns]] => {
                    [&second, &first]
                }
                _ => {
                    return Err(unsupported(format!(
                        "the factors of {tensor} have the shapes {:?} and {:?}, but {count} \
                         adapters of rank {rank} do not give a tensor {shape:?} such",
                        shapes[0], shapes[1]
                    )));
                }
            };
            let factor = |(file, info): &(usize, TensorInfo)| {
                let factor = Factor::stored(*file, info, adapter.number);
                factor.map_err(|reason| unsupported(format!("a factor of {tensor} {reason}")))
            };
            let change = LowRank {
                rows: factor(writes)?,
                columns: factor(reads)?,
                rank,
                scale: adapter.scale,
            };
            changes.insert(tensor, change);
        }
        self.changes = changes;
        Ok(())
    }

    fn adapt_peft(
        &mut self,
        files: &ModelFiles,
        adapter: &PeftAdapter,
        prefixes: &[&str],
    ) -> Result<(), LoadError> {
        let (source, path) = (&adapter.source, adapter.weights());
        let file = WeightsFile::open(source, &path, files.open_adapter(adapter)?)?;
        let unsupported = |reason: String| LoadError::Unsupported {
            model: source.clone(),
            file: path.clone(),
            reason,
        };
        let infos: BTreeMap<String, TensorInfo> = file.tensors().collect();
        let sorted = adapter.sort(infos.keys().map(String::as_str));
        let sorted = sorted.map_err(unsupported)?;
        let stored: BTreeMap<&str, &String> = self
            .tensors
            .keys()
            .map(|name| (without_wrappers(name, prefixes), name))
            .collect();
        let stored_name = |name: &str| match self.tensors.contains_key(name) {
            true => Some(name.to_owned()),
            false => stored
                .get(without_wrappers(name, prefixes))
                .map(|name| (*name).clone()),
        };
        let number = self.files.len();
        let mut changes = BTreeMap::new();
        for change in &sorted.changes {
            let wanted = format!("{}.weight", change.module);
            let Some(tensor) = stored_name(&wanted) else {
                let nearest = names::nearest(&wanted, self.names(), NEAREST).join(", ");
                return Err(unsupported(format!(
                    "it changes {wanted}, which the model does not have; the nearest are {nearest}"
                )));
            };
            let shape = &self.tensors[&tensor].1.shape;
            let [first, second] = change.factors.map(|factor| &infos[factor]);
            let shapes = [&first.shape[..], &second.shape[..]];
            let rank = shapes[0].first().copied().unwrap_or_default();
            let fits = match (change.kind, &shape[..]) {
                (PeftKind::Linear, [rows, columns]) => shapes == [[rank, *columns], [*rows, rank]],
                (PeftKind::Table, [rows, columns]) => shapes == [[rank, *rows], [*columns, rank]],
                _ => false,
            };
            if !fits || rank == 0 {
                return Err(unsupported(format!(
                    "its factors of {wanted} have the shapes {:?} and {:?}, which do not give the \
                     model's {shape:?}",
                    shapes[0], shapes[1]
                )));
            }
            let factor = |info: &TensorInfo| {
                let factor = Factor::stored(number, info, 0);
                factor.map_err(|reason| unsupported(format!("a factor of {wanted} {reason}")))
            };
            let (rows, columns) = match change.kind {
                PeftKind::Linear => (factor(second)?, factor(first)?),
                PeftKind::Table => (factor(first)?.transposed(), factor(second)?.transposed()),
            };
            let scale = adapter.scale(change.module, rank);
            let change = LowRank {
                rows,
                columns,
                rank,
                scale,
            };
            changes.insert(tensor, change);
        }
        let whole: Vec<(String, TensorInfo)> = sorted
            .whole
            .iter()
            .map(|(name, of_file)| {
                let stored = stored_name(name).unwrap_or_else(|| (*name).to_owned());
                (stored, infos[*of_file].clone())
            })
            .collect();
        let whole = whole.into_iter();
        self.tensors
            .extend(whole.map(|(name, info)| (name, (number, info))));
        self.files.push(file);
        self.changes = changes;
        Ok(())
    }
}
