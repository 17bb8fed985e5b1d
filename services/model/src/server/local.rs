//! The service for callers in the same process.

use motet_proto::inference::grpc_inference_service_server::GrpcInferenceServiceServer;
use motet_runtime::deadline::{DeadlineLayer, DeadlineService};
use motet_runtime::telemetry::propagate::{TraceLayer, TraceService};
use tower::Layer;

use super::ModelServer;

/// The gRPC service under the layers that read a request's headers: the same as behind a port, but for what only a port needs
/// (admission was the outer server's; its panics and errors are handled there, too).
pub type LocalService = TraceService<DeadlineService<GrpcInferenceServiceServer<ModelServer>>>;

pub(super) fn wrap(service: GrpcInferenceServiceServer<ModelServer>) -> LocalService {
    TraceLayer.layer(DeadlineLayer.layer(service))
}
