//! TLS: `ports` of motet, `servers` that motet speaks to, `collectors` of traces, `foreign`
//! clients.

mod collectors;
mod foreign;
mod ports;
mod servers;

use std::net::SocketAddr;
use std::path::Path;

use motet_tests::certificates::{Authority, Pair, connect};
use motet_tests::connection::Connection;
use motet_tests::program::{Process, Ready};
use motet_tests::temp_dir::TempDir;
use motet_tests::wait::until;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;

use crate::motet;

/// A pipeline that calls no models.
const ECHO: &str = "pipelines:\n  - pipeline: echo\n    inputs: { text: string }\n    nodes: { t: { \
                    op: select, in: { text: $text } } }\n    outputs: { text: $t.text }\n";

/// A server with certificates of an authority in a folder.
struct Served {
    folder: TempDir,
    authority: Authority,
    process: Process,
    ready: Ready,
}

impl Served {
    /// Starts a server with further keys of `tls` and of `server`.
    async fn start(tls: &str, server: &str) -> Self {
        let (folder, authority) = (TempDir::new(), Authority::new("the tests"));
        authority.server(&["localhost"]).write(folder.path());
        folder.file("ca.crt", authority.pem());
        let tls = format!("tls: {{ cert: ./tls.crt, key: ./tls.key{tls} }}");
        let file = folder.file("motet.yaml", format!("server: {{ {tls}{server} }}\n{ECHO}"));
        let mut process = motet([Path::new("up"), &file]).on_free_ports().start();
        let ready = process.ready().await;
        Self {
            folder,
            authority,
            process,
            ready,
        }
    }

    fn http(&self) -> SocketAddr {
        self.ready.http.expect("HTTP is on")
    }

    /// Connects to the gRPC port as a gRPC client does.
    async fn connection(&self, identity: Option<&Pair>) -> std::io::Result<Connection> {
        let config = self.authority.client_config(identity, &["h2"]);
        let stream = connect(self.ready.grpc, "localhost", config).await?;
        Connection::over(stream, "https://localhost")
            .await
            .map_err(std::io::Error::other)
    }

    /// Returns whether a client with this certificate is served.
    async fn serves(&self, identity: Option<&Pair>) -> bool {
        // In TLS 1.3 it learns that it is not when it reads.
        match self.connection(identity).await {
            Ok(connection) => is_serving(&connection).await,
            Err(_) => false,
        }
    }

    /// Reads a page of the HTTP port.
    async fn page(&self, path: &str) -> std::io::Result<String> {
        let config = self.authority.client_config(None, &["http/1.1"]);
        let mut stream = connect(self.http(), "localhost", config).await?;
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut page = Vec::new();
        // Without the end of TLS, which hyper's server does send.
        stream.read_to_end(&mut page).await?;
        Ok(String::from_utf8_lossy(&page).into_owned())
    }

    /// Waits until a series of the metrics has this value.
    async fn counts(&self, series: &str, value: &str) {
        let line = format!("{series} {value}");
        until(&line, async || {
            let page = self.page("/metrics").await.ok()?;
            page.lines().any(|l| l == line).then_some(())
        })
        .await;
    }

    async fn stop(self) -> String {
        self.process.signal("TERM");
        let ended = self.process.end().await;
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        ended.stderr
    }
}

async fn is_serving(connection: &Connection) -> bool {
    let health = connection
        .health()
        .check(HealthCheckRequest::default())
        .await;
    health.is_ok_and(|health| health.get_ref().status() == ServingStatus::Serving)
}
