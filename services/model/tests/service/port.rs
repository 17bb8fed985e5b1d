//! A model server on a port of its own, behind the layers of every server.

use std::net::Ipv4Addr;
use std::time::Duration;

use motet_proto::inference::grpc_inference_service_client::GrpcInferenceServiceClient;
use motet_runtime::health::Health;
use motet_runtime::layers;
use motet_runtime::limits::Admission;
use motet_runtime::metrics::Metrics;
use motet_runtime::routes::LiveRoutes;
use motet_runtime::serve::{ServeOptions, Server};
use tokio_stream::StreamExt;
use tokio_util::sync::CancellationToken;
use tonic::transport::Endpoint;
use tonic::{Code, Request};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_reflection::pb::v1::{ServerReflectionRequest, ServerReflectionResponse};

use crate::harness::*;

#[test]
fn a_model_server_answers_on_a_port() {
    block_on(async {
        let (metrics, health) = (Metrics::new("test").unwrap(), Health::new());
        let config = r#"
models:
  m:
    task: embed
    source: "builtin:all-minilm-l6-v2"
    batcher: { max_batch_tokens: 32 }
"#;
        let models = load(config, &metrics, &health).await;
        let routes = models.routes(&health, MESSAGE_BYTES_MAX).unwrap();
        let service = layers::stack(
            LiveRoutes::new(routes),
            layers::Guards::default(),
            Admission::new(100),
            &metrics,
            64 << 20,
        );
        let any_port = (Ipv4Addr::LOCALHOST, 0).into();
        let server = Server::bind(any_port, ServeOptions::default())
            .await
            .unwrap();
        let address = format!("http://{}", server.local_addr());
        let stop = CancellationToken::new();
        let serving = server.spawn(service, stop.clone());
        let channel = Endpoint::from_shared(address)
            .unwrap()
            .connect()
            .await
            .unwrap();

        let mut client = GrpcInferenceServiceClient::new(channel.clone());
        let answer = client
            .model_infer(request("m", &[texts(&["one", "two"])]))
            .await;
        assert_eq!(
            output(&answer.unwrap().into_inner(), "embedding").shape(),
            [2, 384]
        );

        // Through the service of this process, since tonic's channel has a timer of its own. 200
        // rows of 256 tokens are seconds of work.
        let long = "word ".repeat(300);
        let mut late = Request::new(request("m", &[texts(&vec![long.as_str(); LIMITS.rows])]));
        // The deadline passes while the texts are read: a call that reaches the queue with too
        // little time is refused as `DEADLINE_TOO_SHORT`.
        late.set_timeout(Duration::from_millis(1));
        let error = client_of(&models).model_infer(late).await.unwrap_err();
        assert_eq!(error.code(), Code::DeadlineExceeded, "{error:?}");

        let request = HealthCheckRequest {
            service: "m".to_owned(),
        };
        let check = HealthClient::new(channel.clone())
            .check(request)
            .await
            .unwrap();
        assert_eq!(check.into_inner().status, 1);

        let list = ServerReflectionRequest {
            message_request: Some(MessageRequest::ListServices(String::new())),
            ..ServerReflectionRequest::default()
        };
        let list = tokio_stream::iter([list]);
        let answer = ServerReflectionClient::new(channel)
            .server_reflection_info(list)
            .await;
        let answer: ServerReflectionResponse =
            answer.unwrap().into_inner().next().await.unwrap().unwrap();
        let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else {
            panic!("{answer:?}")
        };
        let mut names: Vec<_> = list.service.iter().map(|s| s.name.as_str()).collect();
        names.sort_unstable();
        assert_eq!(
            names,
            [
                "grpc.health.v1.Health",
                "grpc.reflection.v1.ServerReflection",
                "grpc.reflection.v1alpha.ServerReflection",
                "inference.GRPCInferenceService",
            ]
        );

        stop.cancel();
        assert_eq!(serving.await.unwrap().dropped, 0);
        models.drain().await;
    });
}
