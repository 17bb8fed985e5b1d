//! The pipelines and models of a gateway, as they stand at this moment.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use motet_proto::inference::{InferStatistics, ModelStatistics, StatisticDuration};
use motet_proto::oip::find_version;
use motet_runtime::deadline::Deadline;
use motet_runtime::metrics::{CallMetrics, Metrics};
use motet_runtime::status::{self, Resource};
use tokio::time::{Duration, Instant};
use tonic::{Code, Status};

use super::typed::{DescriptorError, TypedApi};
use crate::model::Backend;
use crate::plan::Plan;

/// A pipeline in service. Requests that began on it finish on it, whatever is loaded meanwhile.
#[derive(Debug)]
pub struct Served {
    /// What runs.
    pub plan: Arc<Plan>,
    /// Its messages.
    pub api: TypedApi,
    /// Calls of its typed service.
    pub typed: Surface,
    /// Calls by the Open Inference Protocol.
    pub oip: Surface,
}

impl Served {
    /// Puts a plan into service.
    ///
    /// # Errors
    /// When its messages cannot be declared.
    pub fn new(plan: Arc<Plan>, metrics: &Metrics) -> Result<Self, DescriptorError> {
        let surface = |name| Surface::new(metrics.pipeline(&plan.pipeline.name, name));
        Ok(Self {
            api: TypedApi::new(&plan.pipeline)?,
            typed: surface("typed"),
            oip: surface("oip"),
            plan,
        })
    }

    /// The deadline of a request that begins now, for a client that asked for `asked`.
    ///
    /// # Errors
    /// DEADLINE_EXCEEDED when the client's deadline has already passed.
    pub fn deadline(&self, asked: Option<Deadline>) -> Result<Deadline, Status> {
        let now = Instant::now();
        let pipeline = &self.plan.pipeline.name;
        if asked.is_some_and(|d| d.is_past(now)) {
            let late = status::deadline_exceeded(format!(
                "the deadline had passed before pipeline {pipeline} could start"
            ));
            return Err(late.pipeline(pipeline).into());
        }
        let timeout = self.plan.timeout(asked.map(|d| d.remaining(now)));
        Ok(Deadline::after(now, timeout))
    }

    /// Counts and durations since the pipeline was loaded.
    pub fn statistics(&self) -> ModelStatistics {
        let (typed, oip) = (self.typed.totals(), self.oip.totals());
        let add = |a: StatisticDuration, b: StatisticDuration| StatisticDuration {
            count: a.count + b.count,
            ns: a.ns + b.ns,
        };
        let success = add(typed.success, oip.success);
        ModelStatistics {
            name: self.plan.pipeline.name.clone(),
            version: self.plan.pipeline.version.to_string(),
            last_inference: typed.last_ms.max(oip.last_ms),
            inference_count: success.count,
            execution_count: success.count,
            inference_stats: Some(InferStatistics {
                success: Some(success),
                fail: Some(add(typed.fail, oip.fail)),
                ..Default::default()
            }),
            ..Default::default()
        }
    }
}

/// One way by which a pipeline is called: its metrics and totals.
#[derive(Debug)]
pub struct Surface {
    metrics: CallMetrics,
    success: Total,
    fail: Total,
    last_ms: AtomicU64,
}

#[derive(Debug, Default)]
struct Total {
    count: AtomicU64,
    ns: AtomicU64,
}

impl Total {
    fn add(&self, elapsed: Duration) {
        self.count.fetch_add(1, Ordering::Relaxed);
        let ns = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
        self.ns.fetch_add(ns, Ordering::Relaxed);
    }

    fn read(&self) -> StatisticDuration {
        StatisticDuration {
            count: self.count.load(Ordering::Relaxed),
            ns: self.ns.load(Ordering::Relaxed),
        }
    }
}

struct Totals {
    success: StatisticDuration,
    fail: StatisticDuration,
    last_ms: u64,
}

impl Surface {
    fn new(metrics: CallMetrics) -> Self {
        Self {
            metrics,
            success: Total::default(),
            fail: Total::default(),
            last_ms: AtomicU64::new(0),
        }
    }

    /// Runs one request, and counts and times it; one that is dropped counts as CANCELLED.
    pub async fn observe<T>(
        &self,
        call: impl Future<Output = Result<T, Status>>,
    ) -> Result<T, Status> {
        let mut guard = Observation {
            surface: self,
            started: Instant::now(),
            code: Code::Cancelled,
        };
        let result = call.await;
        guard.code = result.as_ref().map_or_else(Status::code, |_| Code::Ok);
        result
    }

    fn totals(&self) -> Totals {
        Totals {
            success: self.success.read(),
            fail: self.fail.read(),
            last_ms: self.last_ms.load(Ordering::Relaxed),
        }
    }
}

struct Observation<'a> {
    surface: &'a Surface,
    started: Instant,
    code: Code,
}

impl Drop for Observation<'_> {
    fn drop(&mut self) {
        let elapsed = self.started.elapsed();
        let total = if self.code == Code::Ok {
            &self.surface.success
        } else {
            &self.surface.fail
        };
        total.add(elapsed);
        let now_ms = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX));
        self.surface.last_ms.store(now_ms, Ordering::Relaxed);
        self.surface.metrics.record(self.code, elapsed);
    }
}

/// Pipelines by name, swapped as a whole, and the models, which stay.
#[derive(Debug)]
pub struct Registry {
    pipelines: ArcSwap<Pipelines>,
    models: BTreeMap<String, Backend>,
}

type Pipelines = BTreeMap<String, Arc<Served>>;

impl Registry {
    /// No pipelines yet, over these models.
    pub fn new(models: impl IntoIterator<Item = Backend>) -> Self {
        Self {
            pipelines: ArcSwap::default(),
            models: models
                .into_iter()
                .map(|b| (b.model().to_owned(), b))
                .collect(),
        }
    }

    /// The pipelines now, by name.
    pub fn pipelines(&self) -> Arc<Pipelines> {
        self.pipelines.load_full()
    }

    /// Replaces the pipelines.
    pub fn set_pipelines(&self, pipelines: Pipelines) {
        self.pipelines.store(Arc::new(pipelines));
    }

    /// The models, by name.
    pub const fn models(&self) -> &BTreeMap<String, Backend> {
        &self.models
    }

    /// The model that a request means by a name and a version (empty: none asked for). Whether a
    /// version that the configuration does not name is there, the model's service knows.
    ///
    /// # Errors
    /// NOT_FOUND, with the models or the versions that there are.
    pub fn model(&self, name: &str, version: &str) -> Result<Backend, Status> {
        let names = self.models.keys().map(String::as_str);
        let found = find_version(names, name, version).unwrap_or(name);
        if let Some(backend) = self.models.get(found) {
            return Ok(backend.at_version(version));
        }
        let versions = self.models.values().filter(|model| model.name() == name);
        let versions: Vec<&str> = versions.map(Backend::version).collect();
        if versions.is_empty() {
            return Err(self.unknown_model(name));
        }
        let error = Status::from(status::not_found(Resource::Version, version).model(name));
        let versions = versions.join(", ");
        Err(status::reworded(
            &error,
            format!("model {name} has no version {version:?}; it has {versions}"),
        ))
    }

    /// Whether a model has this name, in any version.
    pub fn has_model(&self, name: &str) -> bool {
        self.models.values().any(|model| model.name() == name)
    }

    /// A pipeline by name.
    pub fn pipeline(&self, name: &str) -> Option<Arc<Served>> {
        self.pipelines.load().get(name).cloned()
    }

    /// A pipeline by the full name of its gRPC service.
    pub fn by_service(&self, service: &str) -> Option<Arc<Served>> {
        self.pipelines
            .load()
            .values()
            .find(|p| p.api.service == service)
            .cloned()
    }

    /// NOT_FOUND, with the pipelines that there are.
    pub fn unknown_pipeline(&self, name: &str) -> Status {
        let pipelines = self.pipelines.load();
        let known: Vec<&str> = pipelines.keys().map(String::as_str).collect();
        not_found(Resource::Pipeline, name, &known)
    }

    /// NOT_FOUND, with the pipelines and models that there are.
    fn unknown_model(&self, name: &str) -> Status {
        let pipelines = self.pipelines.load();
        let known: Vec<&str> = pipelines
            .keys()
            .chain(self.models.keys())
            .map(String::as_str)
            .collect();
        not_found(Resource::Model, name, &known)
    }
}

fn not_found(kind: Resource, name: &str, known: &[&str]) -> Status {
    let known = if known.is_empty() {
        "none".to_owned()
    } else {
        known.join(", ")
    };
    let status = Status::from(status::not_found(kind, name));
    status::reworded(&status, format!("{}; there are: {known}", status.message()))
}
