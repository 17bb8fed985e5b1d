//! Many requests on one stream.

use std::collections::BTreeMap;

use motet_proto::inference::ModelInferRequest;
use motet_proto::oip::parameter;
use tokio_stream::StreamExt;

use crate::harness::*;

fn numbered(id: usize, mut request: ModelInferRequest) -> ModelInferRequest {
    request.id = id.to_string();
    request
}

#[test]
fn each_request_has_its_response_and_an_error_does_not_end_the_stream() {
    block_on(async {
        let requests: Vec<_> = (0..200)
            .map(|id| match id % 4 {
                0 => request("minilm", &[texts(&["one", "two"])]),
                1 => request("chunker", &[texts(&["one. two."])]),
                2 => request("minilm", &[]),
                _ => request("nobody", &[texts(&["one"])]),
            })
            .enumerate()
            .map(|(id, request)| numbered(id, request))
            .collect();
        let stream = client()
            .await
            .model_stream_infer(tokio_stream::iter(requests))
            .await;
        let mut stream = stream.unwrap().into_inner();
        let mut answers = BTreeMap::new();
        while let Some(message) = stream.next().await {
            let message = message.unwrap();
            let response = message.infer_response.unwrap();
            let id: usize = response.id.parse().unwrap();
            answers.insert(id, (message.error_message, response));
        }
        assert_eq!(answers.len(), 200);
        for (id, (error, response)) in answers {
            match id % 4 {
                0 => assert_eq!(output(&response, "embedding").shape(), [2, 384]),
                1 => assert_eq!(output(&response, "text").shape(), [1]),
                2 => assert!(
                    error.starts_with("INVALID_ARGUMENT: text: missing"),
                    "{error}"
                ),
                _ => assert!(error.starts_with("NOT_FOUND: there is no model"), "{error}"),
            }
            assert_eq!(error.is_empty(), id % 4 < 2);
        }
    });
}

#[test]
fn a_final_response_is_marked_if_asked_for() {
    block_on(async {
        let mut asked = request("chunker", &[texts(&["one"])]);
        asked.parameters = [(
            "triton_enable_empty_final_response".to_owned(),
            parameter(true),
        )]
        .into();
        let stream = client()
            .await
            .model_stream_infer(tokio_stream::iter([asked]))
            .await;
        let message = stream.unwrap().into_inner().next().await.unwrap().unwrap();
        let response = message.infer_response.unwrap();
        assert_eq!(
            response.parameters.get("triton_final_response"),
            Some(&parameter(true))
        );
    });
}
