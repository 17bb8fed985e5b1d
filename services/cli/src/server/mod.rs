//! The models and pipelines of a configuration inside a program of one's own.
//!
//! * `in_flight`: calls in flight, which a drain waits for.
//! * `local`: [`LocalChannel`], a connection within the process.
//! * `error`: [`ServerError`].

mod error;
mod in_flight;
mod local;

use std::convert::Infallible;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use motet_runtime::health::{Health, OVERALL};
use motet_runtime::layers::{self, Guards, Layered, Stack};
use motet_runtime::routes::LiveRoutes;
use motet_runtime::status::{Reason, StatusBuilder};
use motet_service::{MemoryLimit, ModelServer, Tasks};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http;
use tonic::service::Routes;
use tower::ServiceExt;

use crate::client::Client;
use crate::configuration::{Configuration, ConfigurationErrors, Files};
use crate::placement::Flags;
use crate::process::{Instruments, ProcessGuards, Role, Served, Startup, admission};

pub use error::ServerError;
use in_flight::{CountingLayer, InFlight};
pub use local::LocalChannel;

/// Time that a start waits for models and endpoints in other processes.
const REMOTE_WAIT: Duration = Duration::from_secs(60);

/// The models and pipelines of a configuration, in a tokio runtime that exists already, to be
/// served beside the program's own tonic services or called within the process.
///
/// Clones share the models; without a clone nothing is served any more.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let server = motet::Server::from_yaml(
///     r#"
/// pipeline: best
/// inputs: { score: "float[N]" }
/// nodes: { top: { op: topk, in: { score: $score }, with: { k: 1 } } }
/// outputs: { index: $top.index }
/// "#,
/// )
/// .await?;
/// server.ready().await?;
/// let scores = serde_json::json!({ "score": [0.1, 0.9, 0.4] });
/// let answer = server.client().call("best", scores).await?;
/// assert_eq!(answer.outputs["index"], serde_json::json!([1]));
/// server.drain().await;
/// # Ok(())
/// # }
/// ```
///
/// # On a port of the program's own
///
/// [`routes`](Self::routes) has all services of a process started by `motet up`: the typed service
/// of each pipeline, the Open Inference Protocol, loading of pipelines, health and reflection.
/// Other services are added to them, or they to a server of the program's:
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let server = motet::Server::from_file("motet.yaml").await?;
/// tonic::transport::Server::builder()
///     .add_routes(server.routes()) // .add_service(MyService::new(..))
///     .serve_with_shutdown("127.0.0.1:50051".parse()?, async {
///         tokio::signal::ctrl_c().await.ok();
///     })
///     .await?;
/// server.drain().await;
/// # Ok(())
/// # }
/// ```
///
/// Deadlines, admission, authentication, the audit, compression, error details and metrics hold as
/// on a port of `motet up`; calls within the process need no credentials.
/// The guards of such a port below HTTP/2 (limits of connections and of bytes, slow and resetting
/// clients, fairness by connection) are left to the program's server: of the configuration's
/// `server`, the keys `grpc` and `http` and those of connections are not used. Logs and traces go
/// to the program's own subscriber of `tracing`.
#[derive(Clone)]
pub struct Server(Arc<Inner>);

struct Inner {
    /// For strangers.
    guarded: CountedStack,
    /// For the program itself.
    local: CountedStack,
    calls: InFlight,
    /// Ends the watch of files.
    _watching: DropGuard,
    instruments: Instruments,
    /// Time that calls in flight may take once a drain begins.
    grace: Duration,
    state: watch::Receiver<State>,
    starting: AbortHandle,
}

/// All services, with the layers around them and calls in flight counted.
type CountedStack = Layered<CountingLayer, Stack<LiveRoutes>>;

#[derive(Clone)]
enum State {
    /// Models are being loaded.
    Starting,
    Ready(ModelServer),
    Failed(ServerError),
}

/// The start of a [`Server`] with tasks of one's own.
#[derive(Clone, Debug)]
#[must_use = "it does nothing until it starts"]
pub struct Starter {
    tasks: Tasks,
}

impl Starter {
    /// Starts from a file, as [`Server::from_file`].
    ///
    /// # Errors
    /// As those of [`Server::from_file`].
    pub async fn from_file(&self, path: impl AsRef<Path>) -> Result<Server, ServerError> {
        let files = Files {
            file: Some(path.as_ref().to_owned()),
            models: None,
        };
        let start = Server::start(Configuration::read(&files, &self.tasks));
        start.await.map_err(ServerError::of)
    }

    /// Starts from the text of a file, as [`Server::from_yaml`].
    ///
    /// # Errors
    /// As those of [`Server::from_file`].
    pub async fn from_yaml(&self, text: &str) -> Result<Server, ServerError> {
        let start = Server::start(Configuration::of_text(text, &self.tasks));
        start.await.map_err(ServerError::of)
    }
}

impl Server {
    /// Starts from a configuration, or from a file with one pipeline. Returns once everything is
    /// checked, with servers in other processes asked for what their models take and give; models
    /// of this process are loaded in the background, see [`ready`](Self::ready). Needs a tokio
    /// runtime.
    ///
    /// # Errors
    /// [`ServerError::Configuration`] with all errors of the file, or anything else that prevents
    /// the start.
    pub async fn from_file(path: impl AsRef<Path>) -> Result<Self, ServerError> {
        Self::with_tasks(Tasks::builtin()).from_file(path).await
    }

    /// Starts from the text of a file, as [`from_file`](Self::from_file). Relative paths in it
    /// start from the current folder.
    ///
    /// # Errors
    /// As those of [`from_file`](Self::from_file).
    pub async fn from_yaml(text: &str) -> Result<Self, ServerError> {
        Self::with_tasks(Tasks::builtin()).from_yaml(text).await
    }

    /// Starts with other tasks than those that come with motet:
    /// `Server::with_tasks(Tasks::builtin().with::<Rank>()?).from_file("motet.yaml").await?`.
    pub fn with_tasks(tasks: Tasks) -> Starter {
        Starter { tasks }
    }

    /// Starts from a configuration that was read.
    pub(crate) async fn start(
        read: Result<Configuration, ConfigurationErrors>,
    ) -> anyhow::Result<Self> {
        let configuration = read?;
        let spec = configuration.config.server.clone();
        let mut startup = Startup::new(configuration, Role::Up);
        let flags = Flags::default();
        let placement = startup.place(&flags).await?;
        let resolved = startup.fetch(&placement, &flags, false).await?;
        let instruments = Instruments::new(startup.role())?;
        let remote = startup.connect(&placement, &instruments.health, REMOTE_WAIT);
        let remote = remote.await?;
        let pipelines = startup.check()?;

        let health = &instruments.health;
        let live = LiveRoutes::new(unavailable(health, "the server loads its models"));
        let admission = admission(&spec);
        let metrics = &instruments.metrics;
        let guards = ProcessGuards::new(&spec, metrics).await?;
        let ended = CancellationToken::new();
        guards.watch(&ended);
        let calls = InFlight::default();
        let service = |guards| {
            let (live, admission) = (live.clone(), admission.clone());
            let stack = layers::stack(live, guards, admission, metrics, spec.max_message_bytes);
            Layered::new(CountingLayer(calls.clone()), stack)
        };
        let guarded = service(guards.of(spec.grpc_services()));
        let local = service(Guards::default());
        let (state, current) = watch::channel(State::Starting);
        let starting = tokio::spawn({
            let instruments = instruments.clone();
            async move {
                let served = async {
                    let memory = MemoryLimit::default();
                    let loading = startup.models(resolved, memory, &instruments)?;
                    let served = startup.assemble(&loading, remote, pipelines, &instruments)?;
                    loading.load().await?;
                    served.required().await?;
                    anyhow::Ok(served)
                };
                let now = match served.await {
                    Ok(Served { routes, models, .. }) => {
                        live.set(forwarding(routes));
                        instruments.health.set(OVERALL, true);
                        State::Ready(models)
                    }
                    Err(error) => {
                        let error = ServerError::of(error);
                        let message = format!("the server cannot start: {error}");
                        live.set(unavailable(&instruments.health, &message));
                        State::Failed(error)
                    }
                };
                state.send_replace(now);
            }
        });
        Ok(Self(Arc::new(Inner {
            guarded,
            local,
            calls,
            _watching: ended.drop_guard(),
            instruments,
            grace: spec.grace,
            state: current,
            starting: starting.abort_handle(),
        })))
    }

    /// Waits until every model of this process is loaded and warm. Until then, health says
    /// NOT_SERVING, and calls are answered with UNAVAILABLE.
    ///
    /// # Errors
    /// When a model cannot be loaded, or the server was drained meanwhile.
    pub async fn ready(&self) -> Result<(), ServerError> {
        let mut state = self.0.state.clone();
        let started = state.wait_for(|state| !matches!(state, State::Starting));
        match started.await.as_deref() {
            Ok(State::Failed(error)) => Err(error.clone()),
            Ok(_) => Ok(()),
            Err(_) => Err(ServerError::Start(
                "it was drained before it was ready".to_owned(),
            )),
        }
    }

    /// Returns all services, for a port of the program's own. They are there from the beginning,
    /// also while models are loaded, and change as pipelines are loaded and unloaded.
    ///
    /// A service that is added takes the place of motet's own service of the same name, such as
    /// health or reflection.
    pub fn routes(&self) -> Routes {
        let service = self.0.guarded.clone();
        let service = service.map_request(|request: http::Request<_>| request.map(Body::new));
        let router = Routes::default().into_axum_router();
        Routes::from(router.fallback_service(service))
    }

    /// Returns a connection within the process, for clients that were generated of .proto files
    /// (`motet proto` writes those of pipelines).
    pub fn local_channel(&self) -> LocalChannel {
        LocalChannel::new(self.0.local.clone())
    }

    /// Returns a client within the process.
    pub fn client(&self) -> Client {
        self.local_channel().into()
    }

    /// Returns the health and the metrics.
    pub(crate) fn instruments(&self) -> &Instruments {
        &self.0.instruments
    }

    /// Returns the metrics in the text format of Prometheus.
    ///
    /// # Errors
    /// When they cannot be gathered, which would be a defect.
    pub fn metrics(&self) -> Result<String, ServerError> {
        let text = self.0.instruments.metrics.render();
        text.map_err(|error| ServerError::Start(error.to_string()))
    }

    /// Ends the service: health becomes NOT_SERVING, new calls are refused, calls in flight finish
    /// within the grace period of the configuration, and the models' threads end.
    ///
    /// A program with a port stops accepting first, as in the example [above](Self).
    pub async fn drain(&self) {
        let inner = &self.0;
        inner.instruments.health.drain();
        inner.calls.refuse();
        if tokio::time::timeout(inner.grace, inner.calls.none())
            .await
            .is_err()
        {
            tracing::warn!(grace = ?inner.grace, "calls were still running at the end of a drain");
        }
        inner.starting.abort();
        let state = inner.state.borrow().clone();
        if let State::Ready(models) = state {
            models.drain().await;
        }
        let metrics = inner.instruments.metrics.clone();
        let _ = tokio::task::spawn_blocking(move || metrics.shutdown()).await;
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &*self.0.state.borrow() {
            State::Starting => "starting".to_owned(),
            State::Ready(_) => "ready".to_owned(),
            State::Failed(error) => format!("failed: {error}"),
        };
        f.debug_struct("Server")
            .field("state", &state)
            .finish_non_exhaustive()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.starting.abort();
    }
}

/// Returns routes that go on to other routes, which may be replaced meanwhile.
fn forwarding(routes: LiveRoutes) -> Routes {
    let routes = routes.map_request(|request: http::Request<_>| request.map(Body::new));
    let router = Routes::default().into_axum_router();
    Routes::from(router.fallback_service(routes))
}

/// Returns the routes of a server without models: health, and UNAVAILABLE for everything else.
fn unavailable(health: &Health, why: &str) -> Routes {
    let status: Status = StatusBuilder::new(Reason::Unavailable, why).into();
    let answer = tower::service_fn(move |_: http::Request<_>| {
        let response = status.clone().into_http::<Body>();
        async move { Ok::<_, Infallible>(response) }
    });
    let router = Routes::new(health.server()).into_axum_router();
    Routes::from(router.fallback_service(answer))
}
