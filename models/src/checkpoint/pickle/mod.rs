//! Tensors as torch saves them by itself: an archive of their bytes, and a pickle that lists them.
//!
//! A pickle is a program. The few instructions that make a list of tensors are followed here, and
//! nothing is called: what such a program would call is compared by its name. Objects refer to each
//! other by number, so that none is copied, however often it is named.

mod program;

use std::io::{Cursor, Read};

use safetensors::tensor::{Dtype, TensorView, serialize};
use zip::ZipArchive;

use crate::error::LoadError;
use crate::source::{Source, WeightBytes};
use program::{Id, Object, Program};

/// Most bytes of a program: a name, a shape and a storage for each tensor.
const PROGRAM_BYTES_MAX: u64 = 1 << 20;
/// Most tensors of a file: each may be as large as the file.
const TENSORS_MAX: usize = 16;

/// Most bytes of a file, which is read whole.
const FILE_BYTES_MAX: u64 = 256 << 20;

/// Returns the tensors of a file in the safetensors format.
///
/// # Errors
/// A file that cannot be read, is too large, or is something else than tensors by name.
pub(super) fn convert(
    model: &Source,
    name: &str,
    bytes: &WeightBytes,
) -> Result<WeightBytes, LoadError> {
    let corrupt = |reason: String| LoadError::CorruptWeights {
        model: model.clone(),
        file: name.to_owned(),
        bytes: bytes.len(),
        reason,
    };
    if bytes.len() > FILE_BYTES_MAX {
        return Err(corrupt(format!("it has more than {FILE_BYTES_MAX} bytes")));
    }
    let mut file = Vec::new();
    let read = bytes.for_each_piece(0, bytes.len() as usize, |piece| file.extend(piece));
    read.map_err(|cause| LoadError::Unreadable {
        model: model.clone(),
        file: name.to_owned(),
        cause: cause.into(),
    })?;
    to_safetensors(&file)
        .map(WeightBytes::Made)
        .map_err(corrupt)
}

fn to_safetensors(file: &[u8]) -> Result<Vec<u8>, String> {
    let tensors = read(file)?;
    let views = tensors.iter().map(|tensor| {
        let shape = tensor.shape.clone();
        let view = TensorView::new(tensor.dtype, shape, &tensor.data);
        let view = view.map_err(|cause| format!("{}: {cause}", tensor.name))?;
        Ok((tensor.name.as_str(), view))
    });
    let views: Vec<_> = views.collect::<Result<_, String>>()?;
    serialize(views, None).map_err(|cause| cause.to_string())
}

struct Tensor {
    name: String,
    dtype: Dtype,
    shape: Vec<usize>,
    data: Vec<u8>,
}

type Archive<'f> = ZipArchive<Cursor<&'f [u8]>>;

fn read(file: &[u8]) -> Result<Vec<Tensor>, String> {
    let mut archive = ZipArchive::new(Cursor::new(file));
    let archive = archive.as_mut().map_err(|cause| cause.to_string())?;
    let names = archive.file_names();
    let names: Vec<String> = names
        .filter_map(|name| Some(name.ok()?.into_owned()))
        .collect();
    let program = names.iter().find(|name| name.ends_with("/data.pkl"));
    let program = program.ok_or("it has no data.pkl")?;
    let folder = program.trim_end_matches("data.pkl");
    let order = format!("{folder}byteorder");
    if names.contains(&order) && entry(archive, &order, 16)? != b"little" {
        return Err("its numbers are not in little-endian order".to_owned());
    }
    let program = Program::run(&entry(archive, program, PROGRAM_BYTES_MAX)?)?;
    let Object::Dict(listed) = program.result() else {
        return Err("it holds something else than tensors by name".to_owned());
    };
    if listed.len() > TENSORS_MAX {
        return Err(format!("it has more than {TENSORS_MAX} tensors"));
    }
    let tensors = listed.iter().map(|(name, value)| {
        let Object::Text(name) = program.object(*name) else {
            return Err("a tensor has no name".to_owned());
        };
        let tensor = tensor(archive, &program, folder, *value);
        let (dtype, shape, data) = tensor.map_err(|reason| format!("{name}: {reason}"))?;
        Ok(Tensor {
            name: name.clone(),
            dtype,
            shape,
            data,
        })
    });
    tensors.collect()
}

/// Returns the bytes of an entry of an archive.
fn entry(archive: &mut Archive<'_>, name: &str, bytes_max: u64) -> Result<Vec<u8>, String> {
    let failed = |cause: &dyn std::fmt::Display| format!("{name}: {cause}");
    let entry = archive.by_name(name).map_err(|cause| failed(&cause))?;
    let mut bytes = Vec::new();
    let read = entry.take(bytes_max + 1).read_to_end(&mut bytes);
    read.map_err(|cause| failed(&cause))?;
    if bytes.len() as u64 > bytes_max {
        return Err(failed(&format!("it has more than {bytes_max} bytes")));
    }
    Ok(bytes)
}

/// Returns the tensor that a call of torch's would make.
fn tensor(
    archive: &mut Archive<'_>,
    program: &Program,
    folder: &str,
    value: Id,
) -> Result<(Dtype, Vec<usize>, Vec<u8>), String> {
    let other = "it is something else than a tensor";
    let arguments = match program.call(value).ok_or(other)? {
        ("torch._utils._rebuild_parameter", [tensor, ..]) => match program.call(*tensor) {
            Some(("torch._utils._rebuild_tensor_v2", arguments)) => arguments,
            _ => return Err(other.to_owned()),
        },
        ("torch._utils._rebuild_tensor_v2", arguments) => arguments,
        (class, _) => return Err(format!("it is made by {class}, which is not known")),
    };
    let [storage, offset, shape, strides, ..] = arguments else {
        return Err(other.to_owned());
    };
    let storage = match program.object(*storage) {
        Object::Storage(storage) => program.tuple(*storage),
        _ => None,
    };
    let Some([_, class, key, ..]) = storage else {
        return Err(other.to_owned());
    };
    let (Object::Class(class), Object::Text(key)) = (program.object(*class), program.object(*key))
    else {
        return Err(other.to_owned());
    };
    let (dtype, size) = match class.as_str() {
        "torch.FloatStorage" => (Dtype::F32, 4),
        "torch.HalfStorage" => (Dtype::F16, 2),
        "torch.BFloat16Storage" => (Dtype::BF16, 2),
        class => {
            return Err(format!(
                "it is of {class}; supported: torch.FloatStorage, torch.HalfStorage, \
                 torch.BFloat16Storage"
            ));
        }
    };
    let offset = program.number(*offset).ok_or(other)?;
    let (shape, strides) = (program.numbers(*shape), program.numbers(*strides));
    let (shape, strides) = (shape.ok_or(other)?, strides.ok_or(other)?);
    let len = shape
        .iter()
        .try_fold(1usize, |len, size| len.checked_mul(*size));
    if !is_row_major(&shape, &strides) {
        return Err(format!(
            "its values are not row by row (strides {strides:?})"
        ));
    }
    let most = archive.by_name(&format!("{folder}data/{key}"));
    let most = most.map_err(|cause| cause.to_string())?.size();
    let stored = entry(archive, &format!("{folder}data/{key}"), most)?;
    let start = offset.checked_mul(size);
    let end = start
        .zip(len)
        .and_then(|(start, len)| len.checked_mul(size)?.checked_add(start));
    let data = start
        .zip(end)
        .and_then(|(start, end)| stored.get(start..end));
    let data = data.ok_or_else(|| format!("it has fewer values than its shape {shape:?}"))?;
    Ok((dtype, shape, data.to_vec()))
}

/// Returns whether the values of a tensor follow each other row by row.
fn is_row_major(shape: &[usize], strides: &[usize]) -> bool {
    let mut expected = 1usize;
    shape.len() == strides.len()
        && shape.iter().zip(strides).rev().all(|(&size, &stride)| {
            let fits = size <= 1 || stride == expected;
            expected = expected.saturating_mul(size);
            fits
        })
}

#[cfg(test)]
mod tests;
