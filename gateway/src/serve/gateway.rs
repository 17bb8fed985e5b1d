//! The gateway: serves pipelines over models, and loads and unloads them meanwhile.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use arc_swap::ArcSwapOption;
use motet_config::{Diagnostics, Sources};
use motet_proto::signature::Signature;
use motet_runtime::health::Health;
use motet_runtime::metrics::Metrics;
use motet_runtime::reflection::{self, ReflectionError};
use motet_runtime::routes::LiveRoutes;
use motet_runtime::status::{REPORT_SIZE_MAX, report_size};
use prost::Message;
use prost_types::FileDescriptorSet;
use tokio::time::{Duration, Instant};
use tonic::service::Routes;
use tower::ServiceExt;

use super::load::ReflectedServices;
use super::load::catalog::{BindTargets, LoadCatalog};
use super::load::dependents::{dependents, relink_dependents};
use super::models::{self, ModelChange};
use super::pipeline::ServedPipeline;
use super::readiness::Readiness;
use super::registry::{Pipelines, Registry};
use super::typed::{DescriptorError, TypedPipelines};
use super::{oip, pipelines};
use crate::check::{self, CheckedPipeline, SignatureSource};
use crate::grpc::Endpoints;
use crate::model::{Backend, ModelService};
use crate::plan::{BindError, Plan};
use crate::syntax::{self, PIPELINES_MAX};

/// Longest wait for requests on pipelines that are no longer served.
const SETTLED_WITHIN: Duration = Duration::from_secs(60);
/// Pause between two looks at these.
const SETTLED_PAUSE: Duration = Duration::from_millis(20);

/// Parts of a gateway.
pub struct GatewayParts {
    /// Models that nodes call.
    pub models: Vec<Backend>,
    /// The model service of this process, if there is one.
    pub model_service: Option<ModelService>,
    /// Signatures of the models, to check pipelines that are loaded later.
    pub signatures: Arc<dyn SignatureSource + Send + Sync>,
    /// Pipelines to serve from the start, each after those that it calls.
    pub pipelines: Vec<CheckedPipeline>,
    /// Signatures of models in other processes that were not reached, as they were last seen. Such
    /// a model is away until it states the same.
    pub unseen: BTreeMap<String, Signature>,
    /// gRPC servers whose methods nodes call.
    pub endpoints: Arc<Endpoints>,
    /// Largest message in bytes, in or out.
    pub message_bytes_max: usize,
    /// Instruments for the metrics.
    pub metrics: Metrics,
    /// Health of the process, with an entry for each pipeline.
    pub health: Health,
}

/// A gateway: pipelines over models, served by gRPC. Cheap to clone.
#[derive(Clone)]
pub struct Gateway(Arc<Inner>);

struct Inner {
    registry: Arc<Registry>,
    model_service: Option<ModelService>,
    signatures: Arc<dyn SignatureSource + Send + Sync>,
    endpoints: Arc<Endpoints>,
    message_bytes_max: usize,
    metrics: Metrics,
    health: Health,
    readiness: Arc<Readiness>,
    routes: LiveRoutes,
    /// Plans of pipelines that are no longer served, some of which still run for requests.
    retired: Mutex<Vec<Weak<Plan>>>,
    /// Note on the pipelines for whoever lists them.
    note: ArcSwapOption<String>,
    /// Held while a pipeline or a model is loaded or unloaded.
    change: Mutex<()>,
}

/// A gateway that something else keeps.
#[derive(Clone)]
pub struct WeakGateway(Weak<Inner>);

impl WeakGateway {
    /// Returns the gateway, while it exists.
    pub fn upgrade(&self) -> Option<Gateway> {
        self.0.upgrade().map(Gateway)
    }
}

/// Failure to load or unload a pipeline or a model.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// The pipeline calls something that the gateway does not have, or calls too much.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The messages of the pipeline cannot be declared.
    #[error(transparent)]
    Descriptor(#[from] DescriptorError),
    /// Reflection cannot serve the descriptors.
    #[error(transparent)]
    Reflection(#[from] ReflectionError),
    /// A model has the name of the pipeline.
    #[error("a model is already named {name}, and both are reached by name")]
    NameOfModel {
        /// Name of the pipeline.
        name: String,
    },
    /// A pipeline has the name of the model.
    #[error("a pipeline is already named {name}, and both are reached by name")]
    NameOfPipeline {
        /// Name of the model.
        name: String,
    },
    /// The model runs in another process.
    #[error("model {name} runs at {address}: load and unload it there")]
    ModelElsewhere {
        /// Name of the model.
        name: String,
        /// The address of its service.
        address: String,
    },
    /// Pipelines call the model that is to be unloaded.
    #[error("model {name} is called by {}: unload them first", pipelines(callers))]
    ModelCalled {
        /// Name of the model.
        name: String,
        /// Names of the pipelines that call it, directly or through others.
        callers: Vec<String>,
    },
    /// Pipelines call the model that is to be replaced, and it takes or gives something else now.
    #[error(
        "model {name} is called by {}, which it would not suit any more: {difference}; unload them \
         first, or load it under another name or version",
        pipelines(callers)
    )]
    ModelDiffers {
        /// Name of the model.
        name: String,
        /// Names of the pipelines that call it, directly or through others.
        callers: Vec<String>,
        /// The first difference between what they were checked against and what it is now.
        difference: String,
    },
    /// Another pipeline declares the same name in gRPC.
    #[error("pipeline {other} already declares {symbol} in gRPC")]
    SymbolTaken {
        /// Name of the other pipeline.
        other: String,
        /// Full name of the service or message.
        symbol: String,
    },
    /// The gateway serves its largest number of pipelines.
    #[error("the gateway serves {limit} pipelines already, which is the limit")]
    Full {
        /// Largest number of pipelines.
        limit: usize,
    },
    /// Other pipelines call the one that is to be unloaded.
    #[error("pipeline {name} is called by {}: unload them first", callers.join(", "))]
    Called {
        /// Name of the pipeline.
        name: String,
        /// Names of the pipelines that call it, directly or through others.
        callers: Vec<String>,
    },
    /// Other pipelines call the one that is to be replaced, and its inputs or outputs changed.
    #[error(
        "pipeline {name} is called by {}, and its inputs or outputs are others now: \
         unload them first",
        callers.join(", ")
    )]
    CalledDifferently {
        /// Name of the pipeline.
        name: String,
        /// Names of the pipelines that call it, directly or through others.
        callers: Vec<String>,
    },
    /// The new form of the pipeline calls one of its callers.
    #[error("pipeline {name} would call itself, by way of {}", by_way_of.join(", "))]
    CallsItself {
        /// Name of the pipeline.
        name: String,
        /// Names of the pipelines between.
        by_way_of: Vec<String>,
    },
    /// The file has errors.
    #[error("{report}")]
    Invalid {
        /// As many errors as fit in a status, with their positions, and the number of the others.
        report: String,
    },
}

/// Returns names as a part of a sentence.
fn pipelines(names: &[String]) -> String {
    match names {
        [name] => format!("pipeline {name}"),
        names => format!("the pipelines {}", names.join(", ")),
    }
}

impl Gateway {
    /// Puts pipelines into service.
    ///
    /// # Errors
    /// When one cannot be served: see [`GatewayError`].
    pub fn new(parts: GatewayParts) -> Result<Self, GatewayError> {
        let registry = Arc::new(Registry::new(parts.models));
        let readiness = Readiness::new(
            registry.clone(),
            parts.unseen,
            &*parts.signatures,
            parts.health.clone(),
            parts.metrics.clone(),
        );
        let gateway = Self(Arc::new(Inner {
            registry,
            readiness,
            model_service: parts.model_service,
            signatures: parts.signatures,
            endpoints: parts.endpoints,
            message_bytes_max: parts.message_bytes_max,
            metrics: parts.metrics,
            health: parts.health,
            routes: LiveRoutes::new(Routes::default()),
            retired: Mutex::default(),
            note: ArcSwapOption::empty(),
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

    /// Returns the routes to serve. They change with each load and unload.
    pub fn routes(&self) -> LiveRoutes {
        self.0.routes.clone()
    }

    /// Returns the pipelines and models.
    pub fn registry(&self) -> &Arc<Registry> {
        &self.0.registry
    }

    /// Returns the models that are away and without which some pipeline cannot answer.
    pub fn missing_models(&self) -> Vec<String> {
        self.0.readiness.missing()
    }

    /// Asks the models in other processes whether they are ready, and brings health up to date.
    pub async fn ask_models(&self) {
        self.0.readiness.of_server().await;
    }

    /// Sets what is to be known of the pipelines, such as that their file has changed and was
    /// refused. It stands beside their states in lists.
    pub fn set_note(&self, note: Option<String>) {
        self.0.note.store(note.map(Arc::new));
    }

    /// Returns what is to be known of the pipelines.
    pub(super) fn note(&self) -> Option<Arc<String>> {
        self.0.note.load_full()
    }

    /// Returns the model service of this process, if there is one.
    pub(super) fn model_service(&self) -> Option<&ModelService> {
        self.0.model_service.as_ref()
    }

    /// Asks endpoints for the services that a pipeline file calls and the gateway does not know.
    pub async fn reflect_services(&self, yaml: &str) -> ReflectedServices {
        ReflectedServices::fetch(yaml, &*self.0.signatures, &self.0.endpoints).await
    }

    /// Checks the text of a pipeline file and puts the pipeline into service, replacing one of the
    /// same name. `reflected` comes from [`reflect_services`](Self::reflect_services). Returns the
    /// pipeline and the warnings.
    ///
    /// # Errors
    /// When the file has errors, or the pipeline cannot be served; the gateway is unchanged then.
    pub fn load(
        &self,
        yaml: &str,
        reflected: &ReflectedServices,
    ) -> Result<(Arc<ServedPipeline>, Vec<String>), GatewayError> {
        let _one_at_a_time = self.changing();
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
            let prepare = |pipeline, pipelines: &_| self.prepare(pipeline, pipelines);
            relink_dependents(&before, &served, &mut pipelines, prepare)?;
        }
        self.publish(pipelines)?;
        tracing::info!(pipeline = %served.pipeline().name, "loaded a pipeline");
        Ok((served, warnings))
    }

    /// Takes a pipeline out of service; its requests in flight finish. Returns whether there was
    /// one.
    ///
    /// # Errors
    /// When other pipelines call it.
    pub fn unload(&self, name: &str) -> Result<bool, GatewayError> {
        let _one_at_a_time = self.changing();
        let mut pipelines = (*self.0.registry.pipelines()).clone();
        let Some(served) = pipelines.remove(name) else {
            return Ok(false);
        };
        let callers = dependents(&pipelines, name);
        if !callers.is_empty() {
            return Err(GatewayError::Called {
                name: name.to_owned(),
                callers,
            });
        }
        self.publish(pipelines)?;
        self.forget(&served);
        tracing::info!(pipeline = name, "unloaded a pipeline");
        Ok(true)
    }

    /// Returns the gateway without keeping it.
    pub fn downgrade(&self) -> WeakGateway {
        WeakGateway(Arc::downgrade(&self.0))
    }

    /// Returns whether the pipelines could go on after a change of a model of this process.
    ///
    /// # Errors
    /// Those that could not, and the reason.
    pub fn check_model(&self, change: &ModelChange<'_>) -> Result<(), GatewayError> {
        let registry = &self.0.registry;
        models::check(registry, self.signatures(), change, &registry.pipelines())
    }

    /// Waits until the requests have ended that began on pipelines which called a model and are no
    /// longer served; no longer than such a request may take.
    pub async fn settled(&self, model: &str) {
        let end = Instant::now() + SETTLED_WITHIN;
        while self.is_called_by_retired(model) && Instant::now() < end {
            tokio::time::sleep(SETTLED_PAUSE).await;
        }
    }

    fn is_called_by_retired(&self, model: &str) -> bool {
        let retired = self
            .0
            .retired
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let mut plans = retired.iter().filter_map(Weak::upgrade);
        plans.any(|plan| {
            plan.backends()
                .iter()
                .any(|backend| backend.model() == model)
        })
    }

    /// Takes note of the plans that are served no longer.
    fn retire(&self, before: &Pipelines, after: &Pipelines) {
        let mut retired = self
            .0
            .retired
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        retired.retain(|plan| plan.strong_count() > 0);
        for (name, served) in before {
            let stays = after
                .get(name)
                .is_some_and(|now| Arc::ptr_eq(&now.plan, &served.plan));
            if !stays {
                retired.push(Arc::downgrade(&served.plan));
            }
        }
    }

    /// Changes a model of this process, which `make` does, while no pipeline is loaded or unloaded.
    /// Pipelines call the changed model without being loaded anew.
    ///
    /// # Errors
    /// When pipelines could not go on; `make` is not called then.
    pub fn change_model(
        &self,
        change: &ModelChange<'_>,
        make: impl FnOnce(),
    ) -> Result<(), GatewayError> {
        let _one_at_a_time = self.changing();
        self.check_model(change)?;
        let registry = &self.0.registry;
        match change {
            ModelChange::Put(name, signature) => {
                make();
                if let Some(backend) = self.backend(name) {
                    backend.rows().renew();
                    registry.put_model(backend, signature.clone());
                }
            }
            ModelChange::Remove(name) => {
                registry.remove_model(name);
                make();
            }
        }
        Ok(())
    }

    /// Waits for the right to change pipelines and models.
    pub(super) fn changing(&self) -> MutexGuard<'_, ()> {
        self.0.change.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the signatures of the models of the start.
    pub(super) fn signatures(&self) -> &dyn SignatureSource {
        &*self.0.signatures
    }

    /// Returns the way to a model of this process, known or new.
    pub(super) fn backend(&self, model: &str) -> Option<Backend> {
        let known = self.0.registry.models().get(model).cloned();
        let service = self.0.model_service.as_ref();
        known.or_else(|| Some(service?.backend(model)))
    }

    /// Removes a pipeline that is no longer served from health.
    pub(super) fn forget(&self, served: &ServedPipeline) {
        self.0.health.remove(&served.pipeline().name);
        self.0.health.remove(&served.api.service);
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
                    registry: &self.0.registry,
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
            _ => Err(GatewayError::Invalid {
                report: diagnostics.render_within(&sources, REPORT_SIZE_MAX, report_size),
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

    /// Binds a pipeline to the models, and to the pipelines that it calls.
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

    /// Replaces the served pipelines, in every surface and in reflection.
    pub(super) fn publish(&self, pipelines: Pipelines) -> Result<(), GatewayError> {
        let inner = &self.0;
        let files = FileDescriptorSet {
            file: pipelines.values().map(|p| p.api.file.clone()).collect(),
        };
        let descriptor_sets: [&[u8]; 3] = [
            motet_proto::FILE_DESCRIPTOR_SET,
            Health::descriptor_set(),
            &files.encode_to_vec(),
        ];
        let routes = Routes::new(oip::server(
            self.clone(),
            inner.registry.clone(),
            inner.readiness.clone(),
            inner.message_bytes_max,
        ))
        .add_service(pipelines::server(self.clone()))
        .add_service(inner.health.server());
        let routes = reflection::add(routes, &descriptor_sets)?;
        self.retire(&inner.registry.pipelines(), &pipelines);
        inner.readiness.set_pipelines(&pipelines);
        inner.registry.set_pipelines(pipelines);
        let typed = TypedPipelines::new(inner.registry.clone(), inner.message_bytes_max)
            .map_request(|request: http::Request<_>| request.map(tonic::body::Body::new));
        let router = routes.into_axum_router().fallback_service(typed);
        inner.routes.set(Routes::from(router));
        Ok(())
    }
}
