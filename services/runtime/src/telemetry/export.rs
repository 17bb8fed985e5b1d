//! The exporters that the standard `OTEL_*` variables ask for.
//!
//! The SDK itself reads endpoint, headers, timeout, compression, sampler and batch sizes. This
//! module decides if there is an exporter at all, since the SDK would send to localhost without
//! being asked.

use opentelemetry_otlp::{MetricExporter, SpanExporter};

use super::TelemetryError;

/// The variables of one signal.
struct Signal {
    exporter: &'static str,
    endpoint: &'static str,
    protocol: &'static str,
}

const TRACES: Signal = Signal {
    exporter: "OTEL_TRACES_EXPORTER",
    endpoint: "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    protocol: "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
};

const METRICS: Signal = Signal {
    exporter: "OTEL_METRICS_EXPORTER",
    endpoint: "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
    protocol: "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL",
};

pub(super) fn spans() -> Result<Option<SpanExporter>, TelemetryError> {
    if !wanted(&TRACES, env)? {
        return Ok(None);
    }
    Ok(Some(SpanExporter::builder().with_tonic().build()?))
}

pub(super) fn metrics() -> Result<Option<MetricExporter>, TelemetryError> {
    if !wanted(&METRICS, env)? {
        return Ok(None);
    }
    Ok(Some(MetricExporter::builder().with_tonic().build()?))
}

/// A variable's value; an empty one counts as unset, as OpenTelemetry says.
fn env(name: &str) -> Option<String> {
    std::env::var(name)
        .ok()
        .filter(|value| !value.trim().is_empty())
}

fn wanted(signal: &Signal, env: impl Fn(&str) -> Option<String>) -> Result<bool, TelemetryError> {
    if env("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        return Ok(false);
    }
    let endpoint = env(signal.endpoint).or_else(|| env("OTEL_EXPORTER_OTLP_ENDPOINT"));
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
        return Ok(false);
    }
    for variable in [signal.protocol, "OTEL_EXPORTER_OTLP_PROTOCOL"] {
        match env(variable) {
            None => continue,
            Some(protocol) if protocol == "grpc" => break,
            Some(value) => {
                return Err(TelemetryError::Unsupported {
                    variable,
                    value,
                    supported: "motet sends OTLP by grpc",
                });
            }
        }
    }
    Ok(true)
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
                &[endpoint, ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")],
                None,
            ),
            (
                &[
                    endpoint,
                    ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
                    ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "grpc"),
                ],
                Some(true),
            ),
            (
                &[("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")],
                Some(false),
            ),
            (&[("OTEL_TRACES_EXPORTER", "zipkin")], None),
        ];
        for (variables, expected) in cases {
            let lookup = |name: &str| {
                let found = variables.iter().find(|(have, _)| *have == name);
                found.map(|(_, value)| (*value).to_owned())
            };
            assert_eq!(wanted(&TRACES, lookup).ok(), *expected, "{variables:?}");
        }
    }
}
