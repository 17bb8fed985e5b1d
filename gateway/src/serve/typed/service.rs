//! Routes calls of pipelines by path, as the pipelines stand at that moment.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use futures::stream::BoxStream;
use motet_runtime::answers::answers;
use motet_runtime::deadline::Deadline;
use motet_runtime::status;
use prost_reflect::{DynamicMessage, Value};
use tonic::body::Body;
use tonic::metadata::MetadataMap;
use tonic::server::{Grpc, StreamingService, UnaryService};
use tonic::{Request, Response, Status, Streaming};
use tower::Service;

use super::convert;
use super::names::{ERROR, PACKAGE, RECEIPT, REQUEST_ID, RUN, RUN_STREAM};
use crate::exec::{self, Outcome, Terms, Wanted};
use crate::protobuf::DynamicCodec;
use crate::serve::output_selection::wanted;
use crate::serve::receipt;
use crate::serve::registry::{Registry, Served};

/// Requests that ask for a receipt carry this metadata, with any value but `0`.
const RECEIPT_METADATA: &str = "motet-receipt";
/// Answers with substituted parts name the nodes in this metadata.
const DEGRADED_METADATA: &str = "motet-degraded";
/// Requests that want only some outputs name them in this metadata, with commas between.
const FIELDS_METADATA: &str = "motet-fields";

/// The typed services of all pipelines, as one HTTP service. Cheap to clone.
#[derive(Debug, Clone)]
pub struct TypedPipelines {
    registry: Arc<Registry>,
    message_bytes_max: usize,
}

impl TypedPipelines {
    /// Serves the pipelines of `registry`, taking and giving messages of at most
    /// `message_bytes_max` bytes.
    pub const fn new(registry: Arc<Registry>, message_bytes_max: usize) -> Self {
        Self {
            registry,
            message_bytes_max,
        }
    }
}

impl Service<http::Request<Body>> for TypedPipelines {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let path = request.uri().path().trim_start_matches('/');
        let (service, method) = path.split_once('/').unwrap_or((path, ""));
        let unary = match method {
            RUN => true,
            RUN_STREAM => false,
            _ => return refuse(status::unknown_method(request.uri().path()).into()),
        };
        let Some(served) = self.registry.by_service(service) else {
            return refuse(self.unknown(service, request.uri().path()));
        };
        let codec = DynamicCodec::new(served.api.request.clone());
        let mut grpc = Grpc::new(codec)
            .max_decoding_message_size(self.message_bytes_max)
            .max_encoding_message_size(self.message_bytes_max);
        Box::pin(async move {
            Ok(if unary {
                grpc.unary(Unary(served), request).await
            } else {
                grpc.streaming(Stream(served), request).await
            })
        })
    }
}

fn refuse(status: Status) -> BoxFuture<'static, Result<http::Response<Body>, Infallible>> {
    Box::pin(std::future::ready(Ok(status.into_http())))
}

impl TypedPipelines {
    fn unknown(&self, service: &str, path: &str) -> Status {
        let Some(name) = service
            .strip_prefix(PACKAGE)
            .and_then(|rest| rest.strip_prefix('.'))
        else {
            return status::unknown_method(path).into();
        };
        self.registry.unknown_pipeline(name)
    }
}

struct Unary(Arc<Served>);

impl UnaryService<DynamicMessage> for Unary {
    type Response = DynamicMessage;
    type Future = BoxFuture<'static, Result<Response<DynamicMessage>, Status>>;

    fn call(&mut self, request: Request<DynamicMessage>) -> Self::Future {
        let served = self.0.clone();
        Box::pin(async move {
            let asked = Deadline::of(request.extensions());
            let wishes = Wishes::of(&served, request.metadata())?;
            let (message, degraded) = run(&served, request.into_inner(), asked, &wishes).await?;
            let mut response = Response::new(message);
            if let Ok(nodes) = degraded.join(",").parse()
                && !degraded.is_empty()
            {
                response.metadata_mut().insert(DEGRADED_METADATA, nodes);
            }
            Ok(response)
        })
    }
}

struct Stream(Arc<Served>);

impl StreamingService<DynamicMessage> for Stream {
    type Response = DynamicMessage;
    type ResponseStream = BoxStream<'static, Result<DynamicMessage, Status>>;
    type Future = BoxFuture<'static, Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: Request<Streaming<DynamicMessage>>) -> Self::Future {
        let served = self.0.clone();
        let asked = Deadline::of(request.extensions());
        let wishes = match Wishes::of(&served, request.metadata()) {
            Ok(wishes) => Arc::new(wishes),
            Err(refused) => return Box::pin(std::future::ready(Err(refused))),
        };
        let answers = answers(request.into_inner(), move |message: DynamicMessage| {
            let (served, wishes) = (served.clone(), wishes.clone());
            async move {
                let id = convert::request_id(&message);
                match run(&served, message, asked, &wishes).await {
                    Ok((answer, _)) => answer,
                    Err(error) => failure(&served, id, &error),
                }
            }
        });
        Box::pin(async move { Ok(Response::new(answers)) })
    }
}

/// What a caller asks for beside the request itself.
struct Wishes {
    receipt: bool,
    /// Which columns of the outputs; all of them where the caller does not say.
    columns: Option<Vec<bool>>,
}

impl Wishes {
    /// Reads the metadata of a call.
    ///
    /// # Errors
    /// INVALID_ARGUMENT for an output that the pipeline does not have.
    fn of(served: &Served, metadata: &MetadataMap) -> Result<Self, Status> {
        let pipeline = &served.plan.pipeline;
        let columns = match metadata.get(FIELDS_METADATA) {
            None => None,
            Some(fields) => {
                let fields = fields.to_str().unwrap_or_default();
                let names = fields.split(',').map(str::trim).filter(|f| !f.is_empty());
                let refused = |mistakes: Vec<_>| exec::refuse(&pipeline.name, &mistakes);
                Some(wanted(pipeline, names).map_err(refused)?)
            }
        };
        Ok(Self {
            receipt: metadata.get(RECEIPT_METADATA).is_some_and(|v| v != "0"),
            columns,
        })
    }
}

/// One request, on whichever method it came: the answer, and the nodes that were degraded.
async fn run(
    served: &Arc<Served>,
    message: DynamicMessage,
    asked: Option<Deadline>,
    wishes: &Wishes,
) -> Result<(DynamicMessage, Vec<String>), Status> {
    let id = convert::request_id(&message);
    let pipeline = &served.plan.pipeline;
    let refused = |mistakes: Vec<_>| exec::refuse(&pipeline.name, &mistakes);
    let call = async {
        let tensors = convert::take_inputs(pipeline, message).map_err(refused)?;
        let inputs = exec::bind_inputs(&served.plan, tensors).map_err(refused)?;
        let terms = Terms {
            deadline: served.deadline(asked)?,
            priority: None,
        };
        let wanted = match &wishes.columns {
            Some(columns) => Wanted::Columns(columns),
            None => Wanted::All,
        };
        exec::run(&served.plan, inputs, wanted, terms).await
    };
    let outcome = served.typed.observe(call).await?;
    let mut answer = convert::put_outputs(pipeline, &served.api.response, &outcome.outputs)
        .map_err(|e| Status::from(status::internal(e.to_string()).pipeline(&pipeline.name)))?;
    if let Some(id) = id {
        answer.set_field_by_number(REQUEST_ID.1, Value::String(id));
    }
    if wishes.receipt {
        put_receipt(&mut answer, served, &outcome);
    }
    Ok((answer, receipt::degraded(&served.plan, &outcome)))
}

fn put_receipt(answer: &mut DynamicMessage, served: &Served, outcome: &Outcome) {
    let receipt = receipt::receipt(&served.plan, outcome);
    if let Some(field) = answer.descriptor_field(RECEIPT.1)
        && let prost_reflect::Kind::Message(descriptor) = field.kind()
    {
        let mut message = DynamicMessage::new(descriptor);
        if message.transcode_from(&receipt).is_ok() {
            answer.set_field(&field, Value::Message(message));
        }
    }
}

/// The answer to a request of a stream that failed.
fn failure(served: &Served, id: Option<String>, error: &Status) -> DynamicMessage {
    let mut answer = DynamicMessage::new(served.api.response.clone());
    if let Some(id) = id {
        answer.set_field_by_number(REQUEST_ID.1, Value::String(id));
    }
    if let Some(field) = answer.descriptor_field(ERROR.1)
        && let prost_reflect::Kind::Message(descriptor) = field.kind()
    {
        let mut message = DynamicMessage::new(descriptor);
        if message.transcode_from(&status::to_message(error)).is_ok() {
            answer.set_field(&field, Value::Message(message));
        }
    }
    answer
}

/// Looking fields up by number in a message's own descriptor.
trait DescriptorField {
    fn descriptor_field(&self, number: u32) -> Option<prost_reflect::FieldDescriptor>;
}

impl DescriptorField for DynamicMessage {
    fn descriptor_field(&self, number: u32) -> Option<prost_reflect::FieldDescriptor> {
        use prost_reflect::ReflectMessage;
        self.descriptor().get_field(number)
    }
}
