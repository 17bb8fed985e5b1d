//! Triton's `ModelStreamInfer`: many requests, each answered as it finishes.

use futures::Stream;
use futures::stream::BoxStream;
use motet_proto::inference::{ModelInferRequest, ModelInferResponse, ModelStreamInferResponse};
use motet_proto::oip::parameter;
use motet_runtime::auth::Named;
use motet_runtime::deadline::Deadline;
use motet_runtime::request_stream::{StreamedRequest, answer_each};
use motet_runtime::status::code_name;
use tonic::{Request, Status};

use super::ModelServer;
use crate::request::wants_final_response;

/// The parameter that marks the last response to a request.
const FINAL_RESPONSE: &str = "triton_final_response";

/// Returns the responses in the order in which they finish. A request that fails is answered with
/// its error, and the stream goes on. Dropping the stream drops all its requests in flight.
pub(super) fn responses(
    server: ModelServer,
    requests: Request<impl Stream<Item = Result<ModelInferRequest, Status>> + Send + 'static>,
    deadline: Option<Deadline>,
) -> BoxStream<'static, Result<ModelStreamInferResponse, Status>> {
    answer_each(requests, move |request, admitted| {
        let server = server.clone();
        async move { respond(&server, request, admitted, deadline).await }
    })
}

async fn respond(
    server: &ModelServer,
    request: ModelInferRequest,
    admitted: Result<StreamedRequest, Status>,
    deadline: Option<Deadline>,
) -> ModelStreamInferResponse {
    let (id, model_name) = (request.id.clone(), request.model_name.clone());
    let wants_final = wants_final_response(&request.parameters);
    let answer = match admitted {
        Ok(admitted) => match admitted.access.call(&model_name, Named::Model) {
            Ok(()) => server.infer(request, deadline).await,
            Err(refusal) => Err(refusal),
        },
        Err(refusal) => Err(refusal),
    };
    let mut message = match answer {
        Ok(response) => ModelStreamInferResponse {
            error_message: String::new(),
            infer_response: Some(response),
        },
        // The stream has one status for all its requests, so the code goes into the message, and
        // the id names the request.
        Err(status) => ModelStreamInferResponse {
            error_message: format!("{}: {}", code_name(status.code()), status.message()),
            infer_response: Some(ModelInferResponse {
                id,
                model_name,
                ..ModelInferResponse::default()
            }),
        },
    };
    if wants_final && let Some(response) = &mut message.infer_response {
        let last = parameter(true);
        response.parameters.insert(FINAL_RESPONSE.to_owned(), last);
    }
    message
}
