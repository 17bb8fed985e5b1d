use motet_runtime::health::Health;
use motet_runtime::reflection;
use motet_runtime::serve::ServeOptions;
use tokio_stream::StreamExt;
use tonic::service::Routes;
use tonic::transport::Channel;

use crate::harness::start;

/// Asks one question of one version's reflection; `None` where the answer is an error.
macro_rules! ask {
    ($name:ident, $version:ident) => {
        async fn $name(channel: Channel, list: bool, symbol: &str) -> Option<Vec<String>> {
            use prost::Message;
            use tonic_reflection::pb::$version as pb;
            let question = if list {
                pb::server_reflection_request::MessageRequest::ListServices(String::new())
            } else {
                pb::server_reflection_request::MessageRequest::FileContainingSymbol(
                    symbol.to_owned(),
                )
            };
            let request = pb::ServerReflectionRequest {
                host: String::new(),
                message_request: Some(question),
            };
            let mut client = pb::server_reflection_client::ServerReflectionClient::new(channel);
            let answers = client
                .server_reflection_info(tokio_stream::once(request))
                .await
                .ok()?;
            let answer = answers.into_inner().next().await?.ok()?;
            match answer.message_response? {
                pb::server_reflection_response::MessageResponse::ListServicesResponse(list) => {
                    Some(
                        list.service
                            .into_iter()
                            .map(|service| service.name)
                            .collect(),
                    )
                }
                pb::server_reflection_response::MessageResponse::FileDescriptorResponse(files) => {
                    let files = files.file_descriptor_proto.into_iter();
                    let decode =
                        |bytes: Vec<u8>| prost_types::FileDescriptorProto::decode(bytes.as_slice());
                    Some(
                        files
                            .map(|file| decode(file).expect("a file").name().to_owned())
                            .collect(),
                    )
                }
                _ => None,
            }
        }
    };
}

ask!(ask_v1, v1);
ask!(ask_v1alpha, v1alpha);

#[tokio::test]
async fn both_versions_list_services_and_find_methods_also_after_a_swap() {
    let server = start().await;
    let sets: Vec<&[u8]> = vec![Health::descriptor_set(), motet_proto::FILE_DESCRIPTOR_SET];
    let channel = server.channel().await;
    let with = |sets: &[&[u8]]| reflection::add(Routes::default(), sets).expect("valid sets");
    server.routes.set(with(&sets[..1]));
    let symbol = "inference.GRPCInferenceService.ModelInfer";
    for _ in 0..2 {
        assert_eq!(ask_v1(channel.clone(), false, symbol).await, None);
        assert_eq!(ask_v1alpha(channel.clone(), false, symbol).await, None);
    }
    server.routes.set(with(&sets));
    for answers in [
        [
            ask_v1(channel.clone(), true, "").await,
            ask_v1(channel.clone(), false, symbol).await,
        ],
        [
            ask_v1alpha(channel.clone(), true, "").await,
            ask_v1alpha(channel.clone(), false, symbol).await,
        ],
    ] {
        let [services, files] = answers.map(|answer| answer.expect("an answer"));
        for expected in [
            "grpc.health.v1.Health",
            "grpc.reflection.v1.ServerReflection",
            "grpc.reflection.v1alpha.ServerReflection",
            "inference.GRPCInferenceService",
        ] {
            let count = services.iter().filter(|name| *name == expected).count();
            assert_eq!(count, 1, "{expected} in {services:?}");
        }
        assert!(files[0].ends_with("inference.proto"), "{files:?}");
    }
    for symbol in [
        "grpc.health.v1.Health.List",
        "grpc.health.v1.HealthListResponse.statuses",
    ] {
        let files = ask_v1(channel.clone(), false, symbol).await.expect("known");
        assert!(files[0].ends_with("health.proto"), "{files:?}");
    }
}

#[tokio::test]
async fn an_open_reflection_stream_does_not_hold_a_drain() {
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    let server = start().await;
    let sets = [Health::descriptor_set()];
    server
        .routes
        .set(reflection::add(Routes::default(), &sets).expect("valid"));
    let mut client = ServerReflectionClient::new(server.channel().await);
    let answers = client.server_reflection_info(tokio_stream::pending()).await;
    let mut answers = answers.expect("it begins").into_inner();
    server.shutdown.cancel();
    // Its request ends, and so does its answer, whichever comes first.
    match answers.next().await {
        None => {}
        Some(end) => assert_eq!(end.expect_err("no answer").code(), tonic::Code::Unavailable),
    }
    drop(answers);
    // Were anything to hold the drain, the stopped clock would jump to the end of the grace period.
    tokio::time::pause();
    let begin = tokio::time::Instant::now();
    assert_eq!(server.task.await.expect("ran"), Default::default());
    assert!(begin.elapsed() < ServeOptions::default().grace);
}

#[test]
fn a_broken_set_is_an_error() {
    let error = reflection::add(Routes::default(), &[[0xff_u8; 4]]).expect_err("broken");
    assert!(error.to_string().contains("descriptor set"), "{error}");
}
