//! Server reflection, v1 and v1alpha, over descriptor sets that are known at run time.
//!
//! tonic-reflection indexes services, methods, messages, fields and enums as symbols, which clients
//! such as grpcurl and ghz look up. It cannot change once built: to change it, build another and
//! swap the routes ([`crate::routes::LiveRoutes::set`]).

use prost::Message;
use prost_types::FileDescriptorSet;
use tonic::service::Routes;
use tonic_reflection::server::Builder;

/// A descriptor set that reflection cannot serve.
#[derive(Debug, thiserror::Error)]
#[error("a descriptor set cannot be served by reflection: {0}")]
pub struct ReflectionError(#[from] tonic_reflection::server::Error);

/// Adds both reflection services to `routes`. They describe the encoded `FileDescriptorSet`s (a
/// file in several of them counts once), reflection itself, and the details of errors.
///
/// # Errors
/// If a set does not decode, or a descriptor in it has no name.
pub fn add(
    routes: Routes,
    descriptor_sets: &[impl AsRef<[u8]>],
) -> Result<Routes, ReflectionError> {
    let error_details = error_details();
    let builder = || {
        descriptor_sets
            .iter()
            .fold(Builder::configure(), |builder, set| {
                builder.register_encoded_file_descriptor_set(set.as_ref())
            })
            .register_encoded_file_descriptor_set(tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(
                tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
            )
            .register_encoded_file_descriptor_set(&error_details)
    };
    let v1 = builder().build_v1()?;
    let v1alpha = builder().build_v1alpha()?;
    Ok(routes.add_service(v1).add_service(v1alpha))
}

/// `google/rpc/error_details.proto`. Errors carry its messages as `Any`, which a client that relies
/// on reflection could not print as JSON otherwise.
fn error_details() -> Vec<u8> {
    const BARE_NAME: &str = "error_details.proto";
    let set = FileDescriptorSet::decode(tonic_types::pb::FILE_DESCRIPTOR_SET).unwrap_or_default();
    let file = set
        .file
        .into_iter()
        .filter_map(|mut file| match file.name() {
            BARE_NAME => {
                file.name = Some(format!("google/rpc/{BARE_NAME}"));
                Some(file)
            }
            name if name.starts_with("google/protobuf/") => Some(file),
            _ => None,
        });
    let file = file.collect();
    FileDescriptorSet { file }.encode_to_vec()
}
