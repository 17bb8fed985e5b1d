//! Models, endpoints and pipelines that a pipeline of the gateway may call.

use std::collections::BTreeMap;
use std::sync::Arc;

use motet_proto::signature::Signature;
use prost_reflect::ServiceDescriptor;

use super::ReflectedServices;
use crate::check::{CheckedPipeline, SignatureError, SignatureSource};
use crate::grpc::{EndpointClient, Endpoints, ServiceLookupError};
use crate::model::Backend;
use crate::plan::{Bind, Plan};
use crate::serve::pipeline::ServedPipeline;
use crate::serve::registry::Registry;
use crate::syntax::EndpointRef;

/// Models, endpoints and pipelines to which the plans of a gateway are bound.
pub(in crate::serve) struct BindTargets<'a> {
    pub(in crate::serve) registry: &'a Registry,
    pub(in crate::serve) endpoints: &'a Endpoints,
    pub(in crate::serve) pipelines: &'a BTreeMap<String, Arc<ServedPipeline>>,
}

impl Bind for BindTargets<'_> {
    fn model(&self, name: &str) -> Option<Backend> {
        self.registry.models().get(name).cloned()
    }

    fn pipeline(&self, name: &str) -> Option<Arc<Plan>> {
        Some(self.pipelines.get(name)?.plan.clone())
    }

    fn endpoint(&self, endpoint: &EndpointRef) -> Option<EndpointClient> {
        self.endpoints.get(endpoint)
    }
}

/// Signatures and services against which a pipeline is checked when it is loaded.
pub(in crate::serve) struct LoadCatalog<'a> {
    pub(in crate::serve) registry: &'a Registry,
    /// Signatures of the models of the start.
    pub(in crate::serve) models: &'a dyn SignatureSource,
    pub(in crate::serve) reflected: &'a ReflectedServices,
    pub(in crate::serve) pipelines: &'a BTreeMap<String, Arc<ServedPipeline>>,
}

impl SignatureSource for LoadCatalog<'_> {
    fn model(&self, name: &str) -> Result<Arc<Signature>, SignatureError> {
        if let Some(signature) = self.registry.signature(name) {
            return Ok(signature);
        }
        let models = self.registry.models();
        match models.contains_key(name) {
            true => self.models.model(name),
            false => Err(SignatureError::Unknown {
                known: models.keys().cloned().collect(),
            }),
        }
    }

    fn service(
        &self,
        endpoint: &EndpointRef,
        service: &str,
    ) -> Result<ServiceDescriptor, ServiceLookupError> {
        self.reflected.service(self.models, endpoint, service)
    }

    fn pipeline(&self, name: &str) -> Result<Arc<CheckedPipeline>, SignatureError> {
        match self.pipelines.get(name) {
            Some(served) => Ok(served.plan.pipeline.clone()),
            None => Err(SignatureError::Unknown {
                known: self.pipelines.keys().cloned().collect(),
            }),
        }
    }
}
