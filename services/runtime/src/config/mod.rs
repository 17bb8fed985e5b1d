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
//! * `exposure`: [`Port`], and whether strangers may reach it.
//! * `tls`: [`TlsSpec`], the files with which ports speak TLS.

mod admin;
mod audit;
mod auth;
mod endpoint;
mod exposure;
mod listener;
mod names;
mod server;
mod tls;

pub use admin::AdminSpec;
pub use audit::AuditSpec;
pub use auth::{AuthSpec, JwtSpec, KeySetSource};
pub use endpoint::{Endpoint, EndpointError, ErrorWords};
pub use exposure::{ExposedError, Exposure, INSECURE_HTTP, Insecure, Lack, Port};
pub use listener::HttpServices;
pub use names::{NAME_CHARS_MAX, NameRule};
pub use server::{ServerSpec, parse_address};
pub use tls::{ClientAuth, TlsSpec};
