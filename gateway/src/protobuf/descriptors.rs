//! Descriptors of services, from a file or as JSON.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::path::Path;

use motet_config::files;
use prost_reflect::{
    DescriptorError, DescriptorPool, DynamicMessage, FileDescriptor, ReflectMessage,
    ServiceDescriptor,
};
use prost_types::{FileDescriptorProto, FileDescriptorSet};
use serde_json::Value;

/// Largest file of descriptors in bytes.
pub const FILE_BYTES_MAX: u64 = 16 << 20;

/// Reads a file with a `FileDescriptorSet`.
///
/// # Errors
/// The reason, as the end of a sentence: the file cannot be read, is too large, or is not a
/// complete `FileDescriptorSet` with a service.
pub fn read(path: &Path) -> Result<DescriptorPool, String> {
    let bytes = files::read(path, FILE_BYTES_MAX).map_err(|error| error.to_string())?;
    from_bytes(&bytes)
}

/// Reads an encoded `FileDescriptorSet`.
///
/// # Errors
/// The reason, as the end of a sentence: it is not a complete `FileDescriptorSet` with a service.
pub fn from_bytes(bytes: &[u8]) -> Result<DescriptorPool, String> {
    let pool = build(|| DescriptorPool::decode(bytes))?;
    if pool.services().len() == 0 {
        return Err("it describes no service".to_owned());
    }
    Ok(pool)
}

/// Makes a pool of files.
///
/// # Errors
/// The reason, as the end of a sentence: the files are not complete or not valid.
pub fn from_files(files: FileDescriptorSet) -> Result<DescriptorPool, String> {
    build(|| DescriptorPool::from_file_descriptor_set(files))
}

/// Runs prost-reflect, which panics on some descriptors that it should refuse: what it made until
/// then is dropped.
fn build(
    build: impl FnOnce() -> Result<DescriptorPool, DescriptorError>,
) -> Result<DescriptorPool, String> {
    match std::panic::catch_unwind(AssertUnwindSafe(build)) {
        Ok(built) => built.map_err(|error| error.to_string()),
        Err(_) => Err("its descriptors are malformed".to_owned()),
    }
}

/// Returns a service with all types that it uses, as JSON. Equal services have equal JSON.
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

/// Adds a file and its imports. Not recursive, since imports may be a chain of any length.
fn gather(file: FileDescriptor, files: &mut BTreeMap<String, FileDescriptorProto>) {
    let mut left = vec![file];
    while let Some(file) = left.pop() {
        if !files.contains_key(file.name()) {
            files.insert(file.name().to_owned(), file.file_descriptor_proto().clone());
            left.extend(file.dependencies());
        }
    }
}

/// Returns the service of this full name in the JSON of [`to_json`].
///
/// # Errors
/// The reason, as a sentence, if the JSON is invalid or lacks the service.
pub fn from_json(service: &str, json: Value) -> Result<ServiceDescriptor, String> {
    let empty = FileDescriptorSet::default();
    let set = DynamicMessage::deserialize(empty.descriptor(), json).map_err(|e| e.to_string())?;
    let set: FileDescriptorSet = set.transcode_to().map_err(|e| e.to_string())?;
    let pool = from_files(set)?;
    let found = pool.get_service_by_name(service);
    found.ok_or_else(|| format!("it lacks `{service}`"))
}
