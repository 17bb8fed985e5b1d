//! `server:`: where a process listens and what it takes on at once.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use crate::limits::READ_TIMEOUT;
use motet_config::{
    Diagnostic, Diagnostics, Entry, MapReader, truncated,
    values::{count, duration, size, string},
};

/// Where a process listens and what it takes on at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerSpec {
    /// The gRPC address. Default `127.0.0.1:50051`; port 0 picks a free one.
    pub grpc: SocketAddr,
    /// The address of metrics and health over HTTP; `None` where the file says `off`. Default
    /// `127.0.0.1:8080`.
    pub http: Option<SocketAddr>,
    /// How long requests in flight may go on after a stop was asked for. Default 10 s.
    pub grace: Duration,
    /// The most bytes of one gRPC message, in or out. Default 64 MiB.
    pub max_message_bytes: usize,
    /// The most requests that the process works on at once; more are refused. Default 1024.
    pub max_concurrent_requests: usize,
    /// How long the message of a call may take to come; streams may take as long as they like. Default 30 s.
    pub read_timeout: Duration,
    /// The most connections on each port; more wait until one closes. Default 10,000.
    pub max_connections: usize,
    /// The most streams that one connection may have open. Default 1024.
    pub max_concurrent_streams: u32,
}

impl Default for ServerSpec {
    fn default() -> Self {
        let loopback = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
        Self {
            grpc: loopback(50_051),
            http: Some(loopback(8_080)),
            grace: Duration::from_secs(10),
            max_message_bytes: 64 << 20,
            max_concurrent_requests: 1024,
            read_timeout: READ_TIMEOUT,
            max_connections: 10_000,
            max_concurrent_streams: 1024,
        }
    }
}

/// The shortest and longest [`ServerSpec::read_timeout`].
pub(super) const READ_TIMEOUTS: (Duration, Duration) =
    (Duration::from_millis(100), Duration::from_secs(3600));
/// The longest [`ServerSpec::grace`].
pub const GRACE_MAX: Duration = Duration::from_secs(3600);
/// The least and most of [`ServerSpec::max_message_bytes`].
pub const MESSAGE_BYTES: (usize, usize) = (4 << 10, 1 << 30);
/// The most of [`ServerSpec::max_concurrent_requests`].
pub const CONCURRENT_REQUESTS_MAX: usize = 1_000_000;
/// The most of [`ServerSpec::max_connections`].
pub const CONNECTIONS_MAX: usize = 1_000_000;
/// The most of [`ServerSpec::max_concurrent_streams`].
pub const CONCURRENT_STREAMS_MAX: usize = 1_000_000;

pub(super) fn read(entry: &Entry, diagnostics: &mut Diagnostics) -> ServerSpec {
    let mut spec = ServerSpec::default();
    if entry.node.is_null() {
        return spec;
    }
    let Some(mut map) = MapReader::new(&entry.node, "`server`", entry.key.span, diagnostics) else {
        return spec;
    };
    if let Some(address) = map.get("grpc").and_then(|e| address(e, diagnostics)) {
        spec.grpc = address;
    }
    if let Some(entry) = map.get("http") {
        if entry.node.as_str() == Some("off") {
            spec.http = None;
        } else if let Some(address) = address(entry, diagnostics) {
            spec.http = Some(address);
        }
    }
    if let Some(grace) = map
        .get("grace")
        .and_then(|e| duration(e, Duration::ZERO..=GRACE_MAX, diagnostics))
    {
        spec.grace = grace.value;
    }
    if let Some(bytes) = map
        .get("max_message_bytes")
        .and_then(|e| size(e, MESSAGE_BYTES.0..=MESSAGE_BYTES.1, diagnostics))
    {
        spec.max_message_bytes = bytes.value;
    }
    if let Some(requests) = map
        .get("max_concurrent_requests")
        .and_then(|e| count(e, 1..=CONCURRENT_REQUESTS_MAX, diagnostics))
    {
        spec.max_concurrent_requests = requests.value;
    }
    if let Some(limit) = map
        .get("read_timeout")
        .and_then(|e| duration(e, READ_TIMEOUTS.0..=READ_TIMEOUTS.1, diagnostics))
    {
        spec.read_timeout = limit.value;
    }
    if let Some(connections) = map
        .get("max_connections")
        .and_then(|e| count(e, 1..=CONNECTIONS_MAX, diagnostics))
    {
        spec.max_connections = connections.value;
    }
    if let Some(streams) = map
        .get("max_concurrent_streams")
        .and_then(|e| count(e, 1..=CONCURRENT_STREAMS_MAX, diagnostics))
    {
        spec.max_concurrent_streams = u32::try_from(streams.value).unwrap_or(u32::MAX);
    }
    map.finish(diagnostics);
    if let Some(http) = spec.http
        && http == spec.grpc
        && http.port() != 0
    {
        diagnostics.push(Diagnostic::error(
            entry.key.span,
            format!("`grpc` and `http` cannot both listen on {http}"),
        ));
    }
    spec
}

fn address(entry: &Entry, diagnostics: &mut Diagnostics) -> Option<SocketAddr> {
    let text = string(entry, diagnostics)?;
    match parse_address(&text.value) {
        Some(address) => Some(address),
        None => {
            diagnostics.push(
                Diagnostic::error(
                    text.span,
                    format!(
                        "`{}` must be an IP address and a port, not `{}`",
                        entry.key.value,
                        truncated(&text.value)
                    ),
                )
                .help("write `127.0.0.1:50051` for this machine only, `0.0.0.0:50051` for every network, port 0 for a free one"),
            );
            None
        }
    }
}

/// An address to listen on: `IP:port`, `[IPv6]:port` or `localhost:port`.
pub fn parse_address(text: &str) -> Option<SocketAddr> {
    if let Some(port) = text.strip_prefix("localhost:") {
        return Some(SocketAddr::new(
            Ipv4Addr::LOCALHOST.into(),
            port.parse().ok()?,
        ));
    }
    text.parse().ok()
}
