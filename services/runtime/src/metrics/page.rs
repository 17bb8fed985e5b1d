//! The documentation page of the metrics, generated from the catalogue.

use std::fmt::Write;

use super::catalogue::{CATALOGUE, Kind};

/// Returns the Markdown page of all metrics, the text of `docs/metrics.md`.
pub fn page() -> String {
    let mut page = String::from(
        "# Metrics\n\n\
         Generated from `src/metrics/catalogue.rs` by\n\
         `UPDATE_DOCS=1 cargo test -p motet-runtime metrics`; a test compares the two.\n\n\
         `/metrics` on the HTTP port returns them as Prometheus text. The standard `OTEL_*`\n\
         variables export them by OTLP, under their OpenTelemetry names. `code` is a gRPC code\n\
         such as `OK` or `DEADLINE_EXCEEDED`.\n\n\
         | Prometheus | OpenTelemetry | kind | unit | labels | description |\n\
         |---|---|---|---|---|---|\n",
    );
    for instrument in CATALOGUE {
        let kind = match instrument.kind {
            Kind::Counter => "counter",
            Kind::UpDownCounter => "up-down counter",
            Kind::Gauge => "gauge",
            Kind::Histogram(_) => "histogram",
        };
        let labels: Vec<_> = instrument
            .labels
            .iter()
            .map(|label| format!("`{label}`"))
            .collect();
        // Writing to a String cannot fail.
        let _ = writeln!(
            page,
            "| `{}` | `{}` | {kind} | {} | {} | {} |",
            instrument.prometheus,
            instrument.name,
            instrument.unit,
            labels.join(", "),
            instrument.description,
        );
    }
    page
}
