//! Descriptors of the services at endpoints, for the check.

use std::collections::{BTreeMap, BTreeSet};

use motet_config::{Diagnostic, Diagnostics};
use prost_reflect::{DescriptorPool, ServiceDescriptor};

use super::reflect::ReflectError;
use crate::protobuf::descriptors;
use crate::syntax::{CallTarget, EndpointRef, EndpointSpec, PipelineSpec};

/// Descriptors of the services at endpoints.
#[derive(Debug, Clone, Default)]
pub struct Schemas {
    /// The endpoints of the configuration; `None` for one whose file or address is not usable,
    /// which was reported.
    named: BTreeMap<String, Option<DescriptorSource>>,
    /// Descriptors from server reflection, or the reason why there are none.
    asked: BTreeMap<(EndpointRef, String), Result<ServiceDescriptor, ServiceLookupError>>,
}

/// How an endpoint is known.
#[derive(Debug, Clone)]
enum DescriptorSource {
    /// By its file.
    File(DescriptorPool),
    /// By what it says.
    Asked,
}

/// Why a service is not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServiceLookupError {
    /// No endpoint has this name.
    #[error("no endpoint has this name")]
    Endpoint {
        /// The names that there are.
        known: Vec<String>,
    },
    /// The endpoint has no such service.
    #[error("the endpoint has no such service")]
    Service {
        /// The services that it has.
        known: Vec<String>,
    },
    /// The endpoint itself has mistakes, which are reported where they are.
    #[error("the endpoint has mistakes of its own")]
    Mistaken,
    /// The server cannot be asked.
    #[error("{reason}")]
    Unavailable {
        /// Why, as a sentence without a full stop.
        reason: String,
    },
}

impl From<ReflectError> for ServiceLookupError {
    fn from(error: ReflectError) -> Self {
        match error {
            ReflectError::ServiceLookupError { known, .. } => Self::Service { known },
            error => Self::Unavailable {
                reason: error.to_string(),
            },
        }
    }
}

impl Schemas {
    /// The endpoints of a configuration, with the files of those that have one. What is wrong
    /// with a file is reported.
    pub fn new(endpoints: &[EndpointSpec], diagnostics: &mut Diagnostics) -> Self {
        let named = endpoints.iter().map(|endpoint| {
            let known = match &endpoint.descriptor {
                _ if endpoint.url.is_none() => None,
                None => Some(DescriptorSource::Asked),
                Some(path) => match descriptors::read(&path.value) {
                    Ok(pool) => Some(DescriptorSource::File(pool)),
                    Err(why) => {
                        let path_shown = path.value.display();
                        diagnostics.push(
                            Diagnostic::error(
                                path.span,
                                format!("`{path_shown}` cannot be used: {why}"),
                            )
                            .help(
                                "`protoc --include_imports --descriptor_set_out=FILE ...` and \
                                   `buf build -o FILE` write such a file; \
                                   the path is taken from the folder of this configuration",
                            ),
                        );
                        None
                    }
                },
            };
            (endpoint.name.value.clone(), known)
        });
        Self {
            named: named.collect(),
            asked: BTreeMap::new(),
        }
    }

    /// Those of these services that the server itself must be asked about, and was not.
    pub fn to_ask(&self, needs: BTreeSet<(EndpointRef, String)>) -> Vec<(EndpointRef, String)> {
        let must_ask = |endpoint: &EndpointRef| match endpoint {
            EndpointRef::Name(name) => {
                matches!(self.named.get(name), Some(Some(DescriptorSource::Asked)))
            }
            EndpointRef::Address(_) => true,
        };
        let needs = needs.into_iter();
        needs
            .filter(|need| must_ask(&need.0) && !self.asked.contains_key(need))
            .collect()
    }

    /// Adds what a server said of a service.
    pub fn insert(
        &mut self,
        endpoint: EndpointRef,
        service: String,
        answer: Result<ServiceDescriptor, ServiceLookupError>,
    ) {
        self.asked.insert((endpoint, service), answer);
    }

    /// The answers of servers.
    pub fn asked(
        &self,
    ) -> impl Iterator<
        Item = (
            &EndpointRef,
            &str,
            &Result<ServiceDescriptor, ServiceLookupError>,
        ),
    > {
        let asked = self.asked.iter();
        asked.map(|((endpoint, service), answer)| (endpoint, service.as_str(), answer))
    }

    /// A service.
    ///
    /// # Errors
    /// Why it is not known.
    pub fn service(
        &self,
        endpoint: &EndpointRef,
        service: &str,
    ) -> Result<ServiceDescriptor, ServiceLookupError> {
        if let EndpointRef::Name(name) = endpoint {
            match self.named.get(name) {
                None => {
                    return Err(ServiceLookupError::Endpoint {
                        known: self.named.keys().cloned().collect(),
                    });
                }
                Some(None) => return Err(ServiceLookupError::Mistaken),
                Some(Some(DescriptorSource::File(pool))) => {
                    let found = pool.get_service_by_name(service);
                    return found.ok_or_else(|| ServiceLookupError::Service {
                        known: pool.services().map(|s| s.full_name().to_owned()).collect(),
                    });
                }
                Some(Some(DescriptorSource::Asked)) => {}
            }
        }
        let key = (endpoint.clone(), service.to_owned());
        let answer = self.asked.get(&key).cloned();
        answer.unwrap_or_else(|| {
            Err(ServiceLookupError::Unavailable {
                reason: format!("{endpoint} was not asked"),
            })
        })
    }
}

/// The services that pipelines call, each once.
pub fn called_services(pipelines: &[PipelineSpec]) -> BTreeSet<(EndpointRef, String)> {
    let mut found = BTreeSet::new();
    for node in pipelines.iter().flat_map(|p| &p.nodes) {
        node.visit_targets(&mut |target, _| {
            if let CallTarget::Service { endpoint, service } = target {
                found.insert((endpoint.clone(), service.to_owned()));
            }
        });
    }
    found
}
