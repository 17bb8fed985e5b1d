//! Configuration files: text to checked values, with every mistake found in one go.
//!
//! * [`Sources`], [`Span`]: texts and places in them.
//! * [`parse`]: YAML to a [`Node`] tree in which everything knows its place.
//! * [`Diagnostics`]: what is wrong, gathered, sorted, rendered with line, column and caret.
//! * [`MapReader`] and [`values`]: walking a tree whose keys are known.
//! * [`Config`]: the file itself, with [`ServerSpec`], [`ModelSpec`], [`BatcherSpec`] and [`EndpointSpec`].
//!
//! What a pipeline means is not known here: pipelines stay [`Node`]s for the gateway.

mod batcher;
mod diagnostics;
mod endpoint;
mod endpoints;
mod file;
mod model;
mod names;
mod node;
mod reader;
mod render;
mod scalar;
mod server;
mod source;
mod syntax;
pub mod values;
mod yaml;

#[cfg(test)]
mod tests;

pub use batcher::{BATCHER_KEYS, BatchPolicy, BatcherKey, BatcherSpec};
pub use diagnostics::{DIAGNOSTICS_MAX, Diagnostic, Diagnostics, Severity, list_of, nearest};
pub use endpoint::{Endpoint, EndpointError};
pub use endpoints::{ENDPOINTS_MAX, EndpointSpec};
pub use file::{Config, PIPELINES_MAX};
pub use model::{ModelSpec, Pooling, TOKENS_MAX, Task, TokenizerSpec};
pub use names::{NAME_CHARS_MAX, NameRule};
pub use node::{Entry, Map, Node, Value};
pub use reader::{MapReader, shown};
pub use render::Colour;
pub use server::{
    CONCURRENT_REQUESTS_MAX, CONCURRENT_STREAMS_MAX, GRACE_MAX, MESSAGE_BYTES, ServerSpec,
    parse_address,
};
pub use source::{FILE_BYTES_MAX, FileId, ReadError, SourceFile, Sources, Span, Spanned};
pub use yaml::{DEPTH_MAX, NODES_MAX, parse};
