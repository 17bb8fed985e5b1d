//! grpc.health.v1 for the server and for each name in it (models, pipelines), and readiness for the
//! HTTP port.
//!
//! The service is our own over tonic-health's generated code. tonic-health's ends a Watch of an
//! unknown name with NOT_FOUND, where the protocol asks for a stream that says SERVICE_UNKNOWN and
//! goes on; and a Watch must end when the server drains, since it would hold its connection until
//! the end of the grace period.
//!
//! * `list`: the List method, which tonic-health does not have.

mod list;

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use crate::status::{Resource, not_found};
use tokio::sync::watch;
use tokio_stream::Stream;
use tokio_stream::wrappers::WatchStream;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

/// The name of the whole server.
pub const OVERALL: &str = "";

pub use list::{HealthListRequest, HealthListResponse, HealthServer};

#[derive(Clone, Debug, Default)]
struct Board {
    serving: BTreeMap<String, bool>,
    /// Names without which the server is ready.
    spared: BTreeSet<String>,
    draining: bool,
}

impl Board {
    /// Returns the status of a name. That of the server takes all in that it cannot do without.
    fn status(&self, name: &str) -> Option<ServingStatus> {
        let serving = *self.serving.get(name)?;
        let is_ready = match name {
            OVERALL => serving && self.missing().next().is_none(),
            _ => serving,
        };
        Some(if is_ready && !self.draining {
            ServingStatus::Serving
        } else {
            ServingStatus::NotServing
        })
    }

    /// Iterates over the names that are not served and that the server cannot do without.
    fn missing(&self) -> impl Iterator<Item = &str> {
        let missing = self.serving.iter().filter(|(_, serving)| !**serving);
        let names = missing.map(|(name, _)| name.as_str());
        names.filter(|name| !self.spared.contains(*name))
    }
}

/// A handle on the health of the process. Clones share it.
///
/// ```
/// use motet_runtime::health::{Health, OVERALL};
///
/// let health = Health::new();
/// health.set("rag", false);
/// health.set(OVERALL, true);
/// assert_eq!(health.not_ready(), ["rag"]);
/// health.set("rag", true);
/// assert!(health.not_ready().is_empty());
/// // A server that drains is not ready, whatever it serves.
/// health.drain();
/// assert_eq!(health.is_serving("rag"), Some(false));
/// ```
#[derive(Clone, Debug)]
pub struct Health(Arc<watch::Sender<Board>>);

impl Default for Health {
    fn default() -> Self {
        Self::new()
    }
}

impl Health {
    /// Returns the health of a server that does not serve yet.
    pub fn new() -> Self {
        let health = Self(Arc::new(watch::Sender::new(Board::default())));
        health.set(OVERALL, false);
        health
    }

    /// Sets whether `name` (a model, a pipeline, or [`OVERALL`]) is served. Adds the name if it is
    /// new.
    pub fn set(&self, name: impl Into<String>, serving: bool) {
        let name = name.into();
        self.0
            .send_if_modified(|board| board.serving.insert(name, serving) != Some(serving));
    }

    /// Sets whether `name` is served, without which the server is ready: a model in another
    /// process, which pipelines may be able to do without. Adds the name if it is new.
    pub fn set_spared(&self, name: impl Into<String>, serving: bool) {
        let name = name.into();
        self.0.send_if_modified(|board| {
            let is_new = board.spared.insert(name.clone());
            board.serving.insert(name, serving) != Some(serving) || is_new
        });
    }

    /// Removes a name, which is unknown from now on.
    pub fn remove(&self, name: &str) {
        self.0.send_if_modified(|board| {
            board.spared.remove(name);
            board.serving.remove(name).is_some()
        });
    }

    /// Waits for changes from now on.
    pub fn changes(&self) -> HealthChanges {
        let mut board = self.0.subscribe();
        board.mark_unchanged();
        HealthChanges(board)
    }

    /// Makes every name NOT_SERVING for good. Watchers get the change, and then their streams end.
    pub fn drain(&self) {
        self.0
            .send_if_modified(|board| !std::mem::replace(&mut board.draining, true));
    }

    /// `true` if `name` is served; `None` if it is unknown.
    pub fn is_serving(&self, name: &str) -> Option<bool> {
        self.0
            .borrow()
            .status(name)
            .map(|status| status == ServingStatus::Serving)
    }

    /// The names that are not served and that the server cannot do without, in order, with `server`
    /// for [`OVERALL`]. Empty means ready, and then the server's status is SERVING.
    pub fn not_ready(&self) -> Vec<String> {
        let board = self.0.borrow();
        let shown = |name: &str| match name {
            OVERALL => "server".to_owned(),
            _ => name.to_owned(),
        };
        if !board.draining {
            return board.missing().map(shown).collect();
        }
        let names = board.serving.keys();
        let names = names.filter(|name| !board.spared.contains(*name));
        names.map(|name| shown(name)).collect()
    }

    /// The names that are not served, though the server is ready without them, in order.
    pub fn spared(&self) -> Vec<String> {
        let board = self.0.borrow();
        let names = board.spared.iter();
        names
            .filter(|name| board.serving.get(*name) == Some(&false))
            .cloned()
            .collect()
    }

    /// The gRPC service over this state.
    pub fn server(&self) -> HealthServer {
        HealthServer::new(HealthService {
            board: self.0.subscribe(),
        })
    }

    /// The encoded descriptor set of the service, for reflection.
    pub fn descriptor_set() -> &'static [u8] {
        list::descriptor_set()
    }
}

/// Changes of the health of a process.
#[derive(Clone, Debug)]
pub struct HealthChanges(watch::Receiver<Board>);

impl HealthChanges {
    /// Waits until something has changed since the last change. Returns whether more can come.
    pub async fn next(&mut self) -> bool {
        self.0.changed().await.is_ok()
    }
}

/// The implementation behind [`Health::server`].
#[derive(Clone, Debug)]
pub struct HealthService {
    board: watch::Receiver<Board>,
}

fn response(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse {
        status: status.into(),
    }
}

#[tonic::async_trait]
impl health_server::Health for HealthService {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        let name = request.into_inner().service;
        match self.board.borrow().status(&name) {
            Some(status) => Ok(Response::new(response(status))),
            None => Err(not_found(Resource::Service, name).into()),
        }
    }

    type WatchStream = StatusChanges;

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<StatusChanges>, Status> {
        Ok(Response::new(StatusChanges {
            board: WatchStream::new(self.board.clone()),
            name: request.into_inner().service,
            last: None,
            over: false,
        }))
    }
}

/// The answers of a Watch: the current status, then each change, until the server drains.
pub struct StatusChanges {
    board: WatchStream<Board>,
    name: String,
    last: Option<ServingStatus>,
    over: bool,
}

impl Stream for StatusChanges {
    type Item = Result<HealthCheckResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        while !self.over {
            let Some(board) = ready!(Pin::new(&mut self.board).poll_next(cx)) else {
                break;
            };
            self.over = board.draining;
            let status = board
                .status(&self.name)
                .unwrap_or(ServingStatus::ServiceUnknown);
            if self.last.replace(status) != Some(status) {
                return Poll::Ready(Some(Ok(response(status))));
            }
        }
        Poll::Ready(None)
    }
}
