//! Descriptors of services: from a file, and to and from a form that a person can read.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::Path;

use prost_reflect::{
    DescriptorPool, DynamicMessage, FileDescriptor, ReflectMessage, ServiceDescriptor,
};
use prost_types::{FileDescriptorProto, FileDescriptorSet};
use serde_json::Value;

/// The most bytes of a file with descriptors.
pub const FILE_BYTES_MAX: u64 = 16 << 20;

/// Reads a file with a `FileDescriptorSet`.
///
/// # Errors
/// When it cannot be read, is too large, or is no such file or not a whole one; as the end of a sentence.
pub fn read(path: &Path) -> Result<DescriptorPool, String> {
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => "no such file".to_owned(),
        _ => error.to_string(),
    })?;
    file.take(FILE_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(|e| e.to_string())?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(format!(
            "it has more bytes than the limit of {FILE_BYTES_MAX}"
        ));
    }
    let pool = DescriptorPool::decode(bytes.as_slice()).map_err(|e| e.to_string())?;
    if pool.services().len() == 0 {
        return Err("it describes no service".to_owned());
    }
    Ok(pool)
}

/// A service with all that its messages are made of, as JSON: the same for the same service.
pub fn to_json(service: &ServiceDescriptor) -> Value {
    let mut files = BTreeMap::new();
    gather(service.parent_file(), &mut files);
    let file = files.into_values().map(|file| FileDescriptorProto {
        source_code_info: None,
        ..file
    });
    let set = FileDescriptorSet {
        file: file.collect(),
    };
    serde_json::to_value(set.transcode_to_dynamic()).unwrap_or_default()
}

/// Without recursion: imports may be a chain of any length.
fn gather(file: FileDescriptor, files: &mut BTreeMap<String, FileDescriptorProto>) {
    let mut left = vec![file];
    while let Some(file) = left.pop() {
        if !files.contains_key(file.name()) {
            files.insert(file.name().to_owned(), file.file_descriptor_proto().clone());
            left.extend(file.dependencies());
        }
    }
}

/// The service of this full name in what [`to_json`] gave.
///
/// # Errors
/// When it is not there.
pub fn from_json(service: &str, json: Value) -> Result<ServiceDescriptor, String> {
    let empty = FileDescriptorSet::default();
    let set = DynamicMessage::deserialize(empty.descriptor(), json).map_err(|e| e.to_string())?;
    let set: FileDescriptorSet = set.transcode_to().map_err(|e| e.to_string())?;
    let pool = DescriptorPool::from_file_descriptor_set(set).map_err(|e| e.to_string())?;
    let found = pool.get_service_by_name(service);
    found.ok_or_else(|| format!("it lacks `{service}`"))
}
