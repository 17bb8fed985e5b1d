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

use std::collections::BTreeMap;
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
    draining: bool,
}

impl Board {
    fn status(&self, name: &str) -> Option<ServingStatus> {
        self.serving.get(name).map(|serving| {
            if *serving && !self.draining {
                ServingStatus::Serving
            } else {
                ServingStatus::NotServing
            }
        })
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

    /// Removes a name, which is unknown from now on.
    pub fn remove(&self, name: &str) {
        self.0
            .send_if_modified(|board| board.serving.remove(name).is_some());
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

    /// The names that are not served, in order, with `server` for [`OVERALL`]. Empty means ready.
    pub fn not_ready(&self) -> Vec<String> {
        let board = self.0.borrow();
        let names = board.serving.keys();
        names
            .filter(|name| board.status(name) != Some(ServingStatus::Serving))
            .map(|name| {
                if name.is_empty() {
                    "server".to_owned()
                } else {
                    name.clone()
                }
            })
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
