//! Models of a running server: loaded, unloaded, listed.

use std::collections::HashMap;

use motet_proto::inference::grpc_inference_service_client::GrpcInferenceServiceClient;
use motet_proto::inference::model_repository_parameter::ParameterChoice;
use motet_proto::inference::repository_index_response::ModelIndex;
use motet_proto::inference::{
    ModelRepositoryParameter, RepositoryIndexRequest, RepositoryModelLoadRequest,
    RepositoryModelUnloadRequest,
};
use motet_runtime::deadline::Deadline;
use motet_runtime::status::Reason;
use serde_json::json;
use tonic::Request;

use super::{RESPONSE_BYTES_MAX, answer, report, request};
use crate::args::{LoadArgs, ServerArgs};
use crate::connection::{Connection, connect_command, refusal};
use crate::file_texts::FileText;
use crate::output;

/// The parameter with the text of a configuration, and the server's name for that in messages.
const CONFIG: &str = "config";

pub(super) type Client = GrpcInferenceServiceClient<Connection>;

pub(super) async fn client(server: &ServerArgs) -> anyhow::Result<Client> {
    let connection = connect_command(server).await?;
    Ok(Client::new(connection).max_decoding_message_size(RESPONSE_BYTES_MAX))
}

/// Loads a model of a text, or of the server's own configuration, and prints that.
pub(super) async fn load(
    client: &mut Client,
    name: &str,
    text: Option<&FileText>,
    args: &LoadArgs,
) -> anyhow::Result<()> {
    let config = text.map(|text| {
        let parameter_choice = Some(ParameterChoice::StringParam(text.yaml.clone()));
        (
            CONFIG.to_owned(),
            ModelRepositoryParameter { parameter_choice },
        )
    });
    let message = RepositoryModelLoadRequest {
        model_name: name.to_owned(),
        parameters: config.into_iter().collect::<HashMap<_, _>>(),
        ..RepositoryModelLoadRequest::default()
    };
    let deadline = Deadline::within(args.timeout);
    let mut request = Request::new(message);
    deadline.write(request.metadata_mut());
    let loaded = deadline.run(client.repository_model_load(request)).await;
    loaded.map_err(|error| match (Reason::of(&error), text) {
        (Some(Reason::BadModel), Some(text)) => report(CONFIG, error.message(), &text.file).into(),
        _ => refusal(&error),
    })?;
    output::print(&match args.json {
        true => format!(
            "{}\n",
            serde_json::to_string_pretty(&json!({ "model": name }))?
        ),
        false => format!("loaded model {name}\n"),
    })
}

/// Unloads a model or a pipeline.
pub(super) async fn unload(client: &mut Client, name: &str) -> anyhow::Result<()> {
    let message = RepositoryModelUnloadRequest {
        model_name: name.to_owned(),
        ..RepositoryModelUnloadRequest::default()
    };
    answer(client.repository_model_unload(request(message))).await?;
    Ok(())
}

/// Returns the models and pipelines with their states.
pub(super) async fn index(client: &mut Client) -> anyhow::Result<Vec<ModelIndex>> {
    let call = client.repository_index(request(RepositoryIndexRequest::default()));
    Ok(answer(call).await?.models)
}
