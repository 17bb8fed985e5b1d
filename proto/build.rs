//! Compiles the .proto files with protox: no protoc needed.

use std::error::Error;
use std::path::PathBuf;

use prost::Message;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    let files = protox::compile(
        [
            "google/rpc/status.proto",
            "inference/inference.proto",
            "motet/v1/pipelines.proto",
            "motet/v1/receipt.proto",
            "motet/v1/tensor.proto",
        ],
        ["proto"],
    )?;
    let descriptors = PathBuf::from(std::env::var("OUT_DIR")?).join("descriptors.bin");
    std::fs::write(descriptors, files.encode_to_vec())?;
    let mut messages = tonic_prost_build::Config::new();
    // By its name the codec finds what a message takes in memory.
    messages.enable_type_names();
    tonic_prost_build::configure()
        // `Bytes` fields are slices of the received buffer, never copies.
        .bytes(".inference")
        .bytes(".motet.v1")
        .codec_path("crate::wire::BoundedCodec")
        .compile_fds_with_config(files, messages)?;
    Ok(())
}
