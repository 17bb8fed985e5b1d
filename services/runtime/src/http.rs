//! The HTTP port: liveness, readiness, metrics.
//!
//! Liveness and readiness ask nobody who they are; metrics are for those with the grant `metrics`
//! where callers have to say so.

use axum::Router;
use axum::extract::{Request, State};
use axum::routing::get;
use http::{StatusCode, header};

use crate::auth::{Authenticator, Grant};
use crate::config::HttpServices;
use crate::health::Health;
use crate::metrics::Metrics;
use crate::serve::ConnectionInfo;

/// The sources of the HTTP port's pages.
#[derive(Clone)]
pub struct HttpState {
    /// Readiness comes from here.
    pub health: Health,
    /// `/metrics` comes from here.
    pub metrics: Metrics,
    /// The pages that there are.
    pub services: HttpServices,
    /// Authentication of those who read metrics; `None` for none.
    pub auth: Option<Authenticator>,
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
    let mut router = Router::new().route("/", get(async || INDEX));
    if state.services.health {
        router = router
            .route("/healthz", get(async || "ok\n"))
            .route("/readyz", get(readyz));
    }
    if state.services.metrics {
        router = router.route("/metrics", get(metrics));
    }
    router.with_state(state)
}

/// Permits a page of metrics.
///
/// # Errors
/// 401 without credentials that are accepted, 403 without the grant.
fn permit_metrics(state: &HttpState, request: &Request) -> Result<(), Refused> {
    let Some(auth) = &state.auth else {
        return Ok(());
    };
    let connection = ConnectionInfo::of(request.extensions());
    let peer = connection.map(ConnectionInfo::peer);
    let names = connection.map(ConnectionInfo::client_names);
    let principal = auth.authenticate(request.headers(), names.unwrap_or_default(), peer);
    let principal = principal.map_err(|_| {
        let text = "credentials are missing or not accepted: send `authorization: Bearer KEY`\n";
        let asked = (header::WWW_AUTHENTICATE, "Bearer");
        (StatusCode::UNAUTHORIZED, [asked], text.to_owned())
    })?;
    match principal.grants().has(&Grant::Metrics) {
        true => Ok(()),
        false => Err(refused(
            StatusCode::FORBIDDEN,
            "these credentials lack the grant `metrics`\n".to_owned(),
        )),
    }
}

/// An answer in place of a page.
type Refused = (StatusCode, [(header::HeaderName, &'static str); 1], String);

fn refused(code: StatusCode, text: String) -> Refused {
    (code, [(header::CONTENT_TYPE, "text/plain")], text)
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
    request: Request,
) -> Result<([(header::HeaderName, &'static str); 1], String), Refused> {
    permit_metrics(&state, &request)?;
    match state.metrics.render() {
        Ok(text) => Ok((
            [(
                header::CONTENT_TYPE,
                "text/plain; version=0.0.4; charset=utf-8",
            )],
            text,
        )),
        Err(error) => Err(refused(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("{error}\n"),
        )),
    }
}
