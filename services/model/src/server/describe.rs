//! The server and its models, in the protocol's messages.

use motet_proto::inference::repository_index_response::ModelIndex;
use motet_proto::inference::{ModelConfig, ModelMetadataResponse, ServerMetadataResponse};
use motet_proto::oip;
use motet_proto::signature::{INSTANCE_PROPERTY, PROPERTY};
use prost::Message;
use prost_types::FileDescriptorSet;

use crate::model::Model;
use crate::registry::{Entry, State};

/// The field `platform` of every model.
const PLATFORM: &str = "candle";
/// Triton's names of the extensions that this server has.
const EXTENSIONS: [&str; 5] = [
    "model_configuration",
    "model_repository",
    "parameters",
    "schedule_policy",
    "statistics",
];

/// Returns the descriptors of the protocol alone: motet's own services are the gateway's.
pub(super) fn descriptor_set() -> Vec<u8> {
    let all = FileDescriptorSet::decode(motet_proto::FILE_DESCRIPTOR_SET).unwrap_or_default();
    let is_protocol = |file: &prost_types::FileDescriptorProto| file.package() == "inference";
    let file = all.file.into_iter().filter(is_protocol).collect();
    FileDescriptorSet { file }.encode_to_vec()
}

pub(super) fn server() -> ServerMetadataResponse {
    ServerMetadataResponse {
        name: "motet".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        extensions: EXTENSIONS.map(str::to_owned).to_vec(),
    }
}

/// Returns the metadata of a model that exists in these versions.
pub(super) fn metadata(model: &Model, versions: Vec<String>) -> ModelMetadataResponse {
    let signature = model.signature();
    ModelMetadataResponse {
        name: model.base_name().to_owned(),
        versions,
        platform: PLATFORM.to_owned(),
        inputs: signature.oip_inputs(),
        outputs: signature.oip_outputs(),
        properties: [
            (PROPERTY.to_owned(), signature.to_property()),
            (
                INSTANCE_PROPERTY.to_owned(),
                format!("{:016x}", model.instance()),
            ),
        ]
        .into(),
    }
}

pub(super) fn config(model: &Model) -> ModelConfig {
    oip::model_config(model.base_name(), PLATFORM, model.signature())
}

/// The state of a model that answers.
pub(super) const READY: &str = "READY";

/// Returns the entry of a model; `note` is what is to be known of it while it answers.
pub(super) fn index(entry: &Entry, note: Option<&str>) -> ModelIndex {
    let (name, version) = entry.on_the_wire();
    let (state, reason) = match &entry.state {
        State::Running(model) if model.is_ready() => (READY, note.unwrap_or_default()),
        State::Running(_) => ("UNAVAILABLE", "shutting down, or its executors have died"),
        State::Loading => ("LOADING", ""),
        State::Absent { reason } => ("UNAVAILABLE", &**reason),
    };
    ModelIndex {
        name: name.to_owned(),
        version: version.to_owned(),
        state: state.to_owned(),
        reason: reason.to_owned(),
    }
}
