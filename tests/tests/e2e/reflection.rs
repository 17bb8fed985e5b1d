//! gRPC reflection, as grpcurl and code generators use it.

use motet_proto::v1::DescribeRequest;
use motet_tests::reflected::{Version, ask, pool, services};
use motet_tests::{in_process, temp_dir::TempDir};
use prost_reflect::DescriptorPool;
use prost_types::FileDescriptorSet;
use tonic::Code;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;

use crate::motet;
use crate::rag::RAG;

const VERSIONS: [Version; 2] = [Version::V1, Version::V1Alpha];

#[tokio::test]
async fn every_service_is_listed_and_described() {
    let connection = in_process::connect().await;
    for version in VERSIONS {
        let services = services(&connection, version).await;
        for expected in [
            RAG,
            "inference.GRPCInferenceService",
            "motet.v1.Pipelines",
            "grpc.health.v1.Health",
        ] {
            assert!(
                services.iter().any(|s| s == expected),
                "{expected} in {services:?}"
            );
        }
        for service in &services {
            let pool = pool(&connection, version, &[service]).await;
            let pool = pool.unwrap_or_else(|e| panic!("{version:?} {service}: {e}"));
            let described = pool.get_service_by_name(service).expect("described");
            assert!(described.methods().len() > 0, "{service}");
        }
    }
}

#[tokio::test]
async fn methods_and_messages_are_found_as_symbols() {
    let connection = in_process::connect().await;
    for version in VERSIONS {
        for symbol in [
            "motet.pipeline.Rag.Run",
            "motet.pipeline.Rag.RunStream",
            "motet.v1.Pipelines.Load",
            "inference.GRPCInferenceService.ModelInfer",
            "inference.ModelInferRequest",
            "grpc.health.v1.Health.Check",
            "google.rpc.ErrorInfo",
            "google.rpc.BadRequest",
        ] {
            let found = pool(&connection, version, &[symbol]).await;
            assert!(found.is_ok(), "{version:?} {symbol}: {found:?}");
        }
        let error = pool(&connection, version, &["motet.pipeline.Nothing"]).await;
        assert_eq!(error.expect_err("unknown").code(), Code::NotFound);
        let file = MessageRequest::FileByFilename("no/such.proto".to_owned());
        let error = ask(&connection, version, file).await;
        assert_eq!(error.expect_err("unknown").code(), Code::NotFound);
    }
}

#[tokio::test]
async fn the_printed_proto_file_equals_the_reflected_descriptors() {
    let folder = TempDir::new();
    let out = folder.path().to_str().expect("UTF-8");
    let written = motet(["proto", "rag", "--out", out]).run().await;
    assert_eq!(written.code, Some(0), "{}", written.stderr);
    let file = written
        .stdout
        .lines()
        .filter_map(|path| path.strip_prefix(out)?.strip_prefix('/'))
        .find(|path| path.contains("rag"))
        .expect("the pipeline's own file is named first");
    let compiled = protox::compile([file], [folder.path()]).expect("it compiles");
    let compiled = without_source(compiled);
    let compiled = DescriptorPool::from_file_descriptor_set(compiled).expect("whole");
    let printed = motet(["proto", "rag"]).run().await;
    let on_disk = std::fs::read_to_string(folder.path().join(file)).expect("it was written");
    assert_eq!(printed.stdout, on_disk);

    let connection = in_process::connect().await;
    let served = pool(&connection, Version::V1, &[RAG]).await.expect("known");
    let file_of = |pool: &DescriptorPool| {
        let service = pool.get_service_by_name(RAG).expect("the service");
        let mut file = service.parent_file().file_descriptor_proto().clone();
        // Unset and `false` mean the same.
        for method in file.service.iter_mut().flat_map(|s| &mut s.method) {
            method.client_streaming.get_or_insert(false);
            method.server_streaming.get_or_insert(false);
        }
        file
    };
    assert_eq!(file_of(&compiled), file_of(&served));
    let name = "rag".to_owned();
    let mut pipelines = connection.pipelines();
    let described = pipelines.describe(DescribeRequest { name }).await;
    assert_eq!(described.expect("known").into_inner().proto, printed.stdout);
}

fn without_source(mut files: FileDescriptorSet) -> FileDescriptorSet {
    for file in &mut files.file {
        file.source_code_info = None;
    }
    files
}
