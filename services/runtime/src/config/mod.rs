//! Parts of a configuration that every process has: the key `server`, names, and addresses of
//! other servers.
//!
//! * `server`: [`ServerSpec`], the key `server`.
//! * `names`: [`NameRule`], rules for names of models, endpoints, pipelines and nodes.
//! * `endpoint`: [`Endpoint`], `grpc://host:port`.

mod endpoint;
mod names;
mod server;

pub use endpoint::{Endpoint, EndpointError, ErrorWords};
pub use names::{NAME_CHARS_MAX, NameRule};
pub use server::{ServerSpec, parse_address};
