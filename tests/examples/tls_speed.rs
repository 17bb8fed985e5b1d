//! Cost of TLS: calls and handshakes a second of one server with plain text, TLS and client
//! certificates, in turns, so that what else the machine does falls on all alike.
//!
//! `cargo run --release -p motet-tests --example tls_speed [SECONDS OF A TURN]`

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use motet_runtime::config::{ClientAuth, TlsSpec};
use motet_runtime::health::Health;
use motet_runtime::layers::{self, Guards};
use motet_runtime::limits::Admission;
use motet_runtime::metrics::Metrics;
use motet_runtime::routes::LiveRoutes;
use motet_runtime::serve::{Protocol, ServeOptions, Server};
use motet_runtime::tls::ServerTls;
use motet_tests::certificates::{Authority, Pair, connect};
use motet_tests::connection::Connection;
use motet_tests::temp_dir::TempDir;
use rustls::ClientConfig;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic_health::pb::HealthCheckRequest;

/// Connections of the calls, and callers of each.
const CONNECTIONS: usize = 4;
const CALLERS: usize = 8;
/// Clients that make handshakes.
const CLIENTS: usize = 8;
/// Turns of each way.
const TURNS: usize = 3;

/// A way to speak to the server.
struct Way {
    name: &'static str,
    address: SocketAddr,
    tls: Option<ClientConfig>,
    calls: Vec<f64>,
    handshakes: Vec<f64>,
}

impl Way {
    async fn connection(&self) -> Connection {
        match &self.tls {
            None => Connection::open(self.address).await,
            Some(config) => {
                let stream = connect(self.address, "localhost", config.clone()).await;
                let stream = stream.expect("a handshake");
                Connection::over(stream, "https://localhost")
                    .await
                    .expect("HTTP/2")
            }
        }
    }

    /// Returns calls a second.
    async fn calls(&self, time: Duration) -> f64 {
        let mut connections = Vec::new();
        for _ in 0..CONNECTIONS {
            connections.push(self.connection().await);
        }
        rate(
            time,
            connections
                .iter()
                .cycle()
                .take(CONNECTIONS * CALLERS)
                .cloned(),
            async |c| {
                let answer = c.health().check(HealthCheckRequest::default()).await;
                answer.expect("an answer");
            },
        )
        .await
    }

    /// Returns connections a second, each with a call.
    async fn handshakes(&self, time: Duration) -> f64 {
        rate(time, (0..CLIENTS).map(|_| ()), async |()| {
            let connection = self.connection().await;
            let answer = connection
                .health()
                .check(HealthCheckRequest::default())
                .await;
            answer.expect("an answer");
        })
        .await
    }
}

/// Runs a step again and again for each client, and returns steps a second of all.
async fn rate<C>(time: Duration, clients: impl Iterator<Item = C>, step: impl AsyncFn(&C)) -> f64 {
    let (start, done) = (Instant::now(), AtomicUsize::new(0));
    let (step, done) = (&step, &done);
    let clients = clients.map(|client| async move {
        while start.elapsed() < time {
            step(&client).await;
            done.fetch_add(1, Ordering::Relaxed);
        }
    });
    futures::future::join_all(clients).await;
    done.load(Ordering::Relaxed) as f64 / start.elapsed().as_secs_f64()
}

/// Starts a server, and returns its address.
async fn serve(tls: Option<&ServerTls>) -> SocketAddr {
    let (health, metrics) = (Health::new(), Metrics::new("tls_speed").expect("metrics"));
    let routes = LiveRoutes::new(Routes::new(health.server()));
    let stack = layers::stack(
        routes,
        Guards::default(),
        Admission::new(1024),
        &metrics,
        1 << 20,
    );
    let address = SocketAddr::from(([127, 0, 0, 1], 0));
    let server = Server::bind(address, ServeOptions::default()).await;
    let server = server.expect("a free port");
    let server = server.with_tls(tls.map(|tls| tls.port(Protocol::Grpc, true)));
    let address = server.local_addr();
    server.spawn(stack, CancellationToken::new());
    address
}

fn server_tls(folder: &TempDir, with_clients: bool) -> ServerTls {
    let spanned =
        |name: &str| motet_config::Spanned::new(folder.path().join(name), Default::default());
    let spec = TlsSpec {
        cert: spanned("tls.crt"),
        key: spanned("tls.key"),
        client_ca: with_clients.then(|| spanned("ca.crt")),
        client_auth: ClientAuth::Required,
    };
    ServerTls::load(&spec, None).expect("files")
}

#[tokio::main]
async fn main() {
    let seconds = std::env::args().nth(1).and_then(|text| text.parse().ok());
    let time = Duration::from_secs_f64(seconds.unwrap_or(3.0));
    let (folder, authority) = (TempDir::new(), Authority::new("tls_speed"));
    authority.server(&["localhost"]).write(folder.path());
    folder.file("ca.crt", authority.pem());
    let client = authority.client("spiffe://motet/client", "client");
    let (tls, mutual) = (server_tls(&folder, false), server_tls(&folder, true));
    let config = |identity: Option<&Pair>, resumes: bool| {
        let mut config = authority.client_config(identity, &["h2"]);
        if !resumes {
            config.resumption = rustls::client::Resumption::disabled();
        }
        Some(config)
    };
    let way = |name, address, tls| Way {
        name,
        address,
        tls,
        calls: Vec::new(),
        handshakes: Vec::new(),
    };
    let with_tls = serve(Some(&tls)).await;
    let mut ways = [
        way("plain text", serve(None).await, None),
        way("TLS", with_tls, config(None, false)),
        way("TLS, sessions resumed", with_tls, config(None, true)),
        way(
            "client certificates",
            serve(Some(&mutual)).await,
            config(Some(&client), false),
        ),
    ];
    for _ in 0..TURNS {
        for way in &mut ways {
            let calls = way.calls(time).await;
            way.calls.push(calls);
            let handshakes = way.handshakes(time).await;
            way.handshakes.push(handshakes);
        }
    }
    println!(
        "{:24} {:>10} {:>8} {:>14} {:>8}",
        "", "calls/s", "", "connections/s", ""
    );
    let (calls, handshakes) = (median(&ways[0].calls), median(&ways[0].handshakes));
    for way in &ways {
        let (c, h) = (median(&way.calls), median(&way.handshakes));
        println!(
            "{:24} {c:>10.0} {:>7.2}x {h:>14.0} {:>7.2}x",
            way.name,
            c / calls,
            h / handshakes
        );
    }
    println!(
        "P-256, {CONNECTIONS} connections of {CALLERS} callers, {CLIENTS} clients that connect; \
         medians of {TURNS} turns of {time:?}; clients and server share the machine"
    );
}

fn median(turns: &[f64]) -> f64 {
    let mut turns = turns.to_vec();
    turns.sort_by(f64::total_cmp);
    turns[turns.len() / 2]
}
