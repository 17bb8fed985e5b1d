//! Parts of a configuration that every process has: the key `server`, names, and addresses of
//! other servers.
//!
//! * `server`: [`ServerSpec`], the key `server`.
//! * `names`: [`NameRule`], rules for names of models, endpoints, pipelines and nodes.
//! * `endpoint`: [`Endpoint`], `grpc://host:port`.
//! * `exposure`: [`Port`], and whether strangers may reach it.
//! * `tls`: [`TlsSpec`], the files with which ports speak TLS.

mod endpoint;
mod exposure;
mod names;
mod server;
mod tls;

pub use endpoint::{Endpoint, EndpointError, ErrorWords};
pub use exposure::{ExposedError, Exposure, INSECURE_HTTP, Insecure, Lack, Port};
pub use names::{NAME_CHARS_MAX, NameRule};
pub use server::{ServerSpec, parse_address};
pub use tls::{ClientAuth, TlsSpec};
