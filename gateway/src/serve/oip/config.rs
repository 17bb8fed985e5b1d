//! Triton's configuration of a pipeline.

use motet_proto::inference::{
    DataType, ModelConfig, ModelInput, ModelOutput, ModelTransactionPolicy,
};
use motet_proto::signature::{Port, Signature};
use motet_proto::types::ElementType;

/// Triton's name of an element type.
fn triton_type(element: ElementType) -> DataType {
    match element {
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

/// Triton's configuration of a model with this signature. `max_batch_size` is 0: rows are batched
/// inside, across callers.
pub(super) fn model_config(name: &str, platform: &str, signature: &Signature) -> ModelConfig {
    let input = |p: &Port| ModelInput {
        name: p.name.clone(),
        data_type: triton_type(p.ty.element).into(),
        dims: p.ty.oip_shape(),
    };
    let output = |p: &Port| ModelOutput {
        name: p.name.clone(),
        data_type: triton_type(p.ty.element).into(),
        dims: p.ty.oip_shape(),
    };
    ModelConfig {
        name: name.to_owned(),
        platform: platform.to_owned(),
        backend: platform.to_owned(),
        max_batch_size: 0,
        input: signature.inputs.iter().map(input).collect(),
        output: signature.outputs.iter().map(output).collect(),
        model_transaction_policy: Some(ModelTransactionPolicy { decoupled: false }),
    }
}
