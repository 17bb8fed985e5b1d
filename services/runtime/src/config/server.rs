//! The key `server` of a configuration: addresses and limits of a process.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use motet_config::keys::{self, Field, Key};
use motet_config::values::string;
use motet_config::{Diagnostic, Diagnostics, Entry, MapReader, truncated};
use serde_json::{Value, json};

use super::admin::AdminSpec;
use super::audit::AuditSpec;
use super::auth::AuthSpec;
use super::exposure::{Insecure, Port};
use super::headers::{forward_schema, read_forward};
use super::listener::{HttpServices, read_grpc, read_http};
use super::tls::TlsSpec;
use crate::limits::{
    MAX_REQUEST_STREAMS, MAX_REQUEST_STREAMS_PER_CONNECTION, MAX_WATCHES,
    MAX_WATCHES_PER_CONNECTION, READ_TIMEOUT,
};
use crate::listener::ListenerServices;
use crate::serve::{MAX_CONCURRENT_STREAMS, MAX_RESETS_PER_SECOND, WRITE_TIMEOUT};

/// Addresses and limits of a process.
#[derive(Debug, Clone, PartialEq)]
pub struct ServerSpec {
    /// Address of the gRPC server; port 0 is a free one.
    pub grpc: SocketAddr,
    /// Address of metrics and health over HTTP; `None` if they are off.
    pub http: Option<SocketAddr>,
    /// Files with which the ports speak TLS; `None` for plain text.
    pub tls: Option<TlsSpec>,
    /// Ports that may do without TLS and authentication where strangers may reach them.
    pub insecure: Insecure,
    /// Services of the gRPC server besides calls; whether it changes the server follows from
    /// `admin`.
    pub grpc_services: ListenerServices,
    /// Pages of the HTTP server.
    pub http_services: HttpServices,
    /// Address at which the server can be changed.
    pub admin: AdminSpec,
    /// Authentication of callers; `None` for none.
    pub auth: Option<AuthSpec>,
    /// The audit; `None` for none.
    pub audit: Option<AuditSpec>,
    /// Names of the caller's headers that go along to every server that is called.
    pub forward: Vec<String>,
    /// Time that requests in flight have to finish after a stop was requested.
    pub grace: Duration,
    /// Most bytes of a gRPC message, received or sent.
    pub max_message_bytes: usize,
    /// Most requests in progress; more are refused.
    pub max_concurrent_requests: usize,
    /// Most requests in progress of one connection; `None` for its share.
    pub max_concurrent_requests_per_connection: Option<usize>,
    /// Most open streams of requests.
    pub max_request_streams: usize,
    /// Most open streams of requests of one connection.
    pub max_request_streams_per_connection: usize,
    /// Most open health watches and reflection streams.
    pub max_watches: usize,
    /// Most open health watches and reflection streams of one connection.
    pub max_watches_per_connection: usize,
    /// Most bytes of requests and answers held at once; more are refused. `None` is a quarter of
    /// the memory that the process may use.
    pub max_bytes_in_flight: Option<usize>,
    /// Time within which the message of a call must arrive.
    pub read_timeout: Duration,
    /// Time within which the client of a call must take something of its answer.
    pub write_timeout: Duration,
    /// Most calls that the client of a connection may reset in a second.
    pub max_resets_per_second: usize,
    /// Most connections of each port; for more, idle ones are closed.
    pub max_connections: usize,
    /// Most streams of one connection.
    pub max_concurrent_streams: u32,
}

impl Default for ServerSpec {
    fn default() -> Self {
        let loopback = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
        Self {
            grpc: loopback(50_051),
            http: Some(loopback(8_080)),
            tls: None,
            insecure: Insecure::No,
            grpc_services: ListenerServices::default(),
            http_services: HttpServices::default(),
            admin: AdminSpec::default(),
            auth: None,
            audit: None,
            forward: Vec::new(),
            grace: Duration::from_secs(10),
            max_message_bytes: 64 << 20,
            max_concurrent_requests: 1024,
            max_concurrent_requests_per_connection: None,
            max_request_streams: MAX_REQUEST_STREAMS,
            max_request_streams_per_connection: MAX_REQUEST_STREAMS_PER_CONNECTION,
            max_watches: MAX_WATCHES,
            max_watches_per_connection: MAX_WATCHES_PER_CONNECTION,
            max_bytes_in_flight: None,
            read_timeout: READ_TIMEOUT,
            write_timeout: WRITE_TIMEOUT,
            max_resets_per_second: MAX_RESETS_PER_SECOND,
            max_connections: 10_000,
            max_concurrent_streams: MAX_CONCURRENT_STREAMS,
        }
    }
}

/// Longest duration of the keys of `server`.
const DURATION_MAX: Duration = Duration::from_secs(3600);

/// Keys of `server`, in the order of the documentation.
const KEYS: [Key<ServerSpec>; 22] = [
    Key {
        name: "grpc",
        about: "Address of the gRPC server. Port 0 is a free one. A map switches services of the \
                port: `{ address: ..., health: off, reflection: off }`.",
        field: Field::Other {
            read: read_grpc,
            default: |s| Some(s.grpc.to_string()),
            schema: || super::listener::schema(&["health", "reflection"]),
        },
    },
    Key {
        name: "http",
        about: "Address of metrics and health over HTTP, or `off`. A map switches pages: \
                `{ address: ..., health: off, metrics: off }`.",
        field: Field::Other {
            read: read_http,
            default: |s| s.http.map(|http| http.to_string()),
            schema: || super::listener::schema(&["health", "metrics"]),
        },
    },
    Key {
        name: "admin",
        about: "Address of what changes the server: `Load` and `Unload` of pipelines and models. \
                It serves everything else, too. Without the key this is the gRPC server where \
                that is on loopback, else `127.0.0.1:50052`. `off` for nowhere. A map as that of \
                `grpc` switches services. [More](access.md#the-admin-address).",
        field: Field::Other {
            read: |s, entry, diagnostics| {
                s.admin = AdminSpec::read(entry, diagnostics)?;
                Some(())
            },
            default: |_| None,
            schema: || super::listener::schema(&["health", "reflection"]),
        },
    },
    Key {
        name: "auth",
        about: "Who may call: `keys`, a keys file, and `jwt`, tokens of an issuer. Without it, \
                everyone may. [More](access.md).",
        field: Field::Other {
            read: |s, entry, diagnostics| {
                s.auth = Some(AuthSpec::read(entry, diagnostics)?);
                Some(())
            },
            default: |_| None,
            schema: AuthSpec::schema,
        },
    },
    Key {
        name: "audit",
        about: "Where it is written who did what: `path`, `required`, `max_bytes`, `max_files`. \
                [More](access.md#the-audit).",
        field: Field::Other {
            read: |s, entry, diagnostics| {
                s.audit = Some(AuditSpec::read(entry, diagnostics)?);
                Some(())
            },
            default: |_| None,
            schema: AuditSpec::schema,
        },
    },
    Key {
        name: "tls",
        about: "Files with which both ports speak TLS, paths from the folder of this file: \
                `cert`, `key`, and `client_ca` for client certificates, which are `client_auth: \
                required` (default) or `optional`. [More](tls.md).",
        field: Field::Other {
            read: |s, entry, diagnostics| {
                s.tls = Some(TlsSpec::read(entry, diagnostics)?);
                Some(())
            },
            default: |_| None,
            schema: TlsSpec::schema,
        },
    },
    Key {
        name: "insecure",
        about: "`true`: addresses that are not loopback may do without TLS and authentication; \
                `http`: that of the HTTP port may, which asks nobody for a certificate then. \
                [More](tls.md#exposed-ports).",
        field: Field::Other {
            read: |s, entry, diagnostics| {
                s.insecure = Insecure::read(entry, diagnostics)?;
                Some(())
            },
            default: |s| Some(s.insecure.word().to_owned()),
            schema: || json!({ "enum": [true, false, "http"] }),
        },
    },
    Key {
        name: "forward",
        about: "Names of the caller's headers that go along with every call of a model or endpoint \
                elsewhere; `forward` of one of these is for it alone. Others do not, credentials \
                neither. [More](#headers).",
        field: Field::Other {
            read: |s, entry, diagnostics| {
                s.forward = read_forward(entry, diagnostics);
                Some(())
            },
            default: |_| None,
            schema: forward_schema,
        },
    },
    Key {
        name: "grace",
        about: "Time that requests in flight have to finish after a stop was requested.",
        field: Field::Duration(
            Duration::ZERO..=DURATION_MAX,
            |s| Some(s.grace),
            |s, grace| s.grace = grace,
        ),
    },
    Key {
        name: "max_message_bytes",
        about: "Most bytes of a gRPC message, received or sent.",
        field: Field::Size(
            4 << 10..=1 << 30,
            |s| Some(s.max_message_bytes),
            |s, bytes| s.max_message_bytes = bytes,
        ),
    },
    Key {
        name: "max_concurrent_requests",
        about: "Most requests in progress, over all connections and those inside streams among \
                them; more are refused. A connection may have at most twice what is free.",
        field: Field::Count(
            1..=1_000_000,
            |s| Some(s.max_concurrent_requests),
            |s, requests| s.max_concurrent_requests = requests,
        ),
    },
    Key {
        name: "max_concurrent_requests_per_connection",
        about: "Most requests in progress of one connection; more are refused. Without it a \
                connection may have its share, twice what is free.",
        field: Field::Count(
            1..=1_000_000,
            |s| s.max_concurrent_requests_per_connection,
            |s, n| s.max_concurrent_requests_per_connection = Some(n),
        ),
    },
    Key {
        name: "max_request_streams",
        about: "Most open streams of requests (`RunStream`, `ModelStreamInfer`); more are refused. \
                They count whether idle or not, their requests count as requests.",
        field: Field::Count(
            1..=1_000_000,
            |s| Some(s.max_request_streams),
            |s, n| s.max_request_streams = n,
        ),
    },
    Key {
        name: "max_request_streams_per_connection",
        about: "Most open streams of requests of one connection; more are refused.",
        field: Field::Count(
            1..=1_000_000,
            |s| Some(s.max_request_streams_per_connection),
            |s, n| s.max_request_streams_per_connection = n,
        ),
    },
    Key {
        name: "max_watches",
        about: "Most open health watches and reflection streams; more are refused. Unary calls of \
                health have no limit.",
        field: Field::Count(
            1..=1_000_000,
            |s| Some(s.max_watches),
            |s, n| s.max_watches = n,
        ),
    },
    Key {
        name: "max_watches_per_connection",
        about: "Most open health watches and reflection streams of one connection; more are \
                refused.",
        field: Field::Count(
            1..=1_000_000,
            |s| Some(s.max_watches_per_connection),
            |s, n| s.max_watches_per_connection = n,
        ),
    },
    Key {
        name: "max_bytes_in_flight",
        about: "Most bytes of requests and answers held at once: received, decoded, or not yet \
                taken by the client. Where there is no room, reading stops, then the newest \
                request is refused. A connection may have at most twice what is free. Default: a \
                quarter of the memory that the process may use (its control group's limit, else \
                the machine's).",
        field: Field::Size(
            1 << 20..=1 << 50,
            |s| s.max_bytes_in_flight,
            |s, bytes| s.max_bytes_in_flight = Some(bytes),
        ),
    },
    Key {
        name: "read_timeout",
        about: "Time within which the message of a call must arrive: from the headers on, in a \
                stream from its first byte on.",
        field: Field::Duration(
            Duration::from_millis(100)..=DURATION_MAX,
            |s| Some(s.read_timeout),
            |s, timeout| s.read_timeout = timeout,
        ),
    },
    Key {
        name: "write_timeout",
        about: "Time within which the client of a call must take something of an answer that \
                waits for it; else the call is ended.",
        field: Field::Duration(
            Duration::from_millis(100)..=DURATION_MAX,
            |s| Some(s.write_timeout),
            |s, timeout| s.write_timeout = timeout,
        ),
    },
    Key {
        name: "max_resets_per_second",
        about: "Most calls that the client of a connection may reset (cancel) in a second. One \
                that resets more is read more slowly, and disconnected if it goes on.",
        field: Field::Count(
            1..=1_000_000,
            |s| Some(s.max_resets_per_second),
            |s, n| s.max_resets_per_second = n,
        ),
    },
    Key {
        name: "max_connections",
        about: "Most connections of each port, as far as the process may have file \
                descriptors. For one more, some without any request so far are closed, else the one \
                that has been idle for longest; where none is idle, it waits.",
        field: Field::Count(
            1..=1_000_000,
            |s| Some(s.max_connections),
            |s, connections| s.max_connections = connections,
        ),
    },
    Key {
        name: "max_concurrent_streams",
        about: "Most HTTP/2 streams (calls) of one connection; its client keeps further ones back. \
                Up to its share of `max_concurrent_requests`, a client that is alone is never \
                refused.",
        field: Field::Count(
            1..=1_000_000,
            |s| usize::try_from(s.max_concurrent_streams).ok(),
            |s, streams| s.max_concurrent_streams = u32::try_from(streams).unwrap_or(u32::MAX),
        ),
    },
];

impl ServerSpec {
    /// Reads the entry `server` of a configuration; relative paths in it start from `folder`.
    /// Mistakes are added to `diagnostics`; a key with a mistake has its default.
    pub fn read(entry: &Entry, folder: &Path, diagnostics: &mut Diagnostics) -> Self {
        let mut spec = Self::default();
        if entry.node.is_null() {
            return spec;
        }
        let at = entry.key.span;
        let Some(mut map) = MapReader::new(&entry.node, "`server`", at, diagnostics) else {
            return spec;
        };
        keys::read(&KEYS, &mut spec, &mut map, diagnostics);
        map.finish(diagnostics);
        if let Some(tls) = &mut spec.tls {
            tls.start_from(folder);
        }
        if let Some(auth) = &mut spec.auth {
            auth.start_from(folder);
        }
        if let Some(audit) = &mut spec.audit {
            audit.start_from(folder);
        }
        if let Some(http) = spec.http
            && http == spec.grpc
            && http.port() != 0
        {
            let message = format!("`grpc` and `http` cannot both listen on {http}");
            diagnostics.push(Diagnostic::error(at, message));
        }
        spec
    }

    /// Reports what is wrong with the files that the entry `server` of this specification names,
    /// and warns of ports that are refused at the start, if no flag says otherwise.
    pub fn check(&self, entry: &Entry, diagnostics: &mut Diagnostics) {
        if let Some(tls) = &self.tls {
            tls.check(diagnostics);
        }
        let at = entry.node.as_map().and_then(|map| map.get("auth"));
        let at = at.unwrap_or(entry).key.span;
        for problem in self.auth.iter().flat_map(AuthSpec::problems) {
            let message = format!("`auth` cannot be used: {problem}");
            diagnostics.push(Diagnostic::error(at, message));
        }
        for refusal in self.ports().iter().filter_map(Port::refusal) {
            let map = entry.node.as_map();
            let address = map.and_then(|map| map.get(refusal.port().name));
            let span = address.map_or(entry.key.span, |entry| entry.node.span);
            let message = format!("the start is refused as it is: {refusal}");
            diagnostics.push(Diagnostic::warning(span, message));
        }
    }

    /// Returns the ports, by what decides their exposure.
    pub fn ports(&self) -> Vec<Port> {
        let has_tls = self.tls.is_some();
        let requires_certificates = self.tls.as_ref().is_some_and(TlsSpec::requires_clients);
        let knows_clients = requires_certificates || self.auth.is_some();
        let port = |name, address, is_insecure| Port {
            name,
            address,
            has_tls,
            has_auth: knows_clients,
            is_insecure,
        };
        let grpc = port("grpc", self.grpc, self.insecure.covers_grpc());
        let http = self
            .http
            .map(|address| port("http", address, self.insecure.covers_http()));
        let admin = self
            .admin_listener()
            .map(|(address, _)| port("admin", address, self.insecure.covers_grpc()));
        [Some(grpc), admin, http].into_iter().flatten().collect()
    }

    /// Returns the JSON schema of the key `server`, for editors.
    pub fn schema() -> Value {
        keys::schema(&KEYS)
    }
}

pub(super) fn address(entry: &Entry, diagnostics: &mut Diagnostics) -> Option<SocketAddr> {
    let text = string(entry, diagnostics)?;
    let address = parse_address(&text.value);
    if address.is_none() {
        let message = format!(
            "`{}` must be an IP address and a port, not `{}`",
            entry.key.value,
            truncated(&text.value)
        );
        let help = "write `127.0.0.1:50051` for this machine only, `0.0.0.0:50051` for every \
                    network, port 0 for a free one";
        diagnostics.push(Diagnostic::error(text.span, message).help(help));
    }
    address
}

/// Reads an address to listen on: `IP:port`, `[IPv6]:port` or `localhost:port`.
pub fn parse_address(text: &str) -> Option<SocketAddr> {
    if let Some(port) = text.strip_prefix("localhost:") {
        let port = port.parse().ok()?;
        return Some(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port));
    }
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use motet_config::{Colour, Sources, Value, parse};

    use super::*;
    use crate::config::{ClientAuth, KeySetSource};

    const FOLDER: &str = "conf";

    fn read(text: &str) -> (ServerSpec, String) {
        let (mut sources, mut diagnostics) = (Sources::new(), Diagnostics::new());
        let file = sources.add("t.yaml", "", text);
        let root = parse(&sources, file, &mut diagnostics).unwrap();
        let Value::Map(map) = &root.value else {
            panic!("{text}");
        };
        let spec = ServerSpec::read(&map.entries[0], Path::new(FOLDER), &mut diagnostics);
        (spec, diagnostics.render(&sources, Colour::Never))
    }

    #[test]
    fn every_key_is_read() {
        let (server, report) = read(
            "\
server:
  grpc: { address: 0.0.0.0:6000, reflection: off }
  http: off
  admin: { address: 127.0.0.1:6001, health: off }
  auth:
    keys: ./keys.yaml
    jwt:
      jwks: ./jwks.json
      issuer: https://issuer.example
      audience: motet
      leeway: 5s
      scope_claim: permissions
      may: [call:rag]
      share: 3
      limits: { concurrency: 2 }
  audit: { path: ./audit.jsonl, required: true, max_bytes: 1MiB, max_files: 3 }
  grace: 1m
  max_message_bytes: 1 MiB
  max_concurrent_requests: 10
  max_concurrent_requests_per_connection: 9
  max_request_streams: 8
  max_request_streams_per_connection: 7
  max_watches: 6
  max_watches_per_connection: 5
  max_bytes_in_flight: 100MiB
  max_connections: 30
  max_concurrent_streams: 20
  read_timeout: 5s
  write_timeout: 6s
  max_resets_per_second: 4
  insecure: http
  forward: [X-Tenant, x-tenant, authorization]
  tls: { cert: ./tls.crt, key: /run/tls.key, client_ca: ca.crt, client_auth: optional }
",
        );
        assert_eq!(report, "");
        assert_eq!(server.grpc.to_string(), "0.0.0.0:6000");
        assert_eq!(server.http, None);
        assert!(server.grpc_services.health && !server.grpc_services.reflection);
        let (admin, services) = server.admin_listener().unwrap();
        assert_eq!(admin.to_string(), "127.0.0.1:6001");
        assert!(services.admin && services.reflection && !services.health);
        let auth = server.auth.unwrap();
        assert_eq!(auth.keys.unwrap(), Path::new(FOLDER).join("keys.yaml"));
        let jwt = auth.jwt.unwrap();
        let file = Path::new(FOLDER).join("jwks.json");
        assert_eq!(jwt.jwks, KeySetSource::File(file));
        assert_eq!(jwt.issuer.as_deref(), Some("https://issuer.example"));
        assert_eq!(jwt.audience.as_deref(), Some("motet"));
        assert_eq!(
            (jwt.leeway, &*jwt.scope_claim),
            (Duration::from_secs(5), "permissions")
        );
        assert!(jwt.rights.grants.pipeline("rag"));
        assert_eq!(jwt.rights.share.get(), 3);
        assert_eq!(jwt.rights.limits.concurrency, Some(2));
        let audit = server.audit.unwrap();
        assert_eq!(audit.path, Path::new(FOLDER).join("audit.jsonl"));
        assert!(audit.required);
        assert_eq!((audit.max_bytes, audit.max_files), (1 << 20, 3));
        assert_eq!(server.grace, Duration::from_secs(60));
        assert_eq!(server.max_message_bytes, 1 << 20);
        assert_eq!(server.max_concurrent_requests, 10);
        assert_eq!(server.max_concurrent_requests_per_connection, Some(9));
        assert_eq!(server.max_request_streams, 8);
        assert_eq!(server.max_request_streams_per_connection, 7);
        assert_eq!(server.max_watches, 6);
        assert_eq!(server.max_watches_per_connection, 5);
        assert_eq!(server.max_bytes_in_flight, Some(100 << 20));
        assert_eq!(server.max_connections, 30);
        assert_eq!(server.max_concurrent_streams, 20);
        assert_eq!(server.read_timeout, Duration::from_secs(5));
        assert_eq!(server.max_resets_per_second, 4);
        assert_eq!(server.write_timeout, Duration::from_secs(6));
        assert_eq!(server.insecure, Insecure::Http);
        assert_eq!(server.forward, ["x-tenant", "authorization"]);
        let tls = server.tls.unwrap();
        let folder = Path::new(FOLDER);
        assert_eq!(tls.cert.value, folder.join("./tls.crt"));
        assert_eq!(tls.key.value, Path::new("/run/tls.key"));
        assert_eq!(tls.client_ca.unwrap().value, folder.join("ca.crt"));
        assert_eq!(tls.client_auth, ClientAuth::Optional);
    }

    #[test]
    fn every_mistake_is_reported() {
        for (text, expected) in [
            ("server: 5\n", &["`server` must be a map"][..]),
            (
                "server: { grpc: here, http: 80 }\n",
                &[
                    "`grpc` must be an IP address and a port, not `here`",
                    "`http` must be a string, not an integer",
                ],
            ),
            (
                "server: { grpc: \"1.2.3.4:5\", http: \"1.2.3.4:5\" }\n",
                &["cannot both listen on 1.2.3.4:5"],
            ),
            (
                "server: { grace: 5 }\n",
                &[
                    "`grace` must be a duration, not an integer",
                    "such as `200ms`",
                ],
            ),
            (
                "server: { grace: 5 parsecs }\n",
                &["`grace` must be a duration"],
            ),
            (
                "server: { grace: 2h }\n",
                &["`grace` is 2h, but must be between 0s and 1h"],
            ),
            (
                "server: { max_message_bytes: 10 }\n",
                &["`max_message_bytes` is 10 bytes, but must be between 4096 and"],
            ),
            (
                "server: { max_message_bytes: 64MB2 }\n",
                &["must be a number of bytes"],
            ),
            (
                "server: { max_concurrent_requests: 0 }\n",
                &["is 0, but must be between 1 and 1000000"],
            ),
            (
                "server: { insecure: grpc }\n",
                &["`insecure` must be `true`, `false` or `http`, not `grpc`"],
            ),
            (
                "server: { forward: [te, \"a b\"] }\n",
                &["`te` cannot be forwarded", "`a b` is no name of a header"],
            ),
            ("server: { insecure: 1 }\n", &["`http`, not an integer"]),
            (
                "server: { tls: { cert: a } }\n",
                &["`tls` needs the key `key`", "write `tls: { cert: ./tls.crt"],
            ),
            (
                "server: { tls: { cert: a, key: b, client_auth: required } }\n",
                &["`client_auth` needs `client_ca`"],
            ),
            (
                "server: { max_concurrent_requests: many }\n",
                &["must be an integer, not a string"],
            ),
        ] {
            let (_, report) = read(text);
            for part in expected {
                assert!(report.contains(part), "{text}\nlacks: {part}\n{report}");
            }
        }
    }

    #[test]
    fn the_documentation_has_every_key_with_default_and_range() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuration.md");
        let mut page = std::fs::read_to_string(path).unwrap();
        let head = "## `server`\n\n| key | default | range | |\n|---|---|---|---|\n";
        let start = page.find(head).expect("the table") + head.len();
        let end = start + page[start..].find("\n\n").expect("its end") + 1;
        let table: String = keys::describe(&KEYS)
            .iter()
            .map(|r| format!("{r}\n"))
            .collect();
        if std::env::var_os("UPDATE_DOCS").is_some() {
            page.replace_range(start..end, &table);
            std::fs::write(path, page).unwrap();
            return;
        }
        let found = &page[start..end];
        assert_eq!(
            found, table,
            "write it again: UPDATE_DOCS=1 cargo test -p motet-runtime --lib"
        );
    }
}
