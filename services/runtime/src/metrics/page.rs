//! The documentation page of the metrics, generated from the catalogue.

use std::fmt::Write;

use super::catalogue::{CATALOGUE, Kind};

/// The Markdown page of all metrics; `docs/metrics.md` holds its text.
pub fn page() -> String {
    let mut page = String::from(
        "# Metrics\n\n\
         Written from `src/metrics/catalogue.rs`; a test keeps the two equal\n\
         (`UPDATE_DOCS=1 cargo test -p motet-runtime metrics` writes this page anew).\n\n\
         `/metrics` on the HTTP port gives them as Prometheus text. They go out by OTLP under their OpenTelemetry\n\
         names when the standard `OTEL_*` variables ask for it. `code` is a gRPC code such as `OK` or\n\
         `DEADLINE_EXCEEDED`.\n\n\
         | Prometheus | OpenTelemetry | kind | unit | labels | what it says |\n\
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
