//! The service for callers in the same process.

use std::task::{Context, Poll};

use futures::future::BoxFuture;
use motet_proto::inference::grpc_inference_service_server::GrpcInferenceServiceServer;
use motet_proto::inference::{ModelInferRequest, ModelInferResponse};
use motet_runtime::deadline::{Deadline, DeadlineLayer, DeadlineService};
use motet_runtime::telemetry::propagate::{TraceLayer, TraceService};
use tonic::{Request, Response, Status};
use tower::{Layer, Service};

use super::ModelServer;

/// The gRPC service under the layers that read a request's headers: the same as behind a port, but for what only a port needs
/// (admission was the outer server's; its panics and errors are handled there, too).
pub type LocalService = TraceService<DeadlineService<GrpcInferenceServiceServer<ModelServer>>>;

pub(super) fn wrap(service: GrpcInferenceServiceServer<ModelServer>) -> LocalService {
    TraceLayer.layer(DeadlineLayer.layer(service))
}

/// Inference with the message itself, for callers that need no wire form of it. The deadline is an extension of the request.
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
