//! The server's layers: their order, and the skeleton that they share.
//!
//! * [`call`]: a layer's service, future and body, which delegate to hooks.

pub mod call;

use crate::compression::CompressionService;
use crate::deadline::{DeadlineLayer, DeadlineService};
use crate::flow::{FlowLayer, FlowService};
use crate::limits::{
    Admission, AdmissionLayer, AdmissionService, ErrorLayer, ErrorService, PanicLayer, PanicService,
};
use crate::metrics::Metrics;
use crate::routes::LiveRoutes;
use crate::telemetry::propagate::{TraceLayer, TraceService};

pub use call::Layered;

/// The routes of a gRPC port with all layers around them.
pub type Stack<S> = TraceService<
    FlowService<
        AdmissionService<DeadlineService<CompressionService<ErrorService<PanicService<S>>>>>,
    >,
>;

/// Stacks the layers around the routes. From the outside in:
///
/// 1. the `request` span, so that whatever happens to a request is in its trace;
/// 2. the flow, which is known to all that follows;
/// 3. admission, which counts calls in flight and refuses those above the limit before they cost
///    anything;
/// 4. the deadline, which covers everything that runs for the request;
/// 5. compression, in which a message has at most `message_bytes_max` bytes;
/// 6. error mapping, which rewrites the errors of tonic's decoding;
/// 7. panics, next to what may panic.
pub fn stack(
    routes: LiveRoutes,
    admission: Admission,
    metrics: &Metrics,
    message_bytes_max: usize,
) -> Stack<LiveRoutes> {
    let service = Layered::new(PanicLayer::new(metrics.server()), routes);
    let service = Layered::new(ErrorLayer, service);
    let service = CompressionService::new(service, message_bytes_max);
    let service = Layered::new(DeadlineLayer, service);
    let service = Layered::new(AdmissionLayer::new(admission, metrics.server()), service);
    let service = Layered::new(FlowLayer, service);
    Layered::new(TraceLayer, service)
}
