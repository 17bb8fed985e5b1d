//! What a method of a gRPC server takes and gives.

use motet_config::{Diagnostic, Span, truncated};
use prost_reflect::{MethodDescriptor, ServiceDescriptor};

use super::callee::{Called, Callee, CalleePort};
use super::checker::Checker;
use super::fields::{input_ports, output_ports};
use super::kind::{GrpcCall, GrpcOutput};
use crate::grpc::NoService;
use crate::syntax::{EndpointRef, GrpcSpec, NodeSpec, part_span};

/// The most messages of an answer that is a stream, where the file does not say.
pub const MESSAGES_DEFAULT: usize = 1024;

impl Checker<'_> {
    /// What a node's method takes and gives; `None` when that cannot be told, which is then
    /// reported.
    pub(super) fn grpc(&mut self, node: &NodeSpec, grpc: &GrpcSpec, span: Span) -> Option<Callee> {
        let service = self.service(grpc, span)?;
        let method = self.method(&service, grpc, span)?;
        let streaming = method.is_server_streaming();
        if let (Some(max_items), false) = (&grpc.max_items, streaming) {
            self.diagnostics.push(
                Diagnostic::error(
                    max_items.span,
                    "`max_items` is for answers that are streams",
                )
                .also(span, "this answers with one message"),
            );
        }
        let (request, response) = (method.input(), method.output());
        let taken = self.taken(node, &request);
        let (given, unknown) = self.given(grpc, &response, streaming);
        let inputs = input_ports(&taken);
        let mut outputs = output_ports(&given, &inputs, streaming);
        outputs.extend(unknown.into_iter().map(|name| CalleePort {
            name,
            ty: None,
            required: true,
            optional: false,
            about: None,
        }));
        Some(Callee {
            name: format!("method `{}/{}`", grpc.service, grpc.method),
            span,
            kind: Called::Grpc(Box::new(GrpcCall {
                endpoint: grpc.endpoint.value.clone(),
                path: format!("/{}/{}", grpc.service, grpc.method),
                messages_max: streaming.then(|| {
                    let written = grpc.max_items.map(|n| n.value);
                    written.unwrap_or(MESSAGES_DEFAULT)
                }),
                request,
                response,
                arguments: taken.into_iter().map(|field| field.path).collect(),
                outputs: given
                    .into_iter()
                    .map(|field| GrpcOutput {
                        path: field.path,
                        optional: field.optional,
                    })
                    .collect(),
                chosen: grpc.out.is_some(),
            })),
            inputs,
            outputs,
            parameters: Vec::new(),
        })
    }

    fn service(&mut self, grpc: &GrpcSpec, span: Span) -> Option<ServiceDescriptor> {
        let endpoint = &grpc.endpoint;
        let error = match self.signatures.service(&endpoint.value, &grpc.service) {
            Ok(service) => return Some(service),
            Err(error) => error,
        };
        let name = endpoint.value.to_string();
        let diagnostic = match error {
            NoService::Mistaken => return None,
            NoService::Endpoint { known } => {
                let diagnostic = Diagnostic::error(
                    endpoint.span,
                    format!("no endpoint is named `{}`", truncated(&name)),
                );
                if known.is_empty() {
                    diagnostic.help("the configuration has no endpoints: add it under `endpoints:`, or write where it is: `grpc://host:port`")
                } else {
                    diagnostic.suggest(&name, known.iter().map(String::as_str))
                }
            }
            NoService::Service { known } => Diagnostic::error(
                part(grpc, span, 0, grpc.service.len()),
                format!("`{name}` has no service `{}`", truncated(&grpc.service)),
            )
            .suggest(&grpc.service, known.iter().map(String::as_str)),
            NoService::Unavailable { reason } => {
                let message = format!(
                    "what `{}/{}` takes and gives cannot be told",
                    grpc.service, grpc.method
                );
                let diagnostic = if self.offline {
                    Diagnostic::warning(span, message)
                } else {
                    Diagnostic::error(span, message)
                };
                let help = match &endpoint.value {
                    EndpointRef::Name(name) => format!(
                        "start the server with gRPC reflection, or give `{name}` a `descriptor` under `endpoints:`"
                    ),
                    EndpointRef::Address(_) => {
                        "name it under `endpoints:`, where it can have a `descriptor`".to_owned()
                    }
                };
                diagnostic.note(reason).help(help)
            }
        };
        self.diagnostics.push(diagnostic);
        None
    }

    fn method(
        &mut self,
        service: &ServiceDescriptor,
        grpc: &GrpcSpec,
        span: Span,
    ) -> Option<MethodDescriptor> {
        let Some(method) = service.methods().find(|m| m.name() == grpc.method) else {
            let known: Vec<String> = service.methods().map(|m| m.name().to_owned()).collect();
            let at = part(grpc, span, grpc.service.len() + 1, grpc.method.len());
            self.diagnostics.push(
                Diagnostic::error(
                    at,
                    format!(
                        "`{}` has no method `{}`",
                        grpc.service,
                        truncated(&grpc.method)
                    ),
                )
                .suggest(&grpc.method, known.iter().map(String::as_str)),
            );
            return None;
        };
        if method.is_client_streaming() {
            let takes = if method.is_server_streaming() {
                "takes and gives streams"
            } else {
                "takes a stream"
            };
            self.diagnostics.push(
                Diagnostic::error(
                    span,
                    format!(
                        "`{}/{}` {takes}, and a node sends one message",
                        grpc.service, grpc.method
                    ),
                )
                .note("a node calls unary methods, and those that answer with a stream"),
            );
            return None;
        }
        Some(method)
    }
}

/// The place of a part of `package.Service/Method`.
fn part(grpc: &GrpcSpec, span: Span, start: usize, length: usize) -> Span {
    let text = format!("{}/{}", grpc.service, grpc.method);
    part_span(span, &text, start, length)
}
