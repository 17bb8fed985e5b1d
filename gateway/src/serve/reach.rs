//! What a pipeline of a gateway may call: its models, endpoints and other pipelines.

use std::collections::BTreeMap;
use std::sync::Arc;

use motet_proto::signature::Signature;
use prost_reflect::ServiceDescriptor;

use super::learnt::Learnt;
use super::registry::{Registry, Served};
use crate::backend::Backend;
use crate::check::{CheckedPipeline, SignatureError, SignatureSource};
use crate::grpc::{Endpoints, NoService, Remote};
use crate::plan::{Bind, Plan};
use crate::spec::EndpointRef;

/// Where the plans of a gateway find what they call.
pub(super) struct Places<'a> {
    pub(super) registry: &'a Registry,
    pub(super) endpoints: &'a Endpoints,
    pub(super) pipelines: &'a BTreeMap<String, Arc<Served>>,
}

impl Bind for Places<'_> {
    fn model(&self, name: &str) -> Option<Backend> {
        self.registry.models().get(name).cloned()
    }

    fn pipeline(&self, name: &str) -> Option<Arc<Plan>> {
        Some(self.pipelines.get(name)?.plan.clone())
    }

    fn endpoint(&self, endpoint: &EndpointRef) -> Option<Remote> {
        self.endpoints.get(endpoint)
    }
}

/// What a pipeline that is loaded now may call.
pub(super) struct Known<'a> {
    pub(super) models: &'a dyn SignatureSource,
    pub(super) learnt: &'a Learnt,
    pub(super) pipelines: &'a BTreeMap<String, Arc<Served>>,
}

impl SignatureSource for Known<'_> {
    fn model(&self, name: &str) -> Result<Arc<Signature>, SignatureError> {
        self.models.model(name)
    }

    fn service(
        &self,
        endpoint: &EndpointRef,
        service: &str,
    ) -> Result<ServiceDescriptor, NoService> {
        self.learnt.service(self.models, endpoint, service)
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
