//! The exporters that the standard `OTEL_*` variables ask for.
//!
//! The SDK itself reads endpoint, headers, timeout, compression, sampler and batch sizes. This
//! module decides if there is an exporter at all, since the SDK would send to localhost without
//! being asked.

use std::time::Duration;

use opentelemetry_otlp::{
    MetricExporter, Protocol, SpanExporter, WithExportConfig, WithHttpConfig,
};

use super::TelemetryError;
use super::http_client::Client;
use super::tls;
use crate::config::ClientTlsSpec;
use crate::tls::ClientTls;

/// The exporter's limit of one export without `OTEL_EXPORTER_OTLP_TIMEOUT`.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The variables of one signal.
struct Signal {
    exporter: &'static str,
    endpoint: &'static str,
    protocol: &'static str,
    certificate: &'static str,
    client_certificate: &'static str,
    client_key: &'static str,
    compression: &'static str,
    timeout: &'static str,
}

const TRACES: Signal = Signal {
    exporter: "OTEL_TRACES_EXPORTER",
    endpoint: "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    protocol: "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
    certificate: "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE",
    client_certificate: "OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE",
    client_key: "OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY",
    compression: "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION",
    timeout: "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT",
};

const METRICS: Signal = Signal {
    exporter: "OTEL_METRICS_EXPORTER",
    endpoint: "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
    protocol: "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL",
    certificate: "OTEL_EXPORTER_OTLP_METRICS_CERTIFICATE",
    client_certificate: "OTEL_EXPORTER_OTLP_METRICS_CLIENT_CERTIFICATE",
    client_key: "OTEL_EXPORTER_OTLP_METRICS_CLIENT_KEY",
    compression: "OTEL_EXPORTER_OTLP_METRICS_COMPRESSION",
    timeout: "OTEL_EXPORTER_OTLP_METRICS_TIMEOUT",
};

/// How a signal is sent.
#[derive(Debug, PartialEq, Eq)]
enum Transport {
    /// gRPC, with TLS to an endpoint where it is `https`.
    Grpc(Option<(String, ClientTlsSpec)>),
    Http(Option<ClientTlsSpec>, Duration),
}

pub(super) fn spans() -> Result<Option<SpanExporter>, TelemetryError> {
    let builder = SpanExporter::builder();
    Ok(Some(match transport(&TRACES, env)? {
        None => return Ok(None),
        Some(Transport::Grpc(tls)) => {
            let builder = builder.with_tonic().with_protocol(Protocol::Grpc);
            tls::of_grpc(builder, tls)?.build()?
        }
        Some(Transport::Http(tls, timeout)) => {
            let client = Client::new(tls, timeout);
            let builder = builder.with_http().with_protocol(Protocol::HttpBinary);
            builder.with_http_client(client).build()?
        }
    }))
}

pub(super) fn metrics() -> Result<Option<MetricExporter>, TelemetryError> {
    let builder = MetricExporter::builder();
    Ok(Some(match transport(&METRICS, env)? {
        None => return Ok(None),
        Some(Transport::Grpc(tls)) => {
            let builder = builder.with_tonic().with_protocol(Protocol::Grpc);
            tls::of_grpc(builder, tls)?.build()?
        }
        Some(Transport::Http(tls, timeout)) => {
            let client = Client::new(tls, timeout);
            let builder = builder.with_http().with_protocol(Protocol::HttpBinary);
            builder.with_http_client(client).build()?
        }
    }))
}

/// A variable's value; an empty one counts as unset, as OpenTelemetry says.
fn env(name: &str) -> Option<String> {
    std::env::var(name)
        .ok()
        .filter(|value| !value.trim().is_empty())
}

/// How a signal is to be sent; `None` where it is not.
fn transport(
    signal: &Signal,
    env: impl Fn(&str) -> Option<String>,
) -> Result<Option<Transport>, TelemetryError> {
    if env("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        return Ok(None);
    }
    let endpoint = first(&[signal.endpoint, "OTEL_EXPORTER_OTLP_ENDPOINT"], &env);
    let otlp = match env(signal.exporter).as_deref() {
        None => endpoint.is_some(),
        Some("otlp") => true,
        // Prometheus text is on the HTTP port in any case.
        Some("none" | "prometheus") => false,
        Some(other) => {
            return Err(TelemetryError::Unsupported {
                variable: signal.exporter,
                value: other.to_owned(),
                supported: "otlp and none are",
            });
        }
    };
    if !otlp {
        return Ok(None);
    }
    if let Some((variable, value)) = first(
        &[signal.compression, "OTEL_EXPORTER_OTLP_COMPRESSION"],
        &env,
    ) && !matches!(value.as_str(), "gzip" | "none")
    {
        let supported = "gzip and none are";
        return Err(TelemetryError::Unsupported {
            variable,
            value,
            supported,
        });
    }
    let tls = match endpoint {
        Some((variable, value)) if is_https(&value) => {
            let tls = trusted(signal, variable, &value, &env)?;
            Some((value, tls))
        }
        _ => None,
    };
    match first(&[signal.protocol, "OTEL_EXPORTER_OTLP_PROTOCOL"], &env) {
        None => Ok(Some(Transport::Grpc(tls))),
        Some((variable, value)) => match value.as_str() {
            "grpc" => Ok(Some(Transport::Grpc(tls))),
            "http/protobuf" => {
                let tls = tls.map(|(_, tls)| tls);
                Ok(Some(Transport::Http(tls, timeout(signal, &env))))
            }
            _ => Err(TelemetryError::Unsupported {
                variable,
                value,
                supported: "grpc and http/protobuf are",
            }),
        },
    }
}

/// The first of these variables that is set, with its value.
fn first(
    variables: &[&'static str],
    env: impl Fn(&str) -> Option<String>,
) -> Option<(&'static str, String)> {
    let mut set = variables.iter().map(|variable| (*variable, env(variable)));
    set.find_map(|(variable, value)| Some((variable, value?)))
}

fn is_https(endpoint: &str) -> bool {
    let scheme = endpoint.trim().get(..8);
    scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case("https://"))
}

/// TLS with the system's authorities, or those of `OTEL_EXPORTER_OTLP_CERTIFICATE`; to the
/// collector is shown the certificate of `OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE`, whose key is in
/// `OTEL_EXPORTER_OTLP_CLIENT_KEY`.
///
/// # Errors
/// A build without TLS, a certificate without its key, and files that cannot be used.
fn trusted(
    signal: &Signal,
    variable: &'static str,
    value: &str,
    env: impl Fn(&str) -> Option<String>,
) -> Result<ClientTlsSpec, TelemetryError> {
    if !tls::IS_BUILT_IN {
        let supported = "this build has no TLS: build motet with the Cargo feature `tls`";
        return Err(TelemetryError::Unsupported {
            variable,
            value: value.to_owned(),
            supported,
        });
    }
    const CERTIFICATE: &str = "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE";
    const KEY: &str = "OTEL_EXPORTER_OTLP_CLIENT_KEY";
    let ca = first(
        &[signal.certificate, "OTEL_EXPORTER_OTLP_CERTIFICATE"],
        &env,
    );
    let cert = first(&[signal.client_certificate, CERTIFICATE], &env);
    let key = first(&[signal.client_key, KEY], &env);
    let half = |variable, missing| Err(TelemetryError::Half { variable, missing });
    let identity = match (&cert, &key) {
        (Some((variable, _)), None) => return half(*variable, KEY),
        (None, Some((variable, _))) => return half(*variable, CERTIFICATE),
        (Some((_, cert)), Some((_, key))) => Some((cert.into(), key.into())),
        (None, None) => None,
    };
    let spec = ClientTlsSpec {
        ca: ca.as_ref().map(|(_, path)| path.into()),
        identity,
        server_name: None,
    };
    let Some(problem) = ClientTls::check(&spec).into_iter().next() else {
        return Ok(spec);
    };
    let of_key = match problem.key {
        "cert" => cert,
        "key" => key,
        _ => ca,
    };
    Err(match of_key {
        Some((variable, _)) => TelemetryError::File { variable, problem },
        None => TelemetryError::Tls(problem.to_string()),
    })
}

fn timeout(signal: &Signal, env: impl Fn(&str) -> Option<String>) -> Duration {
    let set = first(&[signal.timeout, "OTEL_EXPORTER_OTLP_TIMEOUT"], env);
    let milliseconds = set.and_then(|(_, value)| value.trim().parse().ok());
    milliseconds.map_or(TIMEOUT, Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variables_decide_as_opentelemetry_says() {
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4317");
        type Variables<'a> = &'a [(&'a str, &'a str)];
        let cases: &[(Variables<'_>, Option<bool>)] = &[
            (&[], Some(false)),
            (&[endpoint], Some(true)),
            (
                &[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://c:4317")],
                Some(true),
            ),
            (
                &[("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://c:4317")],
                Some(false),
            ),
            (&[("OTEL_TRACES_EXPORTER", "otlp")], Some(true)),
            (&[endpoint, ("OTEL_TRACES_EXPORTER", "none")], Some(false)),
            (&[endpoint, ("OTEL_SDK_DISABLED", "TRUE")], Some(false)),
            (&[endpoint, ("OTEL_SDK_DISABLED", "false")], Some(true)),
            (
                &[endpoint, ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")],
                Some(true),
            ),
            (
                &[endpoint, ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json")],
                None,
            ),
            (
                &[endpoint, ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")],
                Some(true),
            ),
            (
                &[endpoint, ("OTEL_EXPORTER_OTLP_COMPRESSION", "zstd")],
                None,
            ),
            (
                &[
                    endpoint,
                    ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
                    ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "grpc"),
                ],
                Some(true),
            ),
            (&[("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json")], Some(false)),
            (&[("OTEL_TRACES_EXPORTER", "zipkin")], None),
        ];
        for (variables, expected) in cases {
            let lookup = |name: &str| {
                let found = variables.iter().find(|(have, _)| *have == name);
                found.map(|(_, value)| (*value).to_owned())
            };
            let is_sent = transport(&TRACES, lookup).ok().map(|found| found.is_some());
            assert_eq!(is_sent, *expected, "{variables:?}");
        }
    }

    #[test]
    fn protocol_timeout_and_certificates_are_those_of_the_signal() {
        let found = |variables: &[(&str, &str)]| {
            let lookup = |name: &str| {
                let found = variables.iter().find(|(have, _)| *have == name);
                found.map(|(_, value)| (*value).to_owned())
            };
            transport(&TRACES, lookup)
        };
        let plain = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318");
        let http = ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf");
        let of_ms = |ms| Some(Transport::Http(None, Duration::from_millis(ms)));
        for (variables, expected) in [
            (&[plain][..], Some(Transport::Grpc(None))),
            (&[plain, http], of_ms(10_000)),
            (
                &[plain, http, ("OTEL_EXPORTER_OTLP_TIMEOUT", "250")],
                of_ms(250),
            ),
            (
                &[
                    plain,
                    http,
                    ("OTEL_EXPORTER_OTLP_TIMEOUT", "250"),
                    ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "30"),
                ],
                of_ms(30),
            ),
        ] {
            assert_eq!(
                found(variables).expect("supported"),
                expected,
                "{variables:?}"
            );
        }
        let https = ("OTEL_EXPORTER_OTLP_ENDPOINT", "HTTPS://c:4318");
        let answer = found(&[https, http]);
        assert_eq!(answer.is_ok(), tls::IS_BUILT_IN);
        match answer {
            Ok(transport) => {
                let expected = Transport::Http(Some(ClientTlsSpec::default()), TIMEOUT);
                assert_eq!(transport, Some(expected));
                let absent = ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/no/such/file.pem");
                let key = ("OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY", "/no/such/key.pem");
                let cert = ("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", "/no/such/cert.pem");
                for (variables, named) in [
                    (&[https, absent][..], &[absent.0, absent.1][..]),
                    (&[https, cert, key], &[cert.0, cert.1]),
                    (&[https, key], &[key.0, "is set, but not", cert.0]),
                    (&[https, cert], &[cert.0, "is set, but not", "_CLIENT_KEY"]),
                ] {
                    let error = found(variables).expect_err("no such file").to_string();
                    for part in named {
                        assert!(error.contains(part), "{error}");
                    }
                }
            }
            Err(error) => {
                assert!(error.to_string().contains("Cargo feature `tls`"), "{error}");
            }
        }
    }
}
