//! A client of pipelines and models whose inputs are known at run time.
//!
//! * `pipeline`: [`PipelineClient`], one pipeline with its messages.
//! * `error`: [`ClientError`]; `failure`: the same as failures of rows.

mod error;
mod failure;
mod pipeline;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use motet_proto::Tensor;
use motet_proto::inference::ModelInferRequest;
use motet_proto::inference::grpc_inference_service_client::GrpcInferenceServiceClient;
use motet_proto::oip::{put_inputs, take_outputs};
use motet_proto::v1::pipelines_client::PipelinesClient;
use motet_runtime::deadline::Deadline;
use serde_json::Value;
use tonic::body::Body;
use tonic::codegen::StdError;
use tonic::codegen::http::{Request, Response};
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tower::ServiceExt;
use tower::util::BoxCloneSyncService;

use crate::address::ServerAddress;
use crate::api_key::SendApiKey;
use crate::connection::{self, Connection, ServerChannel};
use crate::server::LocalChannel;

pub use error::ClientError;
pub(crate) use failure::failure;
pub use pipeline::{Answer, PipelineClient};
pub(crate) use pipeline::{FIRST_OWN_FIELD, degraded};

/// The most bytes of an answer.
pub(crate) const ANSWER_BYTES_MAX: usize = 1 << 30;

/// A connection to a server, in another process or in this one.
pub(crate) type Transport = BoxCloneSyncService<Request<Body>, Response<Body>, TransportError>;

/// The error of a connection: a type of its own, since with a boxed error as it is the compiler
/// does not see that a call may be a task (`tokio::spawn`).
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct TransportError(#[source] StdError);

impl TransportError {
    fn of(error: impl Into<StdError>) -> Self {
        Self(error.into())
    }
}

/// A client of a server's pipelines and models. What they take and give is known at run time, by
/// reflection. Clones share the connection.
///
/// ```no_run
/// # async fn example() -> Result<(), motet::ClientError> {
/// use serde_json::json;
///
/// let client = motet::Client::connect("localhost:50051").await?;
/// let question = json!({ "query": "how do vaccines work", "documents": ["Bread is flour."] });
/// let answer = client.call("rag", question).await?;
/// println!("{}", answer.outputs["results"][0]["text"]);
/// # Ok(())
/// # }
/// ```
///
/// # Generated clients
///
/// Where the pipeline is known when the program is built, its service can be compiled in:
/// `motet proto rag --out proto` writes `proto/motet/pipeline/rag.proto` and what it imports, of
/// which `tonic-prost-build` makes a `RagClient`. It takes a `tonic::transport::Channel`, or the
/// [`LocalChannel`] of a [`Server`](crate::Server) in the same process.
#[derive(Clone)]
pub struct Client {
    transport: Transport,
    timeout: Option<Duration>,
}

impl Client {
    /// Connects to a server at `host:port`, `host` or `:port`, or at `grpcs://host:port` with TLS
    /// and the system's authorities; the port is 50051 where there is none. A connection that
    /// breaks later is made again.
    ///
    /// With other authorities, certificates or options, see `Client::from(channel)`.
    ///
    /// # Errors
    /// When the text is no address, or nothing answers there.
    pub async fn connect(address: &str) -> Result<Self, ClientError> {
        let address: ServerAddress = address.parse().map_err(ClientError::address)?;
        let destination = address.endpoint().clone().into();
        Ok(Self::over(connection::connect(&destination).await?))
    }

    /// Returns a client over a connection.
    fn over(connection: ServerChannel) -> Self {
        Self {
            transport: BoxCloneSyncService::new(connection.map_err(TransportError::of)),
            timeout: None,
        }
    }

    /// Returns a client over the connection of a command.
    pub(crate) fn of_command(connection: Connection) -> Self {
        let transport = connection
            .map_response(|response| response.map(Body::new))
            .map_err(TransportError::of);
        Self {
            transport: BoxCloneSyncService::new(transport),
            timeout: None,
        }
    }

    /// Returns the connection, for clients that were generated.
    pub(crate) fn transport(&self) -> Transport {
        self.transport.clone()
    }

    /// Sends this API key with each call.
    ///
    /// # Errors
    /// When it has characters that no key has.
    pub fn with_api_key(self, key: &str) -> Result<Self, ClientError> {
        let send = SendApiKey::new(key).map_err(|error| ClientError::ApiKey(error.to_string()))?;
        let transport = InterceptedService::new(self.transport, send);
        let transport = transport.map_response(|response| response.map(Body::new));
        Ok(Self {
            transport: BoxCloneSyncService::new(transport),
            ..self
        })
    }

    /// Gives each call this long to answer.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Calls a pipeline once. Who calls it often asks for its messages only once, by
    /// [`pipeline`](Self::pipeline).
    ///
    /// # Errors
    /// As those of [`pipeline`](Self::pipeline) and [`PipelineClient::call`].
    pub async fn call(&self, pipeline: &str, inputs: Value) -> Result<Answer, ClientError> {
        self.pipeline(pipeline).await?.call(inputs).await
    }

    /// Asks the server for the messages of a pipeline.
    ///
    /// # Errors
    /// When there is no such pipeline, or the server does not answer.
    pub async fn pipeline(&self, name: &str) -> Result<PipelineClient, ClientError> {
        PipelineClient::describe(self.clone(), name).await
    }

    /// Calls a model, or a pipeline, with tensors, over the Open Inference Protocol. Returns its
    /// outputs by name.
    ///
    /// ```
    /// use motet::Tensor;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let yaml = r#"{ pipeline: best, inputs: { score: "float[N]" },
    /// #   nodes: { top: { op: topk, in: { score: $score }, with: { k: 1 } } },
    /// #   outputs: { index: $top.index } }"#;
    /// # let server = motet::Server::from_yaml(yaml).await?;
    /// # server.ready().await?;
    /// # let client = server.client();
    /// let score = Tensor::from_values(vec![3], vec![0.1f32, 0.9, 0.4])?;
    /// let outputs = client.infer("best", [("score", &score)]).await?;
    /// assert_eq!(outputs["index"], Tensor::from_values(vec![1], vec![1i32])?);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ClientError::Status`] with the server's error, or an answer that cannot be read.
    pub async fn infer<'t>(
        &self,
        name: &str,
        inputs: impl IntoIterator<Item = (&'t str, &'t Tensor)>,
    ) -> Result<BTreeMap<String, Tensor>, ClientError> {
        let mut message = ModelInferRequest {
            model_name: name.to_owned(),
            ..ModelInferRequest::default()
        };
        put_inputs(&mut message, inputs);
        let (request, deadline) = self.request(message);
        let mut client = GrpcInferenceServiceClient::new(self.transport.clone())
            .max_decoding_message_size(ANSWER_BYTES_MAX);
        let answer = within(deadline, client.model_infer(request)).await?;
        let outputs = take_outputs(&mut answer.into_inner());
        let outputs = outputs.map_err(|error| ClientError::Answer(error.to_string()))?;
        Ok(outputs.into_iter().collect())
    }

    /// Returns a client of the service that describes pipelines.
    pub(crate) fn pipelines(&self) -> PipelinesClient<Transport> {
        PipelinesClient::new(self.transport.clone())
    }

    /// Returns a request that has this client's time.
    fn request<M>(&self, message: M) -> (tonic::Request<M>, Option<Deadline>) {
        let mut request = tonic::Request::new(message);
        let deadline = self.timeout.map(Deadline::within);
        if let Some(deadline) = deadline {
            deadline.write(request.metadata_mut());
        }
        (request, deadline)
    }
}

/// Runs a call until it answers or its time is over.
async fn within<T>(
    deadline: Option<Deadline>,
    call: impl Future<Output = Result<T, tonic::Status>>,
) -> Result<T, tonic::Status> {
    match deadline {
        Some(deadline) => deadline.run(call).await,
        None => call.await,
    }
}

impl From<Channel> for Client {
    fn from(channel: Channel) -> Self {
        Self {
            transport: BoxCloneSyncService::new(channel.map_err(TransportError::of)),
            timeout: None,
        }
    }
}

impl From<LocalChannel> for Client {
    fn from(channel: LocalChannel) -> Self {
        Self {
            transport: BoxCloneSyncService::new(channel.map_err(TransportError::of)),
            timeout: None,
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}
