//! The keys of a configuration file: [`Config`] with [`ServerSpec`], [`ModelSpec`],
//! [`BatcherSpec`] and [`EndpointSpec`], read with `motet_config`.
//!
//! What a pipeline means is not known here: pipelines stay `Node`s for the gateway.

mod batcher;
mod endpoint;
mod endpoints;
mod file;
mod model;
mod names;
mod server;

#[cfg(test)]
mod tests;

pub use batcher::{BATCHER_KEYS, BatchPolicy, BatcherKey, BatcherSpec};
pub use endpoint::{Endpoint, EndpointError};
pub use endpoints::{ENDPOINTS_MAX, EndpointSpec};
pub use file::{Config, PIPELINES_MAX};
pub use model::{ModelSpec, Pooling, TOKENS_MAX, Task, TokenizerSpec};
pub use names::{NAME_CHARS_MAX, NameRule};
pub use server::{
    CONCURRENT_REQUESTS_MAX, CONCURRENT_STREAMS_MAX, CONNECTIONS_MAX, GRACE_MAX, MESSAGE_BYTES,
    ServerSpec, parse_address,
};

// Call sites move to `motet_config` one room at a time.
pub use motet_config::{truncated as shown, *};

/// Readers of single values.
pub mod values {
    pub use motet_config::values::{string as text, *};
}
