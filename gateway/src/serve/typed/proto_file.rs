//! A pipeline's descriptor as the text of a .proto file, for code generators.

use std::fmt::Write;

use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorProto};

use super::descriptor::TypedApi;
use crate::check::CheckedPipeline;

/// The text of the .proto file of `pipeline`. It says the same as the descriptor that reflection
/// serves.
pub fn proto_file(pipeline: &CheckedPipeline, api: &TypedApi) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write_file(&mut out, pipeline, &api.file);
    out
}

fn write_file(
    out: &mut String,
    pipeline: &CheckedPipeline,
    file: &FileDescriptorProto,
) -> std::fmt::Result {
    writeln!(
        out,
        "// Pipeline {}, version {}.",
        pipeline.name, pipeline.version
    )?;
    writeln!(out, "syntax = \"proto3\";\n\npackage {};\n", file.package())?;
    for import in &file.dependency {
        writeln!(out, "import \"{import}\";")?;
    }
    for service in &file.service {
        writeln!(out)?;
        for line in pipeline.description.as_deref().unwrap_or("").lines() {
            writeln!(out, "// {line}")?;
        }
        writeln!(out, "service {} {{", service.name())?;
        for method in &service.method {
            let stream = |streams: bool| if streams { "stream " } else { "" };
            writeln!(
                out,
                "  rpc {}({}{}) returns ({}{});",
                method.name(),
                stream(method.client_streaming()),
                method.input_type(),
                stream(method.server_streaming()),
                method.output_type()
            )?;
        }
        writeln!(out, "}}")?;
    }
    for message in &file.message_type {
        writeln!(out)?;
        write_message(out, message, "")?;
    }
    Ok(())
}

fn write_message(out: &mut String, message: &DescriptorProto, indent: &str) -> std::fmt::Result {
    writeln!(out, "{indent}message {} {{", message.name())?;
    let inner = format!("{indent}  ");
    for nested in &message.nested_type {
        write_message(out, nested, &inner)?;
        writeln!(out)?;
    }
    for field in &message.field {
        let label = match field.label() {
            Label::Repeated => "repeated ",
            _ if field.proto3_optional() => "optional ",
            _ => "",
        };
        writeln!(
            out,
            "{inner}{label}{} {} = {}{};",
            type_name(field),
            field.name(),
            field.number(),
            json_name(field)
        )?;
    }
    writeln!(out, "{indent}}}")
}

/// JSON keeps the names of the pipeline file, where protobuf would make `topN` of `top_n`.
fn json_name(field: &FieldDescriptorProto) -> String {
    if field.name().contains('_') {
        format!(" [json_name = \"{}\"]", field.name())
    } else {
        String::new()
    }
}

fn type_name(field: &FieldDescriptorProto) -> &str {
    match field.r#type() {
        Type::String => "string",
        Type::Bytes => "bytes",
        Type::Bool => "bool",
        Type::Int32 => "int32",
        Type::Int64 => "int64",
        Type::Uint32 => "uint32",
        Type::Uint64 => "uint64",
        Type::Float => "float",
        Type::Double => "double",
        _ => field.type_name(),
    }
}
