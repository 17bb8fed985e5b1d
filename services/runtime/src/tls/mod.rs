//! TLS of ports and to other servers, by rustls with ring, where the Cargo feature `tls` builds it
//! in.
//!
//! TLS 1.2 and 1.3. Certificates, keys and authorities are files that are read again when they
//! change, for the handshakes that follow; a file that cannot be used changes nothing.
//!
//! * `certificate`: how long a certificate is valid, and whose it is.
//! * `client`: [`ClientTls`], what a server is spoken to with.
//! * `file`: a file by its key; `files`: the files of a port, as they are at a moment.
//! * `name`: [`PeerName`], names of clients.
//! * `pem`: certificates, keys and authorities in PEM files.
//! * `problem`: [`TlsProblem`], a file that cannot be used.
//! * `server`: [`ServerTls`], what ports speak TLS with.
//! * `watch`: the look at the files, every few seconds and on SIGHUP.

mod name;
mod problem;

#[cfg(feature = "tls")]
mod certificate;
#[cfg(feature = "tls")]
mod client;
#[cfg(feature = "tls")]
mod file;
#[cfg(feature = "tls")]
mod files;
#[cfg(feature = "tls")]
mod pem;
#[cfg(feature = "tls")]
mod server;
#[cfg(feature = "tls")]
mod watch;

#[cfg(not(feature = "tls"))]
mod absent;

#[cfg(not(feature = "tls"))]
pub use absent::{ClientTls, PortTls, ServerTls};
#[cfg(feature = "tls")]
pub use client::ClientTls;
pub use name::PeerName;
pub use problem::TlsProblem;
#[cfg(feature = "tls")]
pub use server::{PortTls, ServerTls};

#[cfg(feature = "tls")]
pub(crate) use certificate::names_of;

#[cfg(all(test, feature = "tls"))]
mod tests;
