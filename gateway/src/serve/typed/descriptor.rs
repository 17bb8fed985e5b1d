//! The descriptor of the .proto file of a pipeline.
//!
//! A scalar is `optional`, so that zero and an absent value differ; a list is `repeated`, a matrix
//! is a repeated row message, and a tensor of more dimensions is `motet.v1.Tensor`.

use std::sync::LazyLock;

use motet_proto::types::ElementType;
use prost_reflect::DescriptorPool;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{
    DescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileOptions, MethodDescriptorProto,
    OneofDescriptorProto, ServiceDescriptorProto,
};

use super::names::{
    ERROR, GO_PACKAGE, PACKAGE, RECEIPT, REQUEST_ID, RUN, RUN_STREAM, service_name,
};
use crate::check::{CheckedPipeline, OutputKind, pascal_case};

/// Messages of one pipeline, and the file that declares them.
#[derive(Debug, Clone)]
pub struct TypedApi {
    /// Full name of the service.
    pub service: String,
    /// File that declares service and messages, without its imports.
    pub file: FileDescriptorProto,
}

/// Failure to declare the messages of a pipeline.
#[derive(Debug, thiserror::Error)]
pub enum DescriptorError {
    /// Two names of the pipeline are the same in protobuf.
    #[error("pipeline {pipeline} has no typed API: {source}")]
    Clash {
        /// Name of the pipeline.
        pipeline: String,
        /// The two names.
        source: Box<prost_reflect::DescriptorError>,
    },
    /// The declared service is not in the descriptor pool.
    #[error("service {0} is not declared")]
    Missing(String),
}

/// The files that the file of a pipeline may import.
static BASE: LazyLock<DescriptorPool> = LazyLock::new(|| {
    // A constant that the build made. Without it no pipeline would have a typed API.
    DescriptorPool::decode(motet_proto::FILE_DESCRIPTOR_SET).unwrap_or_default()
});

impl TypedApi {
    /// Declares the messages of `pipeline`.
    ///
    /// # Errors
    /// When two names of the pipeline are the same in protobuf.
    pub fn new(pipeline: &CheckedPipeline) -> Result<Self, DescriptorError> {
        let file = file(pipeline);
        let error = |source| DescriptorError::Clash {
            pipeline: pipeline.name.clone(),
            source: Box::new(source),
        };
        // Only to know that the file is valid: requests and responses need no descriptors.
        let mut pool = BASE.clone();
        pool.add_file_descriptor_proto(file.clone())
            .map_err(error)?;
        let service = service_name(&pipeline.name);
        if pool.get_service_by_name(&service).is_none() {
            return Err(DescriptorError::Missing(service));
        }
        Ok(Self { service, file })
    }
}

/// Returns the path of the .proto file of a pipeline.
pub fn file_name(pipeline: &str) -> String {
    format!("motet/pipeline/{pipeline}.proto")
}

fn file(pipeline: &CheckedPipeline) -> FileDescriptorProto {
    let stem = pascal_case(&pipeline.name);
    let method = |name: &str, streaming: bool| MethodDescriptorProto {
        name: Some(name.to_owned()),
        input_type: Some(format!(".{PACKAGE}.{stem}Request")),
        output_type: Some(format!(".{PACKAGE}.{stem}Response")),
        client_streaming: Some(streaming),
        server_streaming: Some(streaming),
        ..Default::default()
    };
    let messages = vec![request(pipeline, &stem), response(pipeline, &stem)];
    let mut dependency = vec!["google/rpc/status.proto", "motet/v1/receipt.proto"];
    if messages.iter().any(uses_tensors) {
        dependency.push("motet/v1/tensor.proto");
    }
    FileDescriptorProto {
        name: Some(file_name(&pipeline.name)),
        package: Some(PACKAGE.to_owned()),
        dependency: dependency.into_iter().map(str::to_owned).collect(),
        message_type: messages,
        service: vec![ServiceDescriptorProto {
            name: Some(stem.clone()),
            method: vec![method(RUN, false), method(RUN_STREAM, true)],
            ..Default::default()
        }],
        syntax: Some("proto3".to_owned()),
        options: Some(FileOptions {
            go_package: Some(GO_PACKAGE.to_owned()),
            java_multiple_files: Some(true),
            java_outer_classname: Some(format!("{stem}Proto")),
            java_package: Some(PACKAGE.to_owned()),
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// Returns whether a field has a message of `motet/v1/tensor.proto`.
fn uses_tensors(message: &DescriptorProto) -> bool {
    let receipt = ".motet.v1.Receipt";
    message
        .field
        .iter()
        .any(|f| f.type_name().starts_with(".motet.v1.") && f.type_name() != receipt)
        || message.nested_type.iter().any(uses_tensors)
}

fn request(pipeline: &CheckedPipeline, stem: &str) -> DescriptorProto {
    let mut message = Message::new(format!("{stem}Request"));
    for input in &pipeline.inputs {
        message.tensor(&input.name, input.ty.element, input.ty.rank());
    }
    message.scalar(REQUEST_ID, Type::String, None);
    message.0
}

fn response(pipeline: &CheckedPipeline, stem: &str) -> DescriptorProto {
    let mut message = Message::new(format!("{stem}Response"));
    for output in &pipeline.outputs {
        match &output.kind {
            OutputKind::Value(value) => {
                message.tensor(&output.name, value.ty.element, value.ty.rank());
            }
            OutputKind::Records { columns, .. } => {
                let name = pascal_case(&output.name);
                let full = format!(".{PACKAGE}.{stem}Response.{name}");
                let mut record = Message::new(name);
                for column in columns {
                    // The first dimension counts the records.
                    let rank = column.ty.rank().saturating_sub(1);
                    record.tensor(&column.name, column.ty.element, rank);
                }
                message.0.nested_type.push(record.0);
                message.field(&output.name, Label::Repeated, Type::Message, Some(full));
            }
        }
    }
    message.scalar(RECEIPT, Type::Message, Some(".motet.v1.Receipt"));
    message.scalar(REQUEST_ID, Type::String, None);
    message.scalar(ERROR, Type::Message, Some(".google.rpc.Status"));
    message.0
}

/// Builder of a message.
struct Message(DescriptorProto);

impl Message {
    fn new(name: String) -> Self {
        Self(DescriptorProto {
            name: Some(name),
            ..Default::default()
        })
    }

    /// Adds the field of a tensor, with the next number.
    fn tensor(&mut self, name: &str, element: ElementType, rank: usize) {
        match rank {
            0 => {
                self.field(name, Label::Optional, scalar_type(element), None);
                self.make_optional();
            }
            1 => self.field(name, Label::Repeated, scalar_type(element), None),
            2 => {
                let row = format!(".motet.v1.{}", row_message(element));
                self.field(name, Label::Repeated, Type::Message, Some(row));
            }
            _ => {
                let tensor = ".motet.v1.Tensor".to_owned();
                self.field(name, Label::Optional, Type::Message, Some(tensor));
            }
        }
    }

    fn field(&mut self, name: &str, label: Label, ty: Type, type_name: Option<String>) {
        let number = self.0.field.len() as i32 + 1;
        self.numbered(name, number, label, ty, type_name);
    }

    /// Adds a field that every pipeline has, with its fixed number.
    fn scalar(&mut self, (name, number): (&str, u32), ty: Type, type_name: Option<&str>) {
        let type_name = type_name.map(str::to_owned);
        self.numbered(name, number as i32, Label::Optional, ty, type_name);
    }

    fn numbered(
        &mut self,
        name: &str,
        number: i32,
        label: Label,
        ty: Type,
        type_name: Option<String>,
    ) {
        self.0.field.push(FieldDescriptorProto {
            name: Some(name.to_owned()),
            // JSON has the name of the pipeline file too.
            json_name: Some(name.to_owned()),
            number: Some(number),
            label: Some(label.into()),
            r#type: Some(ty.into()),
            type_name,
            ..Default::default()
        });
    }

    /// Makes the last field `optional`, which in a descriptor is a oneof of its own.
    fn make_optional(&mut self) {
        let index = self.0.oneof_decl.len() as i32;
        if let Some(field) = self.0.field.last_mut() {
            field.proto3_optional = Some(true);
            field.oneof_index = Some(index);
            self.0.oneof_decl.push(OneofDescriptorProto {
                name: Some(format!("_{}", field.name())),
                ..Default::default()
            });
        }
    }
}

/// Returns the protobuf type of one element.
fn scalar_type(element: ElementType) -> Type {
    match element {
        ElementType::String => Type::String,
        ElementType::Bytes => Type::Bytes,
        ElementType::Bool => Type::Bool,
        ElementType::I8 | ElementType::I16 | ElementType::I32 => Type::Int32,
        ElementType::I64 => Type::Int64,
        ElementType::U8 | ElementType::U16 | ElementType::U32 => Type::Uint32,
        ElementType::U64 => Type::Uint64,
        ElementType::F16 | ElementType::BF16 | ElementType::F32 => Type::Float,
        ElementType::F64 => Type::Double,
    }
}

/// Returns the message of one row of a matrix.
fn row_message(element: ElementType) -> &'static str {
    match element {
        ElementType::String => "StringRow",
        ElementType::Bytes => "BytesRow",
        ElementType::Bool => "BoolRow",
        ElementType::I8 | ElementType::I16 | ElementType::I32 => "IntRow",
        ElementType::I64 => "LongRow",
        ElementType::U8 | ElementType::U16 | ElementType::U32 => "UintRow",
        ElementType::U64 => "UlongRow",
        ElementType::F16 | ElementType::BF16 | ElementType::F32 => "FloatRow",
        ElementType::F64 => "DoubleRow",
    }
}
