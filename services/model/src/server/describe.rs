//! What the server and its models are, in the protocol's messages.

use motet_proto::inference::model_metadata_response::TensorMetadata;
use motet_proto::inference::repository_index_response::ModelIndex;
use motet_proto::inference::{
    DataType, ModelConfig, ModelInput, ModelMetadataResponse, ModelOutput, ModelTransactionPolicy,
    ServerMetadataResponse,
};
use motet_proto::signature::{PROPERTY, Port, Signature};
use motet_proto::types::ElementType;
use prost::Message;
use prost_types::FileDescriptorSet;

use crate::{Model, VERSION};

/// What runs the models.
const PLATFORM: &str = "candle";
/// Triton's names for the additions that are there.
const EXTENSIONS: [&str; 5] = [
    "model_configuration",
    "model_repository",
    "parameters",
    "schedule_policy",
    "statistics",
];

/// The protocol's own file, without motet's services: these are the gateway's.
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

pub(super) fn metadata(model: &Model) -> ModelMetadataResponse {
    let signature = model.signature();
    ModelMetadataResponse {
        name: model.name().to_owned(),
        versions: vec![VERSION.to_owned()],
        platform: PLATFORM.to_owned(),
        inputs: signature.oip_inputs(),
        outputs: signature.oip_outputs(),
        properties: [(PROPERTY.to_owned(), signature.to_property())].into(),
    }
}

pub(super) fn config(model: &Model) -> ModelConfig {
    let Signature {
        inputs, outputs, ..
    } = model.signature();
    let input = |(port, tensor): (&Port, TensorMetadata)| ModelInput {
        name: tensor.name,
        data_type: data_type(port).into(),
        dims: tensor.shape,
    };
    let output = |(port, tensor): (&Port, TensorMetadata)| ModelOutput {
        name: tensor.name,
        data_type: data_type(port).into(),
        dims: tensor.shape,
    };
    let signature = model.signature();
    ModelConfig {
        name: model.name().to_owned(),
        platform: PLATFORM.to_owned(),
        backend: PLATFORM.to_owned(),
        max_batch_size: 0,
        input: inputs
            .iter()
            .zip(signature.oip_inputs())
            .map(input)
            .collect(),
        output: outputs
            .iter()
            .zip(signature.oip_outputs())
            .map(output)
            .collect(),
        model_transaction_policy: Some(ModelTransactionPolicy { decoupled: false }),
    }
}

fn data_type(port: &Port) -> DataType {
    match port.ty.element {
        ElementType::String | ElementType::Bytes => DataType::TypeString,
        ElementType::Bool => DataType::TypeBool,
        ElementType::I8 => DataType::TypeInt8,
        ElementType::I16 => DataType::TypeInt16,
        ElementType::I32 => DataType::TypeInt32,
        ElementType::I64 => DataType::TypeInt64,
        ElementType::U8 => DataType::TypeUint8,
        ElementType::U16 => DataType::TypeUint16,
        ElementType::U32 => DataType::TypeUint32,
        ElementType::U64 => DataType::TypeUint64,
        ElementType::F16 => DataType::TypeFp16,
        ElementType::BF16 => DataType::TypeBf16,
        ElementType::F32 => DataType::TypeFp32,
        ElementType::F64 => DataType::TypeFp64,
    }
}

pub(super) fn index(model: &Model) -> ModelIndex {
    let (state, reason) = if model.is_ready() {
        ("READY", "")
    } else {
        ("UNAVAILABLE", "shutting down, or its executors have died")
    };
    ModelIndex {
        name: model.name().to_owned(),
        version: VERSION.to_owned(),
        state: state.to_owned(),
        reason: reason.to_owned(),
    }
}
