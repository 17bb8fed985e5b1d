//! What endpoints say of the services that a pipeline calls which is loaded while the gateway
//! serves.

use motet_config::{Diagnostics, Sources};
use prost_reflect::ServiceDescriptor;
use tokio::time::{Duration, Instant};

use crate::check::SignatureSource;
use crate::grpc::{self, Endpoints, NoService, Schemas};
use crate::syntax::{self, EndpointRef};

/// How long endpoints may take to answer, all together.
const WITHIN: Duration = Duration::from_secs(5);

/// What endpoints said. Only endpoints that the configuration names are asked: who may load a
/// pipeline does not thereby choose which hosts the gateway connects to.
#[derive(Debug, Clone, Default)]
pub struct ReflectedServices(Schemas);

impl ReflectedServices {
    /// Asks about what a pipeline file needs and `known` does not have.
    pub(in crate::serve) async fn fetch(
        yaml: &str,
        known: &(dyn SignatureSource + Send + Sync),
        endpoints: &Endpoints,
    ) -> Self {
        let mut schemas = Schemas::default();
        let until = Instant::now() + WITHIN;
        let yaml = yaml.to_owned();
        // A long file takes a while to read.
        let required = tokio::task::spawn_blocking(move || required_services(&yaml)).await;
        for (endpoint, service) in required.unwrap_or_default() {
            let unknown = known.service(&endpoint, &service).err();
            let (Some(NoService::Unavailable { .. }), EndpointRef::Name(_), Some(remote)) =
                (unknown, &endpoint, endpoints.get(&endpoint))
            else {
                continue;
            };
            let left = until.saturating_duration_since(Instant::now());
            let answer = remote.describe(&service, left).await;
            schemas.insert(endpoint, service, answer.map_err(NoService::from));
        }
        Self(schemas)
    }

    /// A service, as `known` has it or as it was learnt.
    pub(in crate::serve) fn service(
        &self,
        known: &dyn SignatureSource,
        endpoint: &EndpointRef,
        service: &str,
    ) -> Result<ServiceDescriptor, NoService> {
        if let EndpointRef::Address(_) = endpoint {
            return Err(NoService::Unavailable {
                reason: "a pipeline that is loaded while the gateway serves calls only endpoints \
                         that its configuration names"
                    .to_owned(),
            });
        }
        match known.service(endpoint, service) {
            Err(error @ NoService::Unavailable { .. }) => {
                let mut asked = self.0.asked();
                let found = asked.find(|(e, s, _)| *e == endpoint && *s == service);
                found.map_or(Err(error), |(_, _, answer)| answer.clone())
            }
            answer => answer,
        }
    }
}

/// The services that a pipeline file calls; none where it cannot be read, which the check tells.
fn required_services(yaml: &str) -> std::collections::BTreeSet<(EndpointRef, String)> {
    let mut sources = Sources::new();
    let mut diagnostics = Diagnostics::new();
    let file = sources.add("pipeline", "", yaml);
    let root = motet_config::parse(&sources, file, &mut diagnostics);
    let spec = root.and_then(|root| syntax::parse(&root, &mut diagnostics));
    grpc::called_services(spec.as_slice())
}
