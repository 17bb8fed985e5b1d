//! The HTTP port: liveness, readiness, metrics.

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use http::{StatusCode, header};

use crate::health::Health;
use crate::metrics::Metrics;

/// The sources of the HTTP port's pages.
#[derive(Clone, Debug)]
pub struct HttpState {
    /// Readiness comes from here.
    pub health: Health,
    /// `/metrics` comes from here.
    pub metrics: Metrics,
}

const INDEX: &str = "motet

/healthz   200 while the process runs
/readyz    200 when all pipelines can answer, and the models that are away;
           else 503 and the names that are not served
/metrics   Prometheus text
";

/// The router of the HTTP port. Callers may add routes to it; serve it with
/// [`Protocol::Http`](crate::serve::Protocol::Http).
pub fn router(state: HttpState) -> Router {
    Router::new()
        .route("/", get(async || INDEX))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(state)
}

async fn readyz(State(state): State<HttpState>) -> (StatusCode, String) {
    let missing = state.health.not_ready();
    let (code, begin, names) = match missing.is_empty() {
        true => match state.health.spared() {
            away if away.is_empty() => return (StatusCode::OK, "ready\n".to_owned()),
            away => (StatusCode::OK, "ready, degraded without:\n", away),
        },
        false => (StatusCode::SERVICE_UNAVAILABLE, "not ready:\n", missing),
    };
    let lines = names.into_iter().map(|name| name + "\n");
    (
        code,
        lines.fold(begin.to_owned(), |page, line| page + &line),
    )
}

async fn metrics(
    State(state): State<HttpState>,
) -> Result<([(header::HeaderName, &'static str); 1], String), (StatusCode, String)> {
    match state.metrics.render() {
        Ok(text) => Ok((
            [(
                header::CONTENT_TYPE,
                "text/plain; version=0.0.4; charset=utf-8",
            )],
            text,
        )),
        Err(error) => Err((StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n"))),
    }
}
