//! The server's layers, in their order.

use tower::{Layer, ServiceBuilder};

use crate::deadline::{DeadlineLayer, DeadlineService};
use crate::limits::{
    Admission, AdmissionLayer, AdmissionService, ErrorLayer, ErrorService, PanicLayer, PanicService,
};
use crate::metrics::Metrics;
use crate::routes::LiveRoutes;
use crate::telemetry::propagate::{TraceLayer, TraceService};

/// What stands before the routes of every gRPC port.
pub type Stack<S> = TraceService<AdmissionService<DeadlineService<ErrorService<PanicService<S>>>>>;

/// Stacks the layers over the routes. From the outside in:
///
/// 1. the `request` span, so that whatever happens to a request is in its trace;
/// 2. admission, which counts calls in flight and refuses those above the limit before they cost anything;
/// 3. the deadline, which covers everything that runs for the request;
/// 4. error mapping, which rewrites what tonic's decoding answers;
/// 5. panics, next to what may panic.
pub fn stack(routes: LiveRoutes, admission: Admission, metrics: &Metrics) -> Stack<LiveRoutes> {
    ServiceBuilder::new()
        .layer(TraceLayer)
        .layer(AdmissionLayer::new(admission, metrics.server()))
        .layer(DeadlineLayer)
        .layer(ErrorLayer)
        .layer(PanicLayer)
        .into_inner()
        .layer(routes)
}
