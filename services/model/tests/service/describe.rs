//! The server's description of itself and its models.

use motet_proto::inference::*;
use motet_proto::signature::Signature;
use tonic::Code;

use crate::harness::*;

fn port(port: &motet_proto::signature::Port) -> String {
    format!("{}: {}", port.name, port.ty)
}

#[test]
fn metadata_has_the_signature() {
    let check = |model: &str, inputs: &[&str], outputs: &[&str], shapes: &[&[i64]]| {
        let request = ModelMetadataRequest {
            name: model.to_owned(),
            version: String::new(),
        };
        let metadata = block_on(async { client().await.model_metadata(request).await });
        let metadata = metadata.unwrap().into_inner();
        assert_eq!(metadata.versions, ["1"]);
        let signature = Signature::from_metadata(&metadata).unwrap();
        let ports: Vec<_> = signature.inputs.iter().map(port).collect();
        assert_eq!(ports, inputs, "{model}");
        let ports: Vec<_> = signature.outputs.iter().map(port).collect();
        assert_eq!(ports, outputs, "{model}");
        let found: Vec<_> = metadata.inputs.iter().chain(&metadata.outputs).collect();
        let found: Vec<_> = found.iter().map(|tensor| tensor.shape.as_slice()).collect();
        assert_eq!(found, shapes, "{model}");
    };
    check(
        "minilm",
        &["text: string[N]"],
        &["embedding: float[N,384]"],
        &[&[-1], &[-1, 384]],
    );
    check(
        "tokens",
        &["text: string[N]"],
        &["embedding: float[T,384]", "row: i32[T]"],
        &[&[-1], &[-1, 384], &[-1]],
    );
    check(
        "reranker",
        &["query: string", "text: string[N]"],
        &["score: float[N]"],
        &[&[1], &[-1], &[-1]],
    );
    check(
        "chunker",
        &["text: string[N]"],
        &[
            "text: string[M]",
            "source: i32[M]",
            "start: i32[M]",
            "end: i32[M]",
            "tokens: i32[M]",
        ],
        &[&[-1], &[-1], &[-1], &[-1], &[-1], &[-1]],
    );
}

#[test]
fn the_model_configuration_has_the_form_that_triton_clients_read() {
    block_on(async {
        let request = ModelConfigRequest {
            name: "reranker".to_owned(),
            version: "1".to_owned(),
        };
        let config = client().await.model_config(request).await.unwrap();
        let config = config.into_inner().config.unwrap();
        assert_eq!(config.max_batch_size, 0);
        let inputs: Vec<_> = config
            .input
            .iter()
            .map(|i| (&*i.name, i.data_type(), &*i.dims))
            .collect();
        let text = DataType::TypeString;
        assert_eq!(
            inputs,
            [("query", text, &[1i64][..]), ("text", text, &[-1][..])]
        );
        let score = &config.output[0];
        assert_eq!(
            (&*score.name, score.data_type(), &*score.dims),
            ("score", DataType::TypeFp32, &[-1i64][..])
        );
    });
}

#[test]
fn models_are_live_ready_and_listed() {
    block_on(async {
        let mut client = client().await;
        assert!(
            client
                .server_live(ServerLiveRequest {})
                .await
                .unwrap()
                .into_inner()
                .live
        );
        assert!(
            client
                .server_ready(ServerReadyRequest {})
                .await
                .unwrap()
                .into_inner()
                .ready
        );
        let metadata = client
            .server_metadata(ServerMetadataRequest {})
            .await
            .unwrap();
        assert_eq!(metadata.into_inner().name, "motet");
        let ready = |name: &str| ModelReadyRequest {
            name: name.to_owned(),
            version: String::new(),
        };
        assert!(
            client
                .model_ready(ready("minilm"))
                .await
                .unwrap()
                .into_inner()
                .ready
        );
        let other_version = ModelReadyRequest {
            name: "minilm".to_owned(),
            version: "2".to_owned(),
        };
        for unknown in [ready("x"), ready(""), other_version] {
            let response = client.model_ready(unknown.clone()).await.unwrap();
            assert!(!response.into_inner().ready, "{unknown:?}");
        }
        let index = RepositoryIndexRequest {
            ready: true,
            ..RepositoryIndexRequest::default()
        };
        let models = client
            .repository_index(index)
            .await
            .unwrap()
            .into_inner()
            .models;
        assert_eq!(models.len(), 6);
        assert!(
            models
                .iter()
                .all(|m| m.state == "READY" && m.version == "1")
        );
    });
}

#[test]
fn models_can_be_neither_loaded_nor_unloaded_by_a_call() {
    block_on(async {
        let mut client = client().await;
        let load = RepositoryModelLoadRequest {
            model_name: "minilm".to_owned(),
            ..RepositoryModelLoadRequest::default()
        };
        let error = client.repository_model_load(load).await.unwrap_err();
        assert_eq!(error.code(), Code::FailedPrecondition);
        let unload = RepositoryModelUnloadRequest {
            model_name: "minilm".to_owned(),
            ..RepositoryModelUnloadRequest::default()
        };
        let error = client.repository_model_unload(unload).await.unwrap_err();
        assert_eq!(error.code(), Code::FailedPrecondition);
        let named = RepositoryIndexRequest {
            repository_name: "other".to_owned(),
            ready: false,
        };
        let error = client.repository_index(named).await.unwrap_err();
        assert_eq!(error.code(), Code::Unimplemented);
    });
}
