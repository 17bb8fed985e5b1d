use motet_runtime::config::HttpServices;
use motet_runtime::health::Health;
use motet_runtime::http::{HttpState, router};
use motet_runtime::metrics::{BatcherState, Metrics};
use motet_runtime::serve::{Drained, Protocol, ServeOptions, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use crate::harness::loopback;

#[tokio::test]
async fn the_pages_say_what_is_so() {
    let (health, metrics) = (Health::new(), Metrics::new("test").expect("ok"));
    let options = ServeOptions {
        protocol: Protocol::Http,
        ..ServeOptions::default()
    };
    let server = Server::bind(loopback(), options)
        .await
        .expect("a free port");
    let addr = server.local_addr();
    let shutdown = CancellationToken::new();
    let state = HttpState {
        services: HttpServices::default(),
        auth: None,
        health: health.clone(),
        metrics: metrics.clone(),
    };
    let task = server.spawn(router(state), shutdown.clone());
    let get = async |path: &str| {
        let mut stream = TcpStream::connect(addr).await.expect("connects");
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("written");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("read");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        let code: u16 = head[9..12].parse().expect("a code");
        (code, body.to_owned())
    };
    health.set("minilm", false);
    assert_eq!(get("/healthz").await, (200, "ok\n".to_owned()));
    assert_eq!(
        get("/readyz").await,
        (503, "not ready:\nserver\nminilm\n".to_owned())
    );
    health.set("minilm", true);
    health.set("", true);
    assert_eq!(get("/readyz").await, (200, "ready\n".to_owned()));
    let _watch = metrics.model("minilm").watch(|| BatcherState {
        rows_queued: 3,
        ..BatcherState::default()
    });
    let (code, text) = get("/metrics").await;
    assert_eq!(code, 200);
    assert!(
        text.contains("motet_queue_depth{model=\"minilm\"} 3"),
        "{text}"
    );
    let (code, text) = get("/").await;
    assert!(code == 200 && text.contains("/metrics"), "{text}");
    assert_eq!(get("/nothing").await.0, 404);
    shutdown.cancel();
    assert_eq!(task.await.expect("ran"), Drained::default());
}
