//! The `List` method of grpc.health.v1, which tonic-health's copy of the protocol is too old to
//! have: its messages, the service that adds it to the generated one, and a descriptor for
//! reflection.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::pin::Pin;
use std::sync::OnceLock;
use std::task::{Context, Poll};

use http::{Request, Response};
use prost::Message;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{
    DescriptorProto, FieldDescriptorProto, FileDescriptorSet, MessageOptions, MethodDescriptorProto,
};
use tonic::Status;
use tonic::body::Body;
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic_health::pb::{HealthCheckResponse, health_server};
use tonic_prost::ProstCodec;
use tower::Service;

use super::{HealthService, response};

/// `grpc.health.v1.HealthListRequest`.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct HealthListRequest {}

/// `grpc.health.v1.HealthListResponse`.
#[derive(Clone, PartialEq, Message)]
pub struct HealthListResponse {
    /// The status of each name.
    #[prost(map = "string, message", tag = "1")]
    pub statuses: HashMap<String, HealthCheckResponse>,
}

const LIST: &str = "/grpc.health.v1.Health/List";

/// The gRPC service `grpc.health.v1.Health` with Check, Watch and List.
#[derive(Clone, Debug)]
pub struct HealthServer {
    service: HealthService,
    generated: health_server::HealthServer<HealthService>,
}

impl HealthServer {
    pub(super) fn new(service: HealthService) -> Self {
        Self {
            generated: health_server::HealthServer::new(service.clone()),
            service,
        }
    }
}

impl NamedService for HealthServer {
    const NAME: &'static str = "grpc.health.v1.Health";
}

impl Service<Request<Body>> for HealthServer {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if request.uri().path() != LIST {
            return self.generated.call(request);
        }
        let list = List(self.service.clone());
        let codec = ProstCodec::<HealthListResponse, HealthListRequest>::default();
        Box::pin(async move { Ok(Grpc::new(codec).unary(list, request).await) })
    }
}

struct List(HealthService);

impl UnaryService<HealthListRequest> for List {
    type Response = HealthListResponse;
    type Future = Ready<Result<tonic::Response<HealthListResponse>, Status>>;

    fn call(&mut self, _: tonic::Request<HealthListRequest>) -> Self::Future {
        let board = self.0.board.borrow();
        let statuses = board
            .serving
            .keys()
            .filter_map(|name| Some((name.clone(), response(board.status(name)?))))
            .collect();
        ready(Ok(tonic::Response::new(HealthListResponse { statuses })))
    }
}

/// The encoded descriptor set of [`HealthServer`]: tonic-health's with List added.
pub(super) fn descriptor_set() -> &'static [u8] {
    static SET: OnceLock<Vec<u8>> = OnceLock::new();
    SET.get_or_init(|| {
        let original = tonic_health::pb::FILE_DESCRIPTOR_SET;
        match FileDescriptorSet::decode(original) {
            Ok(mut set) => {
                add_list(&mut set);
                set.encode_to_vec()
            }
            Err(_) => original.to_vec(), // a constant that tonic-health's own tests decode
        }
    })
}

fn add_list(set: &mut FileDescriptorSet) {
    let Some(file) = set
        .file
        .iter_mut()
        .find(|file| file.package() == "grpc.health.v1")
    else {
        return;
    };
    let Some(service) = file
        .service
        .iter_mut()
        .find(|service| service.name() == "Health")
    else {
        return;
    };
    if service.method.iter().any(|method| method.name() == "List") {
        return; // tonic-health has caught up
    }
    service.method.push(MethodDescriptorProto {
        name: Some("List".to_owned()),
        input_type: Some(".grpc.health.v1.HealthListRequest".to_owned()),
        output_type: Some(".grpc.health.v1.HealthListResponse".to_owned()),
        ..Default::default()
    });
    let field = |name: &str, number, label: Label, r#type: Type, type_name: Option<&str>| {
        FieldDescriptorProto {
            name: Some(name.to_owned()),
            json_name: Some(name.to_owned()),
            number: Some(number),
            label: Some(label.into()),
            r#type: Some(r#type.into()),
            type_name: type_name.map(str::to_owned),
            ..Default::default()
        }
    };
    // A map field is, in descriptors, a repeated message of key and value nested beside it.
    let entry = DescriptorProto {
        name: Some("StatusesEntry".to_owned()),
        field: vec![
            field("key", 1, Label::Optional, Type::String, None),
            field(
                "value",
                2,
                Label::Optional,
                Type::Message,
                Some(".grpc.health.v1.HealthCheckResponse"),
            ),
        ],
        options: Some(MessageOptions {
            map_entry: Some(true),
            ..Default::default()
        }),
        ..Default::default()
    };
    file.message_type.push(DescriptorProto {
        name: Some("HealthListRequest".to_owned()),
        ..Default::default()
    });
    file.message_type.push(DescriptorProto {
        name: Some("HealthListResponse".to_owned()),
        field: vec![field(
            "statuses",
            1,
            Label::Repeated,
            Type::Message,
            Some(".grpc.health.v1.HealthListResponse.StatusesEntry"),
        )],
        nested_type: vec![entry],
        ..Default::default()
    });
}
