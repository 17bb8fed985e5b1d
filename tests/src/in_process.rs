//! motet inside the test process. Loading weights takes a second, so that tests share one process
//! if they do not interfere with each other.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use motet::Tasks;
use motet::args::{HttpAddress, ListenArgs};
use motet::configuration::Files;
use motet::process::{self, Options, Role, Running};
use tokio::runtime::Runtime;

use crate::connection::Connection;

/// Any free port on loopback.
pub const ANY_PORT: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// The addresses of the shared process.
#[derive(Debug)]
pub struct Shared {
    /// gRPC.
    pub grpc: SocketAddr,
    /// HTTP.
    pub http: SocketAddr,
    // A static: never dropped.
    _running: Running,
    _runtime: Runtime,
}

/// Returns the process that tests share: the built-in configuration. It has a tokio runtime of its
/// own, since the runtime of a test ends with the test.
pub fn shared() -> &'static Shared {
    static SHARED: OnceLock<Shared> = OnceLock::new();
    SHARED.get_or_init(|| {
        // On a thread of its own: one runtime must not block inside another.
        let started = std::thread::spawn(|| {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
                .expect("a runtime");
            let running = runtime.block_on(start(Role::Up, None));
            Shared {
                grpc: running.grpc,
                http: running.http.expect("HTTP was asked for"),
                _running: running,
                _runtime: runtime,
            }
        });
        started.join().expect("the built-in configuration starts")
    })
}

/// Connects to [`shared`].
pub async fn connect() -> Connection {
    Connection::open(shared().grpc).await
}

/// Starts a process of the caller's own on free ports.
///
/// # Panics
/// When it does not start.
pub async fn start(role: Role, file: Option<PathBuf>) -> Running {
    let options = Options {
        locked: false,
        watch: false,
        memory: Default::default(),
        role,
        files: Files { file, models: None },
        listen: ListenArgs {
            grpc: Some(ANY_PORT),
            http: Some(HttpAddress::At(ANY_PORT)),
            ..ListenArgs::default()
        },
        endpoints: Vec::new(),
        wait: Duration::ZERO,
        tasks: Tasks::builtin(),
    };
    process::start(options).await.expect("motet starts")
}
