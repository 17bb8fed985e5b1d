//! The service `motet.v1.Pipelines`: lists, describes, explains, loads and unloads pipelines.

use std::fmt::Write;

use motet_proto::v1::pipelines_server::{Pipelines, PipelinesServer};
use motet_proto::v1::{
    DescribeRequest, DescribeResponse, ExplainRequest, ExplainResponse, ExplainedNode, ListRequest,
    ListResponse, LoadRequest, LoadResponse, PipelineSummary, Port, UnloadRequest, UnloadResponse,
};
use motet_runtime::auth::{Access, Named};
use motet_runtime::status::{self, Reason, StatusBuilder};
use tonic::{Request, Response, Status};

use super::gateway::{Gateway, GatewayError};
use super::pipeline::ServedPipeline;
use super::typed::proto_file;
use crate::check::{CheckedPipeline, ValueType};

/// The service `motet.v1.Pipelines`. Cheap to clone.
#[derive(Clone)]
pub(super) struct PipelinesService(Gateway);

pub(super) fn server(gateway: Gateway) -> PipelinesServer<PipelinesService> {
    PipelinesServer::new(PipelinesService(gateway))
}

impl PipelinesService {
    /// Loads or unloads a pipeline on a blocking thread, since checking a long file takes long.
    async fn change<T: Send + 'static>(
        &self,
        change: impl FnOnce(&Gateway) -> Result<T, GatewayError> + Send + 'static,
    ) -> Result<T, Status> {
        let gateway = self.0.clone();
        match tokio::task::spawn_blocking(move || change(&gateway)).await {
            Ok(result) => result.map_err(Status::from),
            Err(_) => Err(status::internal("changing the pipelines crashed").into()),
        }
    }

    fn find(&self, name: &str, access: &Access) -> Result<std::sync::Arc<ServedPipeline>, Status> {
        access.see(name, Named::Pipeline)?;
        let registry = self.0.registry();
        registry
            .pipeline(name)
            .ok_or_else(|| registry.unknown_pipeline(name, access))
    }
}

fn summary(served: &ServedPipeline) -> PipelineSummary {
    let pipeline = served.pipeline();
    PipelineSummary {
        name: pipeline.name.clone(),
        version: pipeline.version,
        description: pipeline.description.clone().unwrap_or_default(),
        service: served.api.service.clone(),
    }
}

fn port(pipeline: &CheckedPipeline, name: &str, ty: &ValueType, optional: bool) -> Port {
    Port {
        name: name.to_owned(),
        r#type: ty.to_tensor_type(&pipeline.symbols).to_string(),
        default: String::new(),
        optional,
    }
}

#[tonic::async_trait]
impl Pipelines for PipelinesService {
    async fn list(&self, request: Request<ListRequest>) -> Result<Response<ListResponse>, Status> {
        let access = Access::of(request.extensions());
        let pipelines = self.0.registry().pipelines();
        let seen = pipelines
            .iter()
            .filter(|(name, _)| access.sees(name, Named::Pipeline));
        Ok(Response::new(ListResponse {
            pipelines: seen.map(|(_, p)| summary(p)).collect(),
        }))
    }

    async fn describe(
        &self,
        request: Request<DescribeRequest>,
    ) -> Result<Response<DescribeResponse>, Status> {
        let access = Access::of(request.extensions());
        let served = self.find(&request.into_inner().name, &access)?;
        let pipeline = served.pipeline();
        let inputs = pipeline.inputs.iter().map(|input| Port {
            default: input.default.as_ref().map_or_else(String::new, |d| {
                let values: Vec<_> = d
                    .values
                    .iter()
                    .map(crate::scalar::Scalar::to_json)
                    .collect();
                match (d.list, values.as_slice()) {
                    (false, [value]) => value.to_string(),
                    _ => serde_json::Value::from(values).to_string(),
                }
            }),
            ..port(pipeline, &input.name, &input.ty, input.optional)
        });
        let outputs = pipeline.columns();
        Ok(Response::new(DescribeResponse {
            pipeline: Some(summary(&served)),
            inputs: inputs.collect(),
            outputs: outputs
                .map(|(name, column)| port(pipeline, &name, &column.ty, column.optional))
                .collect(),
            proto: proto_file(pipeline, &served.api),
        }))
    }

    async fn explain(
        &self,
        request: Request<ExplainRequest>,
    ) -> Result<Response<ExplainResponse>, Status> {
        let access = Access::of(request.extensions());
        let served = self.find(&request.into_inner().name, &access)?;
        let pipeline = served.pipeline();
        let nodes = pipeline.nodes.iter().map(|node| ExplainedNode {
            name: node.name.clone(),
            kind: node.kind.label(),
            after: node
                .dependencies
                .iter()
                .map(|n| pipeline.nodes[*n].name.clone())
                .collect(),
            inputs: node
                .inputs
                .iter()
                .map(|a| port(pipeline, &a.port, &a.ty, a.optional))
                .collect(),
            outputs: node
                .outputs
                .iter()
                .map(|o| port(pipeline, &o.name, &o.ty, o.optional))
                .collect(),
        });
        Ok(Response::new(ExplainResponse {
            nodes: nodes.collect(),
            dot: dot(pipeline),
        }))
    }

    async fn load(&self, request: Request<LoadRequest>) -> Result<Response<LoadResponse>, Status> {
        let access = Access::of(request.extensions());
        let yaml = request.into_inner().yaml;
        let reflected = self.0.reflect_services(&yaml).await;
        let (served, warnings) = self
            .change(move |gateway| gateway.load(&yaml, &reflected))
            .await?;
        access.note(&served.pipeline().name);
        Ok(Response::new(LoadResponse {
            pipeline: Some(summary(&served)),
            warnings,
        }))
    }

    async fn unload(
        &self,
        request: Request<UnloadRequest>,
    ) -> Result<Response<UnloadResponse>, Status> {
        let access = Access::of(request.extensions());
        let name = request.into_inner().name;
        access.note(&name);
        let unloaded = name.clone();
        if self
            .change(move |gateway| gateway.unload(&unloaded))
            .await?
        {
            Ok(Response::new(UnloadResponse {}))
        } else {
            Err(self.0.registry().unknown_pipeline(&name, &access))
        }
    }
}

impl From<GatewayError> for Status {
    fn from(error: GatewayError) -> Self {
        gateway_status(error)
    }
}

/// Returns the status for a failed change.
fn gateway_status(error: GatewayError) -> Status {
    let message = error.to_string();
    match error {
        GatewayError::NameOfModel { .. }
        | GatewayError::NameOfPipeline { .. }
        | GatewayError::SymbolTaken { .. } => StatusBuilder::new(Reason::NameTaken, message).into(),
        GatewayError::ModelElsewhere { name, .. } => {
            let error = StatusBuilder::new(Reason::ModelsAreFixed, message);
            error.model(name).into()
        }
        GatewayError::ModelCalled { name, .. } | GatewayError::ModelDiffers { name, .. } => {
            let error = StatusBuilder::new(Reason::ModelInUse, message);
            error.model(name).into()
        }
        GatewayError::Full { .. } => StatusBuilder::new(Reason::TooManyPipelines, message).into(),
        GatewayError::Called { .. }
        | GatewayError::CalledDifferently { .. }
        | GatewayError::CallsItself { .. } => status::failed_precondition(message).into(),
        GatewayError::Bind(_) | GatewayError::Descriptor(_) | GatewayError::Reflection(_) => {
            status::invalid_argument("yaml", message)
                .reason(Reason::BadPipeline)
                .into()
        }
        GatewayError::Invalid { report } => StatusBuilder::new(Reason::BadPipeline, "")
            .field("yaml", "has mistakes, which the message shows")
            .report(report)
            .into(),
    }
}

/// The graph of a pipeline in Graphviz's language.
pub fn dot(pipeline: &CheckedPipeline) -> String {
    let mut out = format!("digraph {} {{\n  rankdir=LR;\n", pipeline.name);
    for node in &pipeline.nodes {
        let (label, shape) = (node.kind.label(), node.kind.shape());
        // Writing to a string cannot fail.
        let _ = writeln!(
            out,
            "  {} [label=\"{}\\n{label}\", shape={shape}];",
            node.name, node.name
        );
        for &needed in &node.dependencies {
            let _ = writeln!(out, "  {} -> {};", pipeline.nodes[needed].name, node.name);
        }
    }
    out.push_str("}\n");
    out
}
