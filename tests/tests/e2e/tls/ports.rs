//! TLS of the ports: who gets in, what is said to who does not, and files that change.

use std::cell::Cell;
use std::path::Path;

use motet_tests::certificates::{Authority, connect};
use motet_tests::connection::Connection;
use motet_tests::temp_dir::TempDir;
use motet_tests::wait::soon;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{ECHO, Served, is_serving};
use crate::motet;

#[tokio::test]
async fn both_ports_speak_tls_and_say_so_to_who_does_not() {
    let served = Served::start("", "").await;
    let connection = served.connection(None).await.expect("a handshake");
    assert!(is_serving(&connection).await);
    assert!(
        served
            .page("/healthz")
            .await
            .expect("a page")
            .ends_with("ok\n")
    );
    // Plain text: HTTP/2 is told by GOAWAY, HTTP/1 by an answer.
    let mut plain = TcpStream::connect(served.ready.grpc)
        .await
        .expect("it listens");
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    plain.write_all(preface).await.expect("it reads");
    let mut told = Vec::new();
    soon("the last words", plain.read_to_end(&mut told))
        .await
        .expect("words");
    let told = String::from_utf8_lossy(&told);
    assert!(
        told.contains("this port speaks TLS: use grpcs://"),
        "{told:?}"
    );
    for port in [served.ready.grpc, served.http()] {
        let mut plain = TcpStream::connect(port).await.expect("it listens");
        plain
            .write_all(b"GET / HTTP/1.1\r\n\r\n")
            .await
            .expect("it reads");
        let mut told = String::new();
        soon("the answer", plain.read_to_string(&mut told))
            .await
            .expect("text");
        assert!(told.starts_with("HTTP/1.1 400 "), "{told}");
        assert!(told.contains("this port speaks TLS"), "{told}");
    }
    served
        .counts("motet_server_handshakes_total{result=\"plain_text\"}", "2")
        .await;
    let stderr = served.stop().await;
    // Once for a machine and port, not for each connection.
    let said = stderr.matches("speaks plain text to a TLS port").count();
    assert_eq!(said, 2, "{stderr}");
}

#[tokio::test]
async fn a_tls_client_of_a_plain_port_is_told_so() {
    let mut process = motet(["up", "-"]).stdin(ECHO).on_free_ports().start();
    let ready = process.ready().await;
    let authority = Authority::new("nobody");
    for port in [ready.grpc, ready.http.expect("HTTP is on")] {
        let config = authority.client_config(None, &["h2"]);
        let error = connect(port, "localhost", config)
            .await
            .expect_err("plain text");
        assert!(error.to_string().contains("corrupt message"), "{error}");
    }
    process
        .says("a client speaks TLS to a port without it")
        .await;
}

#[tokio::test]
async fn clients_need_a_certificate_of_the_authority_where_it_is_required() {
    let served = Served::start(", client_ca: ./ca.crt", "").await;
    let client = served.authority.client("spiffe://motet/tests", "tests");
    let connection = served.connection(Some(&client)).await.expect("a handshake");
    assert!(is_serving(&connection).await);
    let stranger = Authority::new("a stranger").client("spiffe://motet/tests", "tests");
    for identity in [None, Some(&stranger)] {
        assert!(!served.serves(identity).await, "{identity:?}");
    }
    // Nor does the HTTP port serve without.
    assert!(served.page("/healthz").await.is_err());
    let stderr = served.stop().await;
    assert!(stderr.contains("no_certificate"), "{stderr}");
}

#[tokio::test]
async fn optional_certificates_and_an_open_http_port_let_others_in() {
    let served = Served::start(", client_ca: ./ca.crt, client_auth: optional", "").await;
    let connection = served.connection(None).await.expect("a handshake");
    assert!(is_serving(&connection).await);
    served.stop().await;
    let served = Served::start(", client_ca: ./ca.crt", ", insecure: http").await;
    assert!(
        served
            .page("/healthz")
            .await
            .expect("a page")
            .ends_with("ok\n")
    );
    assert!(!served.serves(None).await);
    served.stop().await;
}

#[tokio::test]
async fn a_client_learns_the_protocol_of_the_port() {
    let served = Served::start("", "").await;
    for (port, offered, expected) in [
        (served.ready.grpc, &["h2"][..], Some("h2")),
        (served.ready.grpc, &["http/1.1", "h2"], Some("h2")),
        (served.ready.grpc, &[], None),
        (served.http(), &["h2", "http/1.1"], Some("h2")),
        (served.http(), &["http/1.1"], Some("http/1.1")),
        (served.http(), &[], None),
    ] {
        let config = served.authority.client_config(None, offered);
        let stream = connect(port, "localhost", config)
            .await
            .expect("a handshake");
        let found = stream.get_ref().1.alpn_protocol();
        assert_eq!(found, expected.map(str::as_bytes), "{offered:?}");
        if port == served.ready.grpc {
            let connection = Connection::over(stream, "https://localhost")
                .await
                .expect("HTTP/2");
            assert!(is_serving(&connection).await, "{offered:?}");
        }
    }
    let config = served.authority.client_config(None, &["http/1.1"]);
    let error = connect(served.ready.grpc, "localhost", config)
        .await
        .expect_err("no protocol");
    assert!(
        error.to_string().contains("NoApplicationProtocol"),
        "{error}"
    );
    served.stop().await;
}

/// Half handshakes take slots, and give them up to whoever comes.
#[tokio::test]
async fn a_flood_of_half_handshakes_does_not_take_the_port() {
    let served = Served::start("", ", max_connections: 40").await;
    let mut halves = Vec::new();
    for _ in 0..100 {
        let mut half = TcpStream::connect(served.ready.grpc)
            .await
            .expect("the backlog");
        // The head of a record of 512 bytes, of which none follows.
        half.write_all(&[22, 3, 1, 2, 0, 1])
            .await
            .expect("it is read");
        halves.push(half);
    }
    let connection = soon("a handshake", served.connection(None)).await;
    assert!(is_serving(&connection.expect("a handshake")).await);
    drop(halves);
    served.stop().await;
}

#[tokio::test]
async fn certificates_are_renewed_under_load_without_a_failed_call() {
    const ROTATIONS: usize = 100;
    // Files are looked at every two seconds; SIGHUP is faster.
    const UNTOLD: usize = 25;
    let served = Served::start("", "").await;
    let rotated = Cell::new(false);
    let rotate = async {
        for rotation in 1..=ROTATIONS {
            let next = served.authority.server(&["localhost"]);
            next.write(served.folder.path());
            if rotation % UNTOLD != 0 {
                served.process.signal("HUP");
            }
            let series = "motet_tls_files_read_total{certificate=\"server\",result=\"ok\"}";
            served.counts(series, &rotation.to_string()).await;
        }
        rotated.set(true);
    };
    let steady = async {
        let connection = served.connection(None).await.expect("a handshake");
        let mut calls = 0;
        while !rotated.get() {
            assert!(is_serving(&connection).await, "after {calls} calls");
            calls += 1;
        }
        calls
    };
    let fresh = async {
        let mut connections = 0;
        while !rotated.get() {
            let connection = served.connection(None).await.expect("a handshake");
            assert!(is_serving(&connection).await, "connection {connections}");
            connections += 1;
        }
        connections
    };
    let ((), calls, connections) = tokio::join!(rotate, steady, fresh);
    assert!(calls >= ROTATIONS, "{calls} calls on one connection");
    assert!(connections >= ROTATIONS, "{connections} new connections");
    // A file that is no certificate changes nothing, and is told.
    served.folder.file("tls.crt", "no certificate");
    served.process.signal("HUP");
    served
        .counts(
            "motet_tls_files_read_total{certificate=\"server\",result=\"failed\"}",
            "1",
        )
        .await;
    let fresh = served.connection(None).await.expect("a handshake");
    assert!(is_serving(&fresh).await);
    let stderr = served.stop().await;
    assert!(stderr.contains("has no certificate in PEM"), "{stderr}");
    assert!(stderr.contains("those from before stay in use"), "{stderr}");
}

#[tokio::test]
async fn files_of_tls_that_cannot_be_used_are_told_by_check_and_at_the_start() {
    let (folder, authority) = (TempDir::new(), Authority::new("the tests"));
    authority.expired(&["localhost"]).write(folder.path());
    let text =
        "server:\n  tls:\n    cert: ./tls.crt\n    key: ./tls.key\n    client_ca: ./no.crt\n";
    let file = folder.file("motet.yaml", text.to_owned() + ECHO);
    for command in ["check", "up"] {
        let ended = motet([Path::new(command), &file]).run().await;
        assert_eq!(ended.code, Some(2), "{}", ended.stderr);
        for part in [
            "motet.yaml:3:11",
            "expired at 2001-01-01T00:00:00Z",
            "motet.yaml:5:16",
            "no.crt` cannot be read: no such file",
        ] {
            assert!(
                ended.stderr.contains(part),
                "{command} {part}\n{}",
                ended.stderr
            );
        }
    }
    let wrong = "server: { tls: { cert: ./tls.crt, client_auth: always } }\n";
    let file = folder.file("motet.yaml", wrong.to_owned() + ECHO);
    let ended = motet([Path::new("check"), &file]).run().await;
    for part in [
        "`tls` needs the key `key`",
        "`client_auth` needs `client_ca`",
        "`client_auth` must be one of",
    ] {
        assert!(ended.stderr.contains(part), "{part}\n{}", ended.stderr);
    }
}

#[tokio::test]
async fn an_address_that_strangers_reach_is_refused_without_tls_and_authentication() {
    let flags = |grpc: &str, http: &str| {
        let (grpc, http) = (grpc.to_owned(), http.to_owned());
        motet([
            "up".into(),
            "-".into(),
            "--grpc".into(),
            grpc,
            "--http".into(),
            http,
        ])
        .stdin(ECHO)
    };
    let ended = flags("0.0.0.0:0", "off").run().await;
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    for part in [
        "`grpc` listens on 0.0.0.0:0",
        "without TLS",
        "--insecure",
        "127.0.0.1",
    ] {
        assert!(ended.stderr.contains(part), "{part}\n{}", ended.stderr);
    }
    // The HTTP port by itself.
    let ended = flags("127.0.0.1:0", "0.0.0.0:0").run().await;
    assert!(ended.stderr.contains("--insecure=http"), "{}", ended.stderr);
    for (grpc, http, insecure, open) in [
        ("0.0.0.0:0", "0.0.0.0:0", "--insecure", [1, 1]),
        ("127.0.0.1:0", "0.0.0.0:0", "--insecure=http", [0, 1]),
    ] {
        let mut process = flags(grpc, http).args([insecure]).start();
        let ready = process.ready().await;
        let port = ready.http.expect("HTTP is on").port();
        let metrics = motet_tests::http::Metrics::read(([127, 0, 0, 1], port).into()).await;
        for (name, expected) in ["grpc", "http"].into_iter().zip(open) {
            let found = metrics.count("motet_server_insecure", &[("port", name)]);
            assert_eq!(found, f64::from(expected), "{insecure} {name}");
        }
        process
            .says("INSECURE: `http` listens on 0.0.0.0:0 without TLS")
            .await;
    }
    // `check` knows the file alone, where a flag may follow.
    let server = "server: { grpc: 0.0.0.0:50051 }\n";
    let ended = motet(["check", "-"])
        .stdin(server.to_owned() + ECHO)
        .run()
        .await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(
        ended.stderr.contains("the start is refused as it is"),
        "{}",
        ended.stderr
    );
}
