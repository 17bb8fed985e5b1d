//! A gateway: pipelines over models, loaded and unloaded while it serves.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use motet_config::{Colour, Diagnostics, Sources};
use motet_runtime::health::Health;
use motet_runtime::metrics::Metrics;
use motet_runtime::reflection::{self, ReflectionError};
use motet_runtime::routes::LiveRoutes;
use prost::Message;
use prost_types::FileDescriptorSet;
use tonic::service::Routes;
use tower::ServiceExt;

use super::load::ReflectedServices;
use super::load::catalog::{BindTargets, LoadCatalog};
use super::load::dependents::callers;
use super::pipeline::ServedPipeline;
use super::registry::{Pipelines, Registry};
use super::typed::{DescriptorError, TypedPipelines};
use super::{oip, pipelines};
use crate::check::{self, CheckedPipeline, SignatureSource};
use crate::grpc::Endpoints;
use crate::model::Backend;
use crate::plan::{BindError, Plan};
use crate::syntax::{self, PIPELINES_MAX};

/// What a gateway is made of.
pub struct GatewayParts {
    /// The models, each with the way to it.
    pub models: Vec<Backend>,
    /// What the models take and give, for pipelines loaded later.
    pub signatures: Arc<dyn SignatureSource + Send + Sync>,
    /// The pipelines to begin with, each after those that it calls.
    pub pipelines: Vec<CheckedPipeline>,
    /// The gRPC servers whose methods nodes call.
    pub endpoints: Arc<Endpoints>,
    /// The most bytes of one message, in or out.
    pub message_bytes_max: usize,
    /// Instruments.
    pub metrics: Metrics,
    /// The health of the process; each pipeline is a name in it.
    pub health: Health,
}

/// A gateway. Cheap to clone.
#[derive(Clone)]
pub struct Gateway(Arc<Inner>);

struct Inner {
    registry: Arc<Registry>,
    signatures: Arc<dyn SignatureSource + Send + Sync>,
    endpoints: Arc<Endpoints>,
    message_bytes_max: usize,
    metrics: Metrics,
    health: Health,
    routes: LiveRoutes,
    /// Held while pipelines are loaded or unloaded: one change at a time.
    change: Mutex<()>,
}

/// Why pipelines cannot be put into service.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// A pipeline calls something that the gateway does not have, or too much of it.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// A pipeline's messages cannot be declared.
    #[error(transparent)]
    Descriptor(#[from] DescriptorError),
    /// Reflection cannot serve the descriptors.
    #[error(transparent)]
    Reflection(#[from] ReflectionError),
    /// A model has the name of the pipeline.
    #[error("a model is already named {name}, and both are reached by name")]
    NameOfModel {
        /// The name.
        name: String,
    },
    /// Another pipeline declares the same name in gRPC.
    #[error("pipeline {other} already declares {symbol} in gRPC")]
    SymbolTaken {
        /// The other pipeline.
        other: String,
        /// The full name of the service or message.
        symbol: String,
    },
    /// There is no room for another pipeline.
    #[error("the gateway serves {limit} pipelines already, which is the limit")]
    Full {
        /// The most pipelines.
        limit: usize,
    },
    /// Other pipelines call the one that is to be unloaded.
    #[error("pipeline {name} is called by {}: unload them first", callers.join(", "))]
    Called {
        /// The pipeline.
        name: String,
        /// The pipelines that call it, themselves or by way of others.
        callers: Vec<String>,
    },
    /// Other pipelines call the one that is to be replaced, in a way that no longer fits.
    #[error(
        "pipeline {name} is called by {}, and its inputs or outputs are others now: \
         unload them first",
        callers.join(", ")
    )]
    CalledDifferently {
        /// The pipeline.
        name: String,
        /// The pipelines that call it, themselves or by way of others.
        callers: Vec<String>,
    },
    /// The new form of a pipeline calls one that calls it.
    #[error("pipeline {name} would call itself, by way of {}", by_way_of.join(", "))]
    CallsItself {
        /// The pipeline.
        name: String,
        /// The pipelines between.
        by_way_of: Vec<String>,
    },
    /// The file has mistakes.
    #[error("{report}")]
    Mistakes {
        /// All of them, with their places, for people.
        report: String,
    },
}

impl Gateway {
    /// Puts pipelines into service.
    ///
    /// # Errors
    /// When one cannot be: see [`GatewayError`].
    pub fn new(parts: GatewayParts) -> Result<Self, GatewayError> {
        let registry = Arc::new(Registry::new(parts.models));
        let gateway = Self(Arc::new(Inner {
            registry,
            signatures: parts.signatures,
            endpoints: parts.endpoints,
            message_bytes_max: parts.message_bytes_max,
            metrics: parts.metrics,
            health: parts.health,
            routes: LiveRoutes::new(Routes::default()),
            change: Mutex::new(()),
        }));
        let mut pipelines = BTreeMap::new();
        for pipeline in parts.pipelines {
            let served = gateway.prepare(pipeline, &pipelines)?;
            pipelines.insert(served.pipeline().name.clone(), served);
        }
        gateway.publish(pipelines)?;
        Ok(gateway)
    }

    /// What to serve. It follows loads and unloads.
    pub fn routes(&self) -> LiveRoutes {
        self.0.routes.clone()
    }

    /// The pipelines and models.
    pub fn registry(&self) -> &Arc<Registry> {
        &self.0.registry
    }

    /// Asks endpoints about the services that a pipeline file calls and that are not known yet.
    pub async fn reflect_services(&self, yaml: &str) -> ReflectedServices {
        ReflectedServices::fetch(yaml, &*self.0.signatures, &self.0.endpoints).await
    }

    /// Checks the text of a pipeline file, of which everything was [learnt](Self::reflect_services), and
    /// puts it into service, in place of the pipeline of the same name if there is one. Gives the
    /// pipeline and the warnings.
    ///
    /// # Errors
    /// When the file has mistakes, or the pipeline cannot be served: nothing has changed then.
    pub fn load(
        &self,
        yaml: &str,
        reflected: &ReflectedServices,
    ) -> Result<(Arc<ServedPipeline>, Vec<String>), GatewayError> {
        let _one_at_a_time = self.0.change.lock().unwrap_or_else(PoisonError::into_inner);
        let (checked, warnings) = self.check(yaml, reflected)?;
        let name = checked.name.clone();
        let mut pipelines = (*self.0.registry.pipelines()).clone();
        self.check_name(&name)?;
        if pipelines.len() >= PIPELINES_MAX && !pipelines.contains_key(&name) {
            return Err(GatewayError::Full {
                limit: PIPELINES_MAX,
            });
        }
        let served = self.prepare(checked, &pipelines)?;
        let before = pipelines.insert(name, served.clone());
        if let Some(before) = before {
            self.rebind(&before, &served, &mut pipelines)?;
        }
        self.publish(pipelines)?;
        tracing::info!(pipeline = %served.pipeline().name, "loaded a pipeline");
        Ok((served, warnings))
    }

    /// Takes a pipeline out of service; requests in flight finish. `false` when there is none.
    ///
    /// # Errors
    /// When what is left cannot be served.
    pub fn unload(&self, name: &str) -> Result<bool, GatewayError> {
        let _one_at_a_time = self.0.change.lock().unwrap_or_else(PoisonError::into_inner);
        let mut pipelines = (*self.0.registry.pipelines()).clone();
        let Some(served) = pipelines.remove(name) else {
            return Ok(false);
        };
        let callers = callers(&pipelines, name);
        if !callers.is_empty() {
            return Err(GatewayError::Called {
                name: name.to_owned(),
                callers,
            });
        }
        self.publish(pipelines)?;
        self.0.health.remove(name);
        self.0.health.remove(&served.api.service);
        tracing::info!(pipeline = name, "unloaded a pipeline");
        Ok(true)
    }

    fn check(
        &self,
        yaml: &str,
        reflected: &ReflectedServices,
    ) -> Result<(CheckedPipeline, Vec<String>), GatewayError> {
        let mut sources = Sources::new();
        let mut diagnostics = Diagnostics::new();
        let file = sources.add("pipeline", "", yaml);
        let checked = motet_config::parse(&sources, file, &mut diagnostics)
            .and_then(|root| syntax::parse(&root, &mut diagnostics))
            .and_then(|spec| {
                let signatures = LoadCatalog {
                    models: &*self.0.signatures,
                    reflected,
                    pipelines: &self.0.registry.pipelines(),
                };
                check::check(&spec, &signatures, &mut diagnostics)
            });
        match checked {
            Some(checked) if !diagnostics.has_errors() => {
                let warnings = diagnostics.sorted();
                Ok((
                    checked,
                    warnings.iter().map(|d| d.message.clone()).collect(),
                ))
            }
            _ => Err(GatewayError::Mistakes {
                report: diagnostics.render(&sources, Colour::Never),
            }),
        }
    }

    fn check_name(&self, name: &str) -> Result<(), GatewayError> {
        if self.0.registry.has_model(name) {
            return Err(GatewayError::NameOfModel {
                name: name.to_owned(),
            });
        }
        let pipelines = self.0.registry.pipelines();
        let mut others = pipelines.keys().filter(|other| *other != name);
        match others.find_map(|other| Some((other, check::shared_symbol(other, name)?))) {
            Some((other, symbol)) => Err(GatewayError::SymbolTaken {
                other: other.clone(),
                symbol,
            }),
            None => Ok(()),
        }
    }

    /// Makes a pipeline ready to serve over those that there are.
    pub(super) fn prepare(
        &self,
        pipeline: impl Into<Arc<CheckedPipeline>>,
        pipelines: &Pipelines,
    ) -> Result<Arc<ServedPipeline>, GatewayError> {
        let bind = BindTargets {
            registry: &self.0.registry,
            endpoints: &self.0.endpoints,
            pipelines,
        };
        let plan = Plan::new(pipeline, bind, &self.0.metrics)?;
        Ok(Arc::new(ServedPipeline::new(plan, &self.0.metrics)?))
    }

    /// Makes these pipelines the ones that are served, by every surface and in reflection.
    fn publish(&self, pipelines: Pipelines) -> Result<(), GatewayError> {
        let inner = &self.0;
        let files = FileDescriptorSet {
            file: pipelines.values().map(|p| p.api.file.clone()).collect(),
        };
        let descriptor_sets: [&[u8]; 3] = [
            motet_proto::FILE_DESCRIPTOR_SET,
            Health::descriptor_set(),
            &files.encode_to_vec(),
        ];
        let routes = Routes::new(oip::server(inner.registry.clone(), inner.message_bytes_max))
            .add_service(pipelines::server(self.clone()))
            .add_service(inner.health.server());
        let routes = reflection::add(routes, &descriptor_sets)?;
        for (name, served) in &pipelines {
            inner.health.set(name, true);
            inner.health.set(&served.api.service, true);
        }
        inner.registry.set_pipelines(pipelines);
        let typed = TypedPipelines::new(inner.registry.clone(), inner.message_bytes_max)
            .map_request(|request: http::Request<_>| request.map(tonic::body::Body::new));
        let router = routes.into_axum_router().fallback_service(typed);
        inner.routes.set(Routes::from(router));
        Ok(())
    }
}
