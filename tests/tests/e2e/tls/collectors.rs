//! TLS to collectors of traces.

use motet_tests::certificates::Authority;
use motet_tests::collector::{Collector, Span};
use motet_tests::reflected::Service;
use motet_tests::temp_dir::TempDir;
use serde_json::json;

use super::ECHO;
use crate::motet;

/// Traces are sent with the certificate that the variables name, over gRPC and over HTTP, and with
/// the next one after it was replaced.
#[tokio::test]
async fn traces_are_sent_with_the_certificate_as_it_is_then() {
    for (protocol, path) in [("grpc", ""), ("http/protobuf", "/")] {
        let (authority, folder) = (Authority::new("tests"), TempDir::new());
        let first = authority.client("spiffe://motet/first", "first");
        let (cert, key) = first.write(folder.path());
        let ca = folder.file("ca.crt", authority.pem());
        let server = authority.server(&["localhost"]);
        let config = authority.server_config(&server, &["h2", "http/1.1"]);
        let collector = Collector::start_tls(config).await;
        let endpoint = format!("https://localhost:{}{path}", collector.port());
        let mut up = motet(["up", "-"])
            .stdin(ECHO)
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
            .env("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
            .env("OTEL_EXPORTER_OTLP_CERTIFICATE", ca)
            .env("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", cert)
            .env("OTEL_EXPORTER_OTLP_CLIENT_KEY", key)
            .env("OTEL_METRICS_EXPORTER", "none")
            .env("OTEL_BSP_SCHEDULE_DELAY", "20")
            .on_free_ports()
            .start();
        let connection = up.connect().await;
        let echo = Service::learn(&connection, "motet.pipeline.Echo").await;
        let echo = echo.expect("it is served");
        let calls = |spans: &[Span]| {
            let calls = spans.iter().filter(|span| span.name.ends_with("/Run"));
            calls.count()
        };
        echo.answer("Run", json!({ "text": "a" })).await;
        collector.until("a trace", |spans| calls(spans) == 1).await;
        assert_eq!(collector.clients(), [first.der()], "{protocol}");
        let second = authority.client("spiffe://motet/second", "second");
        second.write(folder.path());
        collector.disconnect();
        echo.answer("Run", json!({ "text": "a" })).await;
        collector.until("a trace", |spans| calls(spans) == 2).await;
        let last = collector.clients().pop();
        assert_eq!(last, Some(second.der()), "{protocol}");
    }
}
