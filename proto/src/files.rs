//! The .proto files as path and text, for code generators.

macro_rules! file {
    ($path:literal) => {
        ($path, include_str!(concat!("../proto/", $path)))
    };
}

/// The Open Inference Protocol with Triton's additions.
pub const INFERENCE: (&str, &str) = file!("inference/inference.proto");

/// `motet.v1.Pipelines`.
pub const PIPELINES: (&str, &str) = file!("motet/v1/pipelines.proto");

/// Configuration of `buf lint` that accepts the names which cannot change for existing clients.
pub const BUF: (&str, &str) = file!("buf.yaml");

/// The files that the .proto file of a pipeline imports, except those that protobuf itself has.
pub const IMPORTS: [(&str, &str); 3] = [
    file!("google/rpc/status.proto"),
    file!("motet/v1/receipt.proto"),
    file!("motet/v1/tensor.proto"),
];
