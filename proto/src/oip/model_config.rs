//! Triton's model configuration, which its clients ask for.

use crate::inference::{DataType, ModelConfig, ModelInput, ModelOutput, ModelTransactionPolicy};
use crate::signature::{Port, Signature};
use crate::types::ElementType;

/// Returns the configuration of a model that `platform` runs. `max_batch_size` is 0, since a
/// request is not a batch: rows are batched inside the server, across callers.
pub fn model_config(name: &str, platform: &str, signature: &Signature) -> ModelConfig {
    let input = |port: &Port| ModelInput {
        name: port.name.clone(),
        data_type: data_type(port.ty.element).into(),
        dims: port.ty.oip_shape(),
    };
    let output = |port: &Port| ModelOutput {
        name: port.name.clone(),
        data_type: data_type(port.ty.element).into(),
        dims: port.ty.oip_shape(),
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

/// Returns Triton's name of an element type.
fn data_type(element: ElementType) -> DataType {
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
