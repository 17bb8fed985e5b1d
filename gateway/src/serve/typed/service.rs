//! Routing of requests to the typed services of the pipelines that are loaded, by path.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use motet_runtime::auth::{Access, Named};
use motet_runtime::deadline::Deadline;
use motet_runtime::request_stream::answer_each;
use motet_runtime::status::{self, unknown_method};
use tonic::body::Body;
use tonic::metadata::MetadataMap;
use tonic::server::{Grpc, StreamingService, UnaryService};
use tonic::{Request, Response, Status, Streaming};
use tower::Service;

use super::messages;
use super::names::{PACKAGE, RUN, RUN_STREAM};
use crate::compute::{compute, converting};
use crate::exec;
use crate::protobuf::BytesCodec;
use crate::serve::account::Account;
use crate::serve::output_selection::select;
use crate::serve::pipeline::{Answer, Call, ServedPipeline};
use crate::serve::registry::Registry;

/// Request metadata that asks for a receipt, with any value but `0`.
const RECEIPT_METADATA: &str = "motet-receipt";
/// Response metadata with the names of the degraded nodes.
const DEGRADED_METADATA: &str = "motet-degraded";
/// Request metadata with the names of the outputs to compute, separated by commas.
const FIELDS_METADATA: &str = "motet-fields";
/// Request metadata with the priority that is passed on to models: 0 and 1 are interactive, 2 to
/// 255 bulk.
const PRIORITY_METADATA: &str = "motet-priority";

/// HTTP service of the typed services of all pipelines. Cheap to clone.
#[derive(Debug, Clone)]
pub(in crate::serve) struct TypedPipelines {
    registry: Arc<Registry>,
    message_bytes_max: usize,
}

impl TypedPipelines {
    /// Serves the pipelines of `registry`. A message, in or out, has at most `message_bytes_max`
    /// bytes.
    pub(in crate::serve) const fn new(registry: Arc<Registry>, message_bytes_max: usize) -> Self {
        Self {
            registry,
            message_bytes_max,
        }
    }

    /// Returns the pipeline of a gRPC service. `path` is `/package.Service/Method`.
    ///
    /// # Errors
    /// NOT_FOUND in the package of pipelines, PERMISSION_DENIED there for a name that the caller
    /// may not call, UNIMPLEMENTED for any other service.
    fn find(
        &self,
        service: &str,
        path: &str,
        access: &Access,
    ) -> Result<Arc<ServedPipeline>, Status> {
        if let Some(served) = self.registry.by_service(service) {
            return Ok(served);
        }
        let pipeline = service.strip_prefix(PACKAGE);
        Err(match pipeline.and_then(|rest| rest.strip_prefix('.')) {
            Some(name) => {
                access.call(name, Named::Unknown)?;
                self.registry.unknown_pipeline(name, access)
            }
            None => unknown_method(path).into(),
        })
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
        let path = request.uri().path();
        let (service, method) = path
            .trim_start_matches('/')
            .split_once('/')
            .unwrap_or_default();
        let unary = match method {
            RUN => true,
            RUN_STREAM => false,
            _ => return error_response(unknown_method(path).into()),
        };
        let access = Access::of(request.extensions());
        let served = match self.find(service, path, &access) {
            Ok(served) => served,
            Err(error) => return error_response(error),
        };
        let mut grpc = Grpc::new(BytesCodec)
            .max_decoding_message_size(self.message_bytes_max)
            .max_encoding_message_size(self.message_bytes_max);
        if unary {
            return Box::pin(async move { Ok(grpc.unary(Unary(served), request).await) });
        }
        let stream = Stream {
            pipelines: self.clone(),
            service: service.into(),
            opened: served,
        };
        Box::pin(async move { Ok(grpc.streaming(stream, request).await) })
    }
}

/// Returns the HTTP response of a call that fails with `status`.
fn error_response(status: Status) -> BoxFuture<'static, Result<http::Response<Body>, Infallible>> {
    Box::pin(std::future::ready(Ok(status.into_http())))
}

/// Handler of a single request.
struct Unary(Arc<ServedPipeline>);

impl UnaryService<Bytes> for Unary {
    type Response = Bytes;
    type Future = BoxFuture<'static, Result<Response<Bytes>, Status>>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let served = self.0.clone();
        Box::pin(async move {
            let deadline = Deadline::of(request.extensions());
            let options = RequestOptions::of(request.metadata());
            let account = Account::of(request.extensions());
            let message = request.into_inner();
            let (message, degraded) = run(&served, message, deadline, &options, &account)
                .await
                .map_err(|failure| failure.error)?;
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

/// Handler of a stream of requests. Each request runs on the pipeline loaded when it arrives.
struct Stream {
    pipelines: TypedPipelines,
    service: Arc<str>,
    /// Pipeline at the start of the stream; its response carries the error of a request that
    /// arrives after the pipeline was unloaded.
    opened: Arc<ServedPipeline>,
}

impl StreamingService<Bytes> for Stream {
    type Response = Bytes;
    type ResponseStream = BoxStream<'static, Result<Bytes, Status>>;
    type Future = BoxFuture<'static, Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: Request<Streaming<Bytes>>) -> Self::Future {
        let deadline = Deadline::of(request.extensions());
        let options = Arc::new(RequestOptions::of(request.metadata()));
        let (pipelines, service) = (self.pipelines.clone(), self.service.clone());
        let opened = self.opened.clone();
        // Metadata belongs to the stream, so an unknown output fails the stream.
        if let Err(refused) = options.columns(&opened) {
            return Box::pin(async move { opened.typed.observe(async { Err(refused) }).await });
        }
        let access = Access::of(request.extensions());
        let answers = answer_each(request, move |message: Bytes, admitted| {
            let access = access.clone();
            let (pipelines, service) = (pipelines.clone(), service.clone());
            let (opened, options) = (opened.clone(), options.clone());
            async move {
                let Some(served) = pipelines.registry.by_service(&service) else {
                    let name = &opened.pipeline().name;
                    let error = pipelines.registry.unknown_pipeline(name, &access);
                    let id = messages::request_id_of(message);
                    return messages::failure(id, &error);
                };
                let account = match admitted {
                    Ok(request) => Account::from(request),
                    Err(error) => {
                        let id = messages::request_id_of(message);
                        return messages::failure(id, &error);
                    }
                };
                match run(&served, message, deadline, &options, &account).await {
                    Ok((answer, _)) => answer,
                    Err(Failure { id, error }) => messages::failure(id, &error),
                }
            }
        });
        Box::pin(async move { Ok(Response::new(answers)) })
    }
}

/// Options of a request that its metadata sets.
struct RequestOptions {
    receipt: bool,
    /// Names of the outputs to compute; `None` for all.
    fields: Option<Vec<String>>,
    /// Priority, or the text that is none.
    priority: Option<Result<u8, String>>,
}

impl RequestOptions {
    /// Reads the metadata of a call.
    fn of(metadata: &MetadataMap) -> Self {
        let fields = metadata.get(FIELDS_METADATA).map(|fields| {
            let fields = fields.to_str().unwrap_or_default().split(',');
            let names = fields.map(str::trim).filter(|name| !name.is_empty());
            names.map(str::to_owned).collect()
        });
        let priority = metadata.get(PRIORITY_METADATA).map(|priority| {
            let text = priority.to_str().unwrap_or_default();
            text.trim().parse().map_err(|_| text.to_owned())
        });
        Self {
            receipt: metadata.get(RECEIPT_METADATA).is_some_and(|v| v != "0"),
            fields,
            priority,
        }
    }

    /// Returns the priority, if there is one.
    ///
    /// # Errors
    /// INVALID_ARGUMENT for one that is no number from 0 to 255.
    fn priority(&self) -> Result<Option<i64>, Status> {
        match &self.priority {
            None => Ok(None),
            Some(Ok(priority)) => Ok(Some((*priority).into())),
            Some(Err(text)) => {
                let what = format!("is `{text}`, but must be a number from 0 to 255");
                Err(status::invalid_argument(PRIORITY_METADATA, what).into())
            }
        }
    }

    /// Returns for each output column whether to compute it; `None` for all.
    ///
    /// # Errors
    /// INVALID_ARGUMENT for an output that the pipeline does not have.
    fn columns(&self, served: &ServedPipeline) -> Result<Option<Vec<bool>>, Status> {
        let Some(names) = &self.fields else {
            return Ok(None);
        };
        let pipeline = served.pipeline();
        match select(pipeline, names.iter().map(String::as_str)) {
            Ok(columns) => Ok(Some(columns)),
            Err(violations) => Err(exec::violation_status(&pipeline.name, &violations)),
        }
    }
}

/// Error of a request, with the id of the request.
struct Failure {
    id: Option<String>,
    error: Status,
}

/// Runs one request of either method. Returns the response and the names of the degraded nodes.
async fn run(
    served: &Arc<ServedPipeline>,
    message: Bytes,
    deadline: Option<Deadline>,
    options: &RequestOptions,
    account: &Account,
) -> Result<(Bytes, Vec<String>), Failure> {
    let mut id = None;
    let answered = served.typed.observe(async {
        let name = &served.pipeline().name;
        account.access.call(name, Named::Pipeline)?;
        let columns = options.columns(served)?;
        let request = read(served, message).await?;
        id.clone_from(&request.id);
        let inputs = request.inputs?;
        account.hold(&inputs)?;
        let call = Call {
            inputs,
            columns,
            deadline,
            priority: options.priority()?,
        };
        let answer = served.call(call).await?;
        let degraded = answer.degraded();
        let message = write(served, answer, request.id, options.receipt, account).await?;
        Ok((message, degraded))
    });
    let answered = answered.await;
    answered.map_err(|error| Failure { id, error })
}

/// Decodes a request, a large one on a blocking thread.
async fn read(served: &Arc<ServedPipeline>, message: Bytes) -> Result<messages::Request, Status> {
    let work = converting(message.len());
    let pipeline = served.clone();
    compute(work, move |cancel| {
        messages::read(&pipeline, message, cancel)
    })
    .await?
}

/// Encodes a response, a large one on a blocking thread.
async fn write(
    served: &Arc<ServedPipeline>,
    answer: Answer,
    id: Option<String>,
    receipt: bool,
    account: &Account,
) -> Result<Bytes, Status> {
    let tensors = answer.outputs().iter().flatten().flatten();
    let bytes = tensors.map(|tensor| tensor.data().len()).sum();
    let receipt = receipt.then(|| answer.receipt());
    let (pipeline, usage) = (served.clone(), account.usage.clone());
    let write = move |_: &_| messages::write(&pipeline, &answer, id, receipt, usage.as_ref());
    compute(converting(bytes), write).await?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_priority_is_a_number_of_one_byte() {
        for (text, expected) in [
            (None, Ok(None)),
            (Some("0"), Ok(Some(0))),
            (Some(" 255"), Ok(Some(255))),
            (Some("256"), Err(tonic::Code::InvalidArgument)),
            (Some("-1"), Err(tonic::Code::InvalidArgument)),
            (Some("bulk"), Err(tonic::Code::InvalidArgument)),
        ] {
            let mut metadata = MetadataMap::new();
            if let Some(text) = text {
                metadata.insert(PRIORITY_METADATA, text.parse().expect("a value"));
            }
            let priority = RequestOptions::of(&metadata).priority();
            assert_eq!(priority.map_err(|error| error.code()), expected, "{text:?}");
        }
    }
}
