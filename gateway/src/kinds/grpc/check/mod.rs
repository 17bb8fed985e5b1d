//! `grpc`: the types of the method, and the node that calls it.

mod fields;

use motet_config::{Diagnostic, Span, truncated};
use prost_reflect::{MessageDescriptor, MethodDescriptor, ServiceDescriptor};

use super::syntax::Spec;
use crate::check::build::Builder;
use crate::check::callee::{Callee, CalleePort};
use crate::check::checker::{Checker, NodeDraft};
use crate::check::origins::{Origin, OriginScope};
use crate::check::policy::UnsupportedPolicies;
use crate::check::{BuildKind, CheckKind, CheckedKind, KindDraft};
use crate::grpc::ServiceLookupError;
use crate::protobuf::FieldPath;
use crate::syntax::{EndpointRef, NodeSpec, part_span};
use fields::{input_ports, output_ports};

/// Default of `max_items`: the most messages of an answer that is a stream.
pub const MESSAGES_DEFAULT: usize = 1024;

/// A call of a method of a gRPC server.
#[derive(Debug, Clone, PartialEq)]
pub struct Checked {
    /// Where the server is.
    pub endpoint: EndpointRef,
    /// `/package.Service/Method`.
    pub path: String,
    /// The type of its requests.
    pub request: MessageDescriptor,
    /// The type of its answers, of which there is one or a stream.
    pub response: MessageDescriptor,
    /// For an answer that is a stream: its most messages.
    pub messages_max: Option<usize>,
    /// For each of the node's arguments, the field of the request that it is for.
    pub arguments: Vec<FieldPath>,
    /// For each of the node's outputs, the field of the answer that it is.
    pub outputs: Vec<GrpcOutput>,
    /// `true` if the file lists the fields of the answer that are outputs.
    pub chosen: bool,
}

/// A call of a method: nothing in it needs an index.
pub(crate) type Draft = Checked;

/// An output that is a field of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrpcOutput {
    /// The field.
    pub path: FieldPath,
    /// `true` if the output is absent when the field is not set. Else it has the field's default.
    pub optional: bool,
}

impl CheckKind for Spec {
    fn check<'a>(
        &'a self,
        checker: &mut Checker<'a>,
        node: &'a NodeSpec,
        span: Span,
    ) -> Option<NodeDraft> {
        let flows = checker.argument_flows(node);
        // The fields that the node names are looked up with the method.
        let (callee, draft) = checker.grpc(node, self, span)?;
        let settings = checker.settings(node, &callee);
        Some(checker.call(node, &callee, flows, settings, |_| KindDraft::Grpc(draft)))
    }
}

impl BuildKind for Draft {
    type Checked = Checked;

    fn build(self, _: &mut Builder, _: &[bool]) -> Option<Checked> {
        Some(self)
    }

    fn why_without(&self, name: &str) -> Option<String> {
        self.response.get_field_by_name(name)?;
        Some(match FieldPath::find(&self.response, name) {
            Err(error) => format!("{error}: name what it should be under `out`"),
            Ok(path) if self.chosen => format!("{}: add it to `out`", path.describe()),
            Ok(_) => return None,
        })
    }
}

impl CheckedKind for Checked {
    fn label(&self) -> String {
        format!("grpc {} at {}", &self.path[1..], self.endpoint)
    }

    fn shape(&self) -> &'static str {
        "component"
    }

    fn output_origins(&mut self, outer: &OriginScope<'_>) -> Vec<Origin> {
        outer.computed()
    }
}

impl Checker<'_> {
    /// Returns the callee and the draft of a node that calls a method; `None` when its types are
    /// not known, which is reported.
    fn grpc(&mut self, node: &NodeSpec, grpc: &Spec, span: Span) -> Option<(Callee, Draft)> {
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
        let taken = self.request_fields(node, &request);
        let (given, unknown) = self.response_fields(grpc, &response, streaming);
        let inputs = input_ports(&taken);
        let mut outputs = output_ports(&given, &inputs, streaming);
        outputs.extend(unknown.into_iter().map(|name| CalleePort {
            name,
            ty: None,
            required: true,
            optional: false,
            about: None,
        }));
        let draft = Draft {
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
        };
        let callee = Callee {
            name: format!("method `{}/{}`", grpc.service, grpc.method),
            span,
            inputs,
            outputs,
            parameters: Vec::new(),
            is_remote: true,
            takes_single_rows: false,
            fills_parameters: false,
            unsupported_policies: UnsupportedPolicies {
                keys: &["cache", "priority"],
                note: "only models have rows and batchers",
            },
        };
        Some((callee, draft))
    }

    fn service(&mut self, grpc: &Spec, span: Span) -> Option<ServiceDescriptor> {
        let endpoint = &grpc.endpoint;
        let error = match self.signatures.service(&endpoint.value, &grpc.service) {
            Ok(service) => return Some(service),
            Err(error) => error,
        };
        let name = endpoint.value.to_string();
        let diagnostic = match error {
            ServiceLookupError::Mistaken => return None,
            ServiceLookupError::Endpoint { known } => {
                let diagnostic = Diagnostic::error(
                    endpoint.span,
                    format!("no endpoint is named `{}`", truncated(&name)),
                );
                if known.is_empty() {
                    diagnostic.help(
                        "the configuration has no endpoints: add it under \
                         `endpoints:`, or write where it is: `grpc://host:port`",
                    )
                } else {
                    diagnostic.suggest(&name, known.iter().map(String::as_str))
                }
            }
            ServiceLookupError::Service { known } => Diagnostic::error(
                part(grpc, span, 0, grpc.service.len()),
                format!("`{name}` has no service `{}`", truncated(&grpc.service)),
            )
            .suggest(&grpc.service, known.iter().map(String::as_str)),
            ServiceLookupError::Unavailable { reason } => {
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
                        "start the server with gRPC reflection, or give `{name}` a `descriptor` \
                         under `endpoints:`"
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
        grpc: &Spec,
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
fn part(grpc: &Spec, span: Span, start: usize, length: usize) -> Span {
    let text = format!("{}/{}", grpc.service, grpc.method);
    part_span(span, &text, start, length)
}
