//! Signatures of the models and services of the tests.

use std::sync::{Arc, OnceLock};

use motet_config::{Colour, Diagnostics, Sources};
use motet_gateway::check::{self, CheckedPipeline, SignatureError, SignatureSource};
use motet_gateway::grpc::ServiceLookupError;
use motet_gateway::syntax::{self, EndpointRef};
use motet_proto::signature::{OutputAxis, Parameter, Port, Signature};
use prost_reflect::{DescriptorPool, ServiceDescriptor};

/// Models of the tests: name, inputs, outputs.
const MODELS: [(&str, &str, &str); 8] = [
    (
        "chunker",
        "text: string[N]",
        "text: string[M], source: i32[M], start: i32[M], end: i32[M], tokens: i32[M]",
    ),
    ("minilm", "text: string[N]", "embedding: float[N,384]"),
    ("wide", "text: string[N]", "embedding: float[N,768]"),
    (
        "reranker",
        "query: string, text: string[N]",
        "score: float[N]",
    ),
    ("pair", "a: string[N], b: string[N]", "score: float[N]"),
    ("vectors", "vector: float[N,384]", "label: string[N]"),
    (
        "foreign",
        "INPUT__0: bytes[N]",
        "OUTPUT__0: bytes[N], dense/out: float[N,D_out_1]",
    ),
    ("half", "text: string[N]", "embedding: f16[N,384]"),
];

/// Signatures of the tests. The model `away` is configured but does not answer.
pub(crate) struct Models;

fn ports(text: &str) -> Vec<Port> {
    // Commas separate ports, and also dimensions; a port begins with its name.
    let mut ports: Vec<String> = Vec::new();
    for part in text.split(',') {
        match ports.last_mut() {
            Some(last) if !part.contains(": ") => {
                last.push(',');
                last.push_str(part);
            }
            _ => ports.push(part.trim().to_owned()),
        }
    }
    ports
        .iter()
        .map(|port| {
            let (name, ty) = port.split_once(": ").unwrap();
            Port::new(name, ty.parse().unwrap())
        })
        .collect()
}

/// Returns the services of `ocr`, from the .proto file beside the tests.
fn services() -> &'static DescriptorPool {
    static SERVICES: OnceLock<DescriptorPool> = OnceLock::new();
    SERVICES.get_or_init(|| {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/protos");
        let files = protox::compile(["ocr.proto"], [folder]).unwrap();
        DescriptorPool::from_file_descriptor_set(files).unwrap()
    })
}

impl SignatureSource for Models {
    /// `ocr` answers, `silent` does not, and `grpc://ocr:1` is `ocr` again.
    fn service(
        &self,
        endpoint: &EndpointRef,
        service: &str,
    ) -> Result<ServiceDescriptor, ServiceLookupError> {
        match endpoint.to_string().as_str() {
            "ocr" | "grpc://ocr:1" => {
                let found = services().get_service_by_name(service);
                found.ok_or_else(|| ServiceLookupError::Service {
                    known: vec!["ocr.v1.Ocr".to_owned()],
                })
            }
            "silent" => Err(ServiceLookupError::Unavailable {
                reason: "endpoint silent at grpc://silent:1 cannot be reached".to_owned(),
            }),
            _ => Err(ServiceLookupError::Endpoint {
                known: vec!["ocr".to_owned(), "silent".to_owned()],
            }),
        }
    }

    fn model(&self, name: &str) -> Result<Arc<Signature>, SignatureError> {
        if name == "away" {
            return Err(SignatureError::Unavailable {
                reason: "grpc://away:50051 does not answer".to_owned(),
            });
        }
        let Some((_, inputs, outputs)) = MODELS.iter().find(|(n, ..)| *n == name) else {
            return Err(SignatureError::Unknown {
                known: MODELS.iter().map(|(n, ..)| (*n).to_owned()).collect(),
            });
        };
        let parameters = match name {
            "chunker" => vec![
                Parameter::int("max_tokens", 128, 8, 512),
                Parameter::int("overlap", 16, 0, 256),
            ],
            "wide" => vec![Parameter {
                sets_length: vec![OutputAxis {
                    output: "embedding".to_owned(),
                    axis: 1,
                }],
                ..Parameter::int("dimensions", 768, 1, 768)
            }],
            _ => Vec::new(),
        };
        Ok(Arc::new(Signature {
            inputs: ports(inputs),
            outputs: ports(outputs),
            parameters,
        }))
    }
}

/// Reads and checks a file. Returns the valid pipelines and the report.
pub(crate) fn check(text: &str, offline: bool) -> (Vec<CheckedPipeline>, String) {
    let mut sources = Sources::new();
    let mut diagnostics = Diagnostics::new();
    let config =
        syntax::ConfigFile::from_text("pipeline.yaml", text, &mut sources, &mut diagnostics);
    let mut specs = Vec::new();
    let mut checked: Vec<CheckedPipeline> = Vec::new();
    if let Some(config) = &config {
        for node in &config.pipelines {
            specs.extend(syntax::parse(node, &mut diagnostics));
        }
        checked = check::check_all(&specs, &Models, offline, &mut diagnostics);
        check::check_names(&specs, config.model_names(), &mut diagnostics);
    }
    if diagnostics.has_errors() {
        checked.clear();
    }
    (checked, diagnostics.render(&sources, Colour::Never))
}
