//! A server of tonic alone, which answers health checks in a process of its own. The duration of
//! its calls is the minimum of any gRPC call on this machine.

use std::net::SocketAddr;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;

/// The argument that makes this program the server.
pub(crate) const ARGUMENT: &str = "--bare";

/// Serves until it is killed, and prints the address.
pub(crate) async fn serve() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    println!("{}", listener.local_addr().expect("its address"));
    let (_, health) = tonic_health::server::health_reporter();
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let server = Server::builder().add_service(health);
    server
        .serve_with_incoming(incoming)
        .await
        .expect("to serve");
}

/// Starts a server, which ends when the returned process is dropped.
pub(crate) async fn start() -> (Child, SocketAddr) {
    let program = std::env::current_exe().expect("this program");
    let mut child = Command::new(program)
        .arg(ARGUMENT)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("this program");
    let output = BufReader::new(child.stdout.take().expect("its output"));
    let line = output.lines().next_line().await.expect("its output");
    let address = line.and_then(|line| line.parse().ok());
    (child, address.expect("an address"))
}
