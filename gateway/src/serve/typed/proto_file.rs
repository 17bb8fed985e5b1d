//! The descriptor of a pipeline as the text of a .proto file, for code generators.

use std::fmt::Write;

use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorProto};

use super::descriptor::TypedApi;
use super::names::{ERROR, RECEIPT, REQUEST_ID, RUN};
use crate::check::CheckedPipeline;

/// Comments that make `buf lint` ignore rules which the names of a pipeline break; clients call
/// them by these names.
const PACKAGE_COMMENT: &str = "\
// The package of every pipeline. A pipeline is loaded under its own name, without a version.
//
// buf:lint:ignore PACKAGE_VERSION_SUFFIX
";
const SERVICE_COMMENT: &str = "\
// The service has the name of the pipeline, and its two methods have the same messages.
//
// buf:lint:ignore RPC_REQUEST_RESPONSE_UNIQUE
// buf:lint:ignore RPC_REQUEST_STANDARD_NAME
// buf:lint:ignore RPC_RESPONSE_STANDARD_NAME
// buf:lint:ignore SERVICE_SUFFIX
";

/// Returns the text of the .proto file of `pipeline`. Compiled, it is the descriptor that
/// reflection serves.
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
    writeln!(out, "syntax = \"proto3\";\n")?;
    writeln!(out, "{PACKAGE_COMMENT}package {};\n", file.package())?;
    for import in &file.dependency {
        writeln!(out, "import \"{import}\";")?;
    }
    writeln!(out)?;
    write_options(out, file)?;
    for service in &file.service {
        writeln!(out)?;
        if let Some(description) = &pipeline.description {
            for line in description.lines() {
                writeln!(out, "{}", format!("// {line}").trim_end())?;
            }
            writeln!(out, "//")?;
        }
        writeln!(out, "{SERVICE_COMMENT}service {} {{", service.name())?;
        for method in &service.method {
            let stream = |streams: bool| if streams { "stream " } else { "" };
            writeln!(out, "  // {}", method_comment(method.name()))?;
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

/// Writes the options for Go and Java, in alphabetical order.
fn write_options(out: &mut String, file: &FileDescriptorProto) -> std::fmt::Result {
    let Some(options) = &file.options else {
        return Ok(());
    };
    writeln!(out, "option go_package = \"{}\";", options.go_package())?;
    let multiple = options.java_multiple_files();
    writeln!(out, "option java_multiple_files = {multiple};")?;
    let class = options.java_outer_classname();
    writeln!(out, "option java_outer_classname = \"{class}\";")?;
    writeln!(out, "option java_package = \"{}\";", options.java_package())
}

fn method_comment(method: &str) -> &'static str {
    if method == RUN {
        "Answers one request."
    } else {
        "Answers each request of the stream as it finishes, in any order: set `request_id`."
    }
}

/// Returns the comment of a field that every pipeline has.
fn field_comment(field: &FieldDescriptorProto) -> Option<&'static str> {
    let comments = [
        (REQUEST_ID, "The same in a response as in its request."),
        (
            RECEIPT,
            "Set if the metadata `motet-receipt: 1` asks for it.",
        ),
        (ERROR, "The status of a request of a stream that failed."),
    ];
    let found = comments
        .iter()
        .find(|((name, number), _)| *name == field.name() && *number as i32 == field.number());
    found.map(|(_, comment)| *comment)
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
        if let Some(comment) = field_comment(field) {
            writeln!(out, "{inner}// {comment}")?;
        }
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

/// Returns the option that keeps a name in JSON, where protobuf would make `topN` of `top_n`.
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
