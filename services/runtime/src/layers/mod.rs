//! The server's layers: their order, and the skeleton that they share.
//!
//! * [`call`]: a layer's service, future and body, which delegate to hooks.

pub mod call;

use crate::audit::{Audit, AuditLayer, AuditService};
use crate::auth::{AuthLayer, AuthService, Authenticator};
use crate::compression::CompressionService;
use crate::deadline::{DeadlineLayer, DeadlineService};
use crate::flow::{FlowLayer, FlowService};
use crate::limits::{
    Admission, AdmissionLayer, AdmissionService, ErrorLayer, ErrorService, PanicLayer, PanicService,
};
use crate::listener::{ListenerLayer, ListenerService, ListenerServices};
use crate::metrics::Metrics;
use crate::routes::LiveRoutes;
use crate::telemetry::propagate::{TraceLayer, TraceService};

pub use call::Layered;

/// The routes of a gRPC port with all layers around them.
pub type Stack<S> = TraceService<
    AuditService<ListenerService<AuthService<FlowService<AdmissionService<CallService<S>>>>>>,
>;

/// The layers of a call that was admitted.
type CallService<S> = DeadlineService<CompressionService<ErrorService<PanicService<S>>>>;

/// Guards of a listener. By default everything is served to everyone, and nothing is written.
#[derive(Clone, Default)]
pub struct Guards {
    /// The services that the listener has.
    pub services: ListenerServices,
    /// Authentication of callers.
    pub auth: Option<Authenticator>,
    /// The audit.
    pub audit: Option<Audit>,
}

/// Stacks the layers around the routes. From the outside in:
///
/// 1. the `request` span, so that whatever happens to a request is in its trace;
/// 2. the audit, which tells of refused calls, too;
/// 3. the listener, which does not have every service;
/// 4. authentication, before anything is done for a stranger;
/// 5. the flow, which is known to all that follows;
/// 6. admission, which counts calls in flight and refuses those above the limit before they cost
///    anything;
/// 7. the deadline, which covers everything that runs for the request;
/// 8. compression, in which a message has at most `message_bytes_max` bytes;
/// 9. error mapping, which rewrites the errors of tonic's decoding;
/// 10. panics, next to what may panic.
pub fn stack(
    routes: LiveRoutes,
    guards: Guards,
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
    let service = Layered::new(AuthLayer::new(guards.auth), service);
    let service = Layered::new(ListenerLayer(guards.services), service);
    let service = AuditLayer::new(guards.audit).wrap(service);
    Layered::new(TraceLayer, service)
}
