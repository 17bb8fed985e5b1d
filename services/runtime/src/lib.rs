//! The parts that every motet server process needs, whatever it serves.
//!
//! A request passes through them in this order: [`serve`] accepts its connection, [`layers`] stacks
//! trace, admission, deadline, error mapping and panics around the [`routes`], and the handler
//! finds its [`deadline`] in the request's extensions and answers errors made by [`status`].
//!
//! * [`audit`]: who did what.
//! * [`auth`]: who calls, and what they may do.
//! * [`compression`]: gzip and zstd of messages.
//! * [`config`]: the sections of a configuration file that concern servers and models.
//! * [`connect`]: connections to other servers.
//! * [`deadline`]: `grpc-timeout`, enforced and passed on.
//! * [`flow`]: the callers among which capacity is shared.
//! * [`forward`]: headers of a call that go along to other servers.
//! * [`health`]: `grpc.health.v1`, and readiness for the HTTP port.
//! * [`heap`]: free memory goes back to the system.
//! * [`http`]: the HTTP port.
//! * [`layers`]: the server's layers and the skeleton that they share.
//! * [`limits`]: admission, body timeouts, error mapping, panics.
//! * [`listener`]: which services are reachable at which address.
//! * [`metrics`]: instruments, Prometheus text, OTLP.
//! * [`reflection`]: gRPC reflection over descriptors known at run time.
//! * [`request_stream`]: streams of requests.
//! * [`routes`]: the services behind a port, replaceable while it serves.
//! * [`serve`]: ports and connections.
//! * [`shutdown`]: signals and draining.
//! * [`status`]: gRPC errors with details.
//! * [`telemetry`]: logs, traces and trace context.
//! * [`tls`]: TLS of ports and of connections to other servers.
//! * [`turns`]: turns of flows to compute.
//! * [`usage`]: what a request took of the server.

pub mod audit;
pub mod auth;
pub mod compression;
pub mod config;
pub mod connect;
pub mod deadline;
pub mod flow;
pub mod forward;
pub mod health;
pub mod heap;
pub mod http;
pub mod layers;
pub mod limits;
pub mod listener;
pub mod metrics;
mod panics;
pub mod reflection;
pub mod request_stream;
pub mod routes;
pub mod serve;
pub mod shutdown;
pub mod status;
pub mod telemetry;
pub mod tls;
pub mod turns;
pub mod usage;
