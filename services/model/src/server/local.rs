//! The service for callers in the same process.

use std::task::{Context, Poll};

use futures::future::BoxFuture;
use motet_proto::inference::grpc_inference_service_server::GrpcInferenceServiceServer;
use motet_proto::inference::{ModelInferRequest, ModelInferResponse};
use motet_runtime::deadline::{Deadline, DeadlineLayer, DeadlineService};
use motet_runtime::layers::Layered;
use motet_runtime::telemetry::propagate::{TraceLayer, TraceService};
use tonic::{Request, Response, Status};
use tower::Service;

use super::ModelServer;

/// The gRPC service under the layers that read the headers of a request: deadline and trace. The
/// other layers of a port (admission, panics, errors) are those of the server that the caller runs
/// in.
pub type LocalService = TraceService<DeadlineService<GrpcInferenceServiceServer<ModelServer>>>;

pub(super) fn wrap(service: GrpcInferenceServiceServer<ModelServer>) -> LocalService {
    Layered::new(TraceLayer, Layered::new(DeadlineLayer, service))
}

/// Inference for callers in the same process, without encoding the message. The deadline is an
/// extension of the request.
impl Service<Request<ModelInferRequest>> for ModelServer {
    type Response = Response<ModelInferResponse>;
    type Error = Status;
    type Future = BoxFuture<'static, Result<Self::Response, Status>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<ModelInferRequest>) -> Self::Future {
        let server = self.clone();
        Box::pin(async move {
            let deadline = Deadline::of(request.extensions());
            let response = server.infer(request.into_inner(), deadline).await?;
            Ok(Response::new(response))
        })
    }
}
