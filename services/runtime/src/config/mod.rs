//! Parts of a configuration that every process has: the key `server`, names, and addresses of
//! other servers.
//!
//! * `server`: [`ServerSpec`], the key `server`.
//! * `admin`: [`AdminSpec`], the address at which the server can be changed.
//! * `audit`: [`AuditSpec`], the file of the audit.
//! * `auth`: [`AuthSpec`], the sources that credentials are checked against.
//! * `listener`: the switches of one address.
//! * `names`: [`NameRule`], rules for names of models, endpoints, pipelines and nodes.
//! * `endpoint`: [`Endpoint`], `grpc://host:port`.
//! * `destination`: [`Destination`], a server and how it is spoken to; `client_tls`: its TLS.
//! * `exposure`: [`Port`], and whether strangers may reach it.
//! * `headers`: [`HeaderSpec`], headers of calls to other servers.
//! * `secret`: [`Secret`], credentials of other keys.
//! * `tls`: [`TlsSpec`], the files with which ports speak TLS.

mod admin;
mod audit;
mod auth;
mod client_tls;
mod destination;
mod endpoint;
mod exposure;
mod headers;
mod listener;
mod names;
mod secret;
mod server;
mod tls;

pub use admin::AdminSpec;
pub use audit::AuditSpec;
pub use auth::{AuthSpec, JwtSpec, KeySetSource};
pub use client_tls::ClientTlsSpec;
pub use destination::{AccessSpec, Destination};
pub use endpoint::{Endpoint, EndpointError, ErrorWords};
pub use exposure::{ExposedError, Exposure, INSECURE_HTTP, Insecure, Lack, Port};
pub use headers::{HeaderError, HeaderSpec};
pub use listener::HttpServices;
pub use names::{NAME_CHARS_MAX, NameRule};
pub use secret::Secret;
pub use server::{ServerSpec, parse_address};
pub use tls::{ClientAuth, TlsSpec};
