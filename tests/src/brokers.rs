//! Message brokers of tests: real servers on free ports, with a store of their own.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::Command as Once;

use tokio::net::TcpStream;

use crate::program::{Process, Program};
use crate::temp_dir::TempDir;
use crate::wait::until;

/// A broker that can be killed and started again, with what it has stored.
#[derive(Debug)]
pub struct Broker {
    kind: Kind,
    program: PathBuf,
    store: TempDir,
    /// Where it listens.
    pub address: SocketAddr,
    /// Arguments beside its own.
    more: Vec<String>,
    process: Option<Process>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Nats,
    Redis,
    /// Tansu, which speaks Kafka's protocol and keeps everything in memory.
    Tansu,
}

/// Returns the program that `variable` names, or the first of `names` that starts. `None`, with a
/// line that says why, if none does.
fn find(variable: &str, names: &[&str]) -> Option<PathBuf> {
    let named = std::env::var_os(variable).map(PathBuf::from);
    let names = named.into_iter().chain(names.iter().map(PathBuf::from));
    let tried: Vec<PathBuf> = names.collect();
    let starts = |program: &&PathBuf| {
        let output = Once::new(program).arg("--version").output();
        output.is_ok_and(|output| output.status.success())
    };
    let found = tried.iter().find(starts).cloned();
    if found.is_none() {
        println!("skipped: none of {tried:?} starts");
    }
    found
}

impl Broker {
    /// Starts a NATS server with JetStream. `None`, with a line that says why, if there is none.
    pub async fn nats() -> Option<Self> {
        let names = ["nats-server", "/usr/sbin/nats-server"];
        Self::start(Kind::Nats, find("MOTET_NATS_SERVER", &names)?, &[]).await
    }

    /// Starts a Redis server that writes everything down. `None`, with a line that says why, if
    /// there is none.
    pub async fn redis() -> Option<Self> {
        let names = ["redis-server", "/usr/bin/redis-server"];
        Self::start(Kind::Redis, find("MOTET_REDIS_SERVER", &names)?, &[]).await
    }

    /// Starts a server of Kafka's protocol, Tansu, which has forgotten everything after a kill. Its
    /// clients come by `seen_at`, which is in front of it, if there is such. `None`, with a line
    /// that says why, if there is none.
    pub async fn tansu(address: SocketAddr, seen_at: SocketAddr) -> Option<Self> {
        let program = find("MOTET_TANSU", &["tansu"])?;
        let seen_at = format!("tcp://{seen_at}");
        let more = ["--advertised-listener-url", &seen_at];
        Self::start_at(Kind::Tansu, program, address, &more).await
    }

    /// Starts either with further arguments. `None`, with a line that says why, if there is none.
    pub async fn with(is_redis: bool, more: &[&str]) -> Option<Self> {
        let names = ["nats-server", "/usr/sbin/nats-server"];
        match is_redis {
            true => Self::start(
                Kind::Redis,
                find("MOTET_REDIS_SERVER", &["redis-server"])?,
                more,
            ),
            false => Self::start(Kind::Nats, find("MOTET_NATS_SERVER", &names)?, more),
        }
        .await
    }

    async fn start(kind: Kind, program: PathBuf, more: &[&str]) -> Option<Self> {
        Self::start_at(kind, program, free_address(), more).await
    }

    async fn start_at(
        kind: Kind,
        program: PathBuf,
        address: SocketAddr,
        more: &[&str],
    ) -> Option<Self> {
        let mut broker = Self {
            kind,
            program,
            store: TempDir::new(),
            address,
            more: more.iter().map(|argument| (*argument).to_owned()).collect(),
            process: None,
        };
        broker.restart().await;
        Some(broker)
    }

    /// Kills it, as a crash would.
    ///
    /// # Panics
    /// If it does not run.
    pub async fn kill(&mut self) {
        self.process.take().expect("it runs").kill().await;
    }

    /// Starts it where it was.
    pub async fn restart(&mut self) {
        let (port, store) = (self.address.port().to_string(), self.store.path());
        let store = store.to_str().expect("a path of ASCII");
        let program = Program::new(&self.program);
        let url = format!("tcp://{}", self.address);
        let program = match self.kind {
            Kind::Tansu => program.args([
                "broker",
                "--listener-url",
                &url,
                "--storage-engine",
                "memory://tansu/",
            ]),
            Kind::Nats => program.args(["-js", "-a", "127.0.0.1", "-p", &port, "-sd", store]),
            Kind::Redis => program.args([
                "--bind",
                "127.0.0.1",
                "--port",
                &port,
                "--dir",
                store,
                "--appendonly",
                "yes",
                "--appendfsync",
                "always",
                "--save",
                "",
            ]),
        };
        self.process = Some(program.args(&self.more).start());
        let address = self.address;
        until("the broker", async || {
            TcpStream::connect(address).await.ok()
        })
        .await;
    }
}

/// Returns an address at which nothing listens.
///
/// # Panics
/// If there is no free port.
pub fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("bound")
}
