//! The pipeline that answers the rows of a batch, and all that its answers depend on.

use std::collections::BTreeMap;
use std::time::Duration;

use motet_batch::{BatchError, PipelineParts, sha256};
use motet_proto::inference::ServerMetadataRequest;
use motet_proto::inference::grpc_inference_service_client::GrpcInferenceServiceClient;
use motet_proto::v1::pipelines_client::PipelinesClient;
use motet_proto::v1::{DescribeRequest, ExplainRequest};
use motet_rows::Port;
use motet_runtime::config::ServerSpec;
use motet_service::Tasks;
use prost::Message;
use tokio::time::{Instant, sleep};
use tonic::Code;

use crate::args::{CallingArgs, ServerArgs};
use crate::client::{Client, ClientError, PipelineClient};
use crate::configuration::{Configuration, Files};
use crate::connection::{ConnectError, connect_command, refusal};
use crate::lock::Lock;
use crate::process::Instruments;
use crate::server::Server;
use crate::signatures;

/// Time between two tries to reach a server.
const AGAIN: Duration = Duration::from_millis(500);
/// The most bytes of a description.
const DESCRIPTION_BYTES_MAX: usize = 64 << 20;

/// A pipeline of a server, or of this process.
pub(super) struct Target {
    /// The pipeline.
    pub(super) pipeline: PipelineClient,
    /// Its name, with digests of what its answers depend on.
    pub(super) parts: PipelineParts,
    /// Its inputs.
    pub(super) ports: Vec<Port>,
    /// Its outputs, parts of one as `results.score`.
    pub(super) outputs: Vec<Port>,
    /// The server of this process.
    server: Option<Server>,
    /// The `server` of its configuration.
    spec: ServerSpec,
}

impl Target {
    /// Finds the pipeline where the arguments say; starts the models where that is this process.
    ///
    /// # Errors
    /// A server that is away or lacks the pipeline; a configuration with mistakes.
    pub(super) async fn find(
        name: &str,
        args: &CallingArgs,
        tasks: &Tasks,
    ) -> anyhow::Result<Self> {
        match &args.to {
            Some(address) => {
                let server = ServerArgs {
                    address: address.clone(),
                    credentials: args.credentials.clone(),
                };
                let until = Instant::now() + args.retry_for;
                let client = reached(&server, until).await?;
                let spec = ServerSpec::default();
                described(client, name, BTreeMap::new(), (None, spec), until).await
            }
            None => {
                let (server, spec, digests) = start(args.files.clone().files(), tasks).await?;
                let client = server.client();
                let server = (Some(server), spec);
                described(client, name, digests, server, Instant::now()).await
            }
        }
    }

    /// Returns the `server` of the configuration of this process.
    pub(super) const fn spec(&self) -> &ServerSpec {
        &self.spec
    }

    /// Returns the instruments of the models of this process; `None` where a server answers.
    pub(super) fn instruments(&self) -> Option<Instruments> {
        self.server.as_ref().map(|s| s.instruments().clone())
    }

    /// Ends the server of this process.
    pub(super) async fn end(self) {
        if let Some(server) = self.server {
            server.drain().await;
        }
    }
}

/// Connects to a server, waiting for one that is away.
async fn reached(server: &ServerArgs, until: Instant) -> anyhow::Result<Client> {
    loop {
        let error = match connect_command(server).await {
            Ok(connection) => return Ok(Client::of_command(connection)),
            Err(error) => error,
        };
        match error.downcast_ref::<ConnectError>() {
            Some(ConnectError::Silent { .. }) if Instant::now() < until => sleep(AGAIN).await,
            Some(ConnectError::Silent { .. }) => {
                return Err(BatchError::try_again(error.to_string()).into());
            }
            Some(ConnectError::Refused(_)) => {
                return Err(BatchError::cannot(error.to_string()).into());
            }
            None => return Err(error),
        }
    }
}

/// Starts the models and pipelines of files in this process, and returns digests of them.
async fn start(
    files: Files,
    tasks: &Tasks,
) -> anyhow::Result<(Server, ServerSpec, BTreeMap<String, String>)> {
    if files
        .file
        .as_deref()
        .is_some_and(|path| path.as_os_str() == "-")
    {
        let message = "a configuration on standard input cannot be read again: name a file";
        return Err(BatchError::cannot(message).into());
    }
    let read = Configuration::read(&files, tasks)?;
    let spec = read.config.server.clone();
    let server = Server::start(Ok(read)).await?;
    server.ready().await?;
    let mut configuration = Configuration::read(&files, tasks)?;
    let hub = configuration.hub();
    let (signatures, resolved) = signatures::discover_from_file(&mut configuration, &hub).await?;
    let models = Lock::of(&signatures, &resolved)?.json()?.to_string();
    let mut digests = BTreeMap::from([
        ("models".to_owned(), sha256(models)),
        ("configuration".to_owned(), sha256(files.text()?)),
    ]);
    if let Some(models) = files.models {
        let file = Files {
            file: Some(models),
            models: None,
        };
        digests.insert("file of --models".to_owned(), sha256(file.text()?));
    }
    Ok((server, spec, digests))
}

/// Asks for what is known of a pipeline.
async fn described(
    client: Client,
    name: &str,
    mut digests: BTreeMap<String, String>,
    (server, spec): (Option<Server>, ServerSpec),
    until: Instant,
) -> anyhow::Result<Target> {
    let mut pipelines =
        PipelinesClient::new(client.transport()).max_decoding_message_size(DESCRIPTION_BYTES_MAX);
    let request = DescribeRequest {
        name: name.to_owned(),
    };
    let description = loop {
        let error = match pipelines.describe(request.clone()).await {
            Ok(answer) => break answer.into_inner(),
            Err(error) => error,
        };
        match error.code() {
            Code::Unavailable if Instant::now() < until => sleep(AGAIN).await,
            Code::Unavailable | Code::ResourceExhausted | Code::DeadlineExceeded => {
                return Err(BatchError::try_again(refusal(&error).to_string()).into());
            }
            _ => return Err(BatchError::cannot(refusal(&error).to_string()).into()),
        }
    };
    let failed = |error: tonic::Status| BatchError::try_again(refusal(&error).to_string());
    let request = ExplainRequest {
        name: name.to_owned(),
    };
    let graph = pipelines
        .explain(request)
        .await
        .map_err(failed)?
        .into_inner();
    let mut models = GrpcInferenceServiceClient::new(client.transport());
    let about = models.server_metadata(ServerMetadataRequest {}).await;
    let about = about.map_err(failed)?.into_inner();
    digests.insert(
        "program".to_owned(),
        format!("{} {}", about.name, about.version),
    );
    let interface = [description.inputs.clone(), description.outputs.clone()];
    let interface: Vec<Vec<u8>> = interface
        .iter()
        .flatten()
        .map(Message::encode_to_vec)
        .collect();
    digests.insert("interface".to_owned(), sha256(interface.concat()));
    let nodes: Vec<Vec<u8>> = graph.nodes.iter().map(Message::encode_to_vec).collect();
    digests.insert("graph".to_owned(), sha256(nodes.concat()));
    let inputs = ports(&description.inputs)?;
    let outputs = ports(&description.outputs)?;
    let pipeline = client.pipeline(name).await.map_err(|error| match error {
        ClientError::Status(status) => failed(*status),
        error => BatchError::cannot(error.to_string()),
    })?;
    Ok(Target {
        pipeline,
        parts: PipelineParts {
            name: name.to_owned(),
            digests,
        },
        ports: inputs,
        outputs,
        server,
        spec,
    })
}

/// Returns the ports of a description.
///
/// # Errors
/// A type that this program does not know.
fn ports(described: &[motet_proto::v1::Port]) -> Result<Vec<Port>, BatchError> {
    let port = |port: &motet_proto::v1::Port| {
        let kind = port.r#type.parse();
        let kind = kind.map_err(|error: motet_rows::PortTypeError| {
            BatchError::cannot(format!("port `{}`: {error}", port.name))
        });
        Ok(Port {
            name: port.name.clone(),
            kind: kind?,
            required: port.default.is_empty() && !port.optional,
        })
    };
    described.iter().map(port).collect()
}
