//! Reflection of the services that a pipeline calls which is loaded while the gateway serves.

use motet_config::{Diagnostics, Sources};
use prost_reflect::ServiceDescriptor;
use tokio::time::{Duration, Instant};

use crate::check::SignatureSource;
use crate::grpc::{self, Endpoints, Schemas, ServiceLookupError};
use crate::syntax::{self, EndpointRef};

/// Time limit for the answers of all endpoints together.
const REFLECTION_TIMEOUT: Duration = Duration::from_secs(5);

/// Services that endpoints described by reflection. Only endpoints of the configuration are asked:
/// a client that may load pipelines must not choose the hosts to which the gateway connects.
#[derive(Debug, Clone, Default)]
pub struct ReflectedServices(Schemas);

impl ReflectedServices {
    /// Asks the endpoints for the services that a pipeline file calls and `known` does not have.
    pub(in crate::serve) async fn fetch(
        yaml: &str,
        known: &(dyn SignatureSource + Send + Sync),
        endpoints: &Endpoints,
    ) -> Self {
        let mut schemas = Schemas::default();
        let until = Instant::now() + REFLECTION_TIMEOUT;
        let yaml = yaml.to_owned();
        // Parsing a long file takes long.
        let required = tokio::task::spawn_blocking(move || required_services(&yaml)).await;
        for (endpoint, service) in required.unwrap_or_default() {
            let unknown = known.service(&endpoint, &service).err();
            let (Some(ServiceLookupError::Unavailable { .. }), EndpointRef::Name(_), Some(remote)) =
                (unknown, &endpoint, endpoints.get(&endpoint))
            else {
                continue;
            };
            let left = until.saturating_duration_since(Instant::now());
            let answer = remote.describe(&service, left).await;
            schemas.insert(endpoint, service, answer.map_err(ServiceLookupError::from));
        }
        Self(schemas)
    }

    /// Returns a service, from `known` or else from reflection.
    pub(in crate::serve) fn service(
        &self,
        known: &dyn SignatureSource,
        endpoint: &EndpointRef,
        service: &str,
    ) -> Result<ServiceDescriptor, ServiceLookupError> {
        if let EndpointRef::Address(_) = endpoint {
            return Err(ServiceLookupError::Unavailable {
                reason: "a pipeline that is loaded while the gateway serves calls only endpoints \
                         that its configuration names"
                    .to_owned(),
            });
        }
        match known.service(endpoint, service) {
            Err(error @ ServiceLookupError::Unavailable { .. }) => {
                let mut asked = self.0.asked();
                let found = asked.find(|(e, s, _)| *e == endpoint && *s == service);
                found.map_or(Err(error), |(_, _, answer)| answer.clone())
            }
            answer => answer,
        }
    }
}

/// Returns the services that a pipeline file calls; none if the file has errors, which the check
/// reports.
fn required_services(yaml: &str) -> std::collections::BTreeSet<(EndpointRef, String)> {
    let mut sources = Sources::new();
    let mut diagnostics = Diagnostics::new();
    let file = sources.add("pipeline", "", yaml);
    let root = motet_config::parse(&sources, file, &mut diagnostics);
    let spec = root.and_then(|root| syntax::parse(&root, &mut diagnostics));
    grpc::called_services(spec.as_slice())
}
