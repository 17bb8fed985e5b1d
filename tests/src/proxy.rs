//! A proxy in front of a model service. It records the headers of inferences, and can hold or fail
//! them: a test decides how long an answer takes without a fixed sleep.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use http::{HeaderMap, Request};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tonic::Status;
use tonic::body::Body;
use tower::Service;

use crate::connection::Connection;
use crate::in_process::ANY_PORT;
use crate::wait::soon;

/// The method whose calls are held or failed.
const INFER: &str = "/inference.GRPCInferenceService/ModelInfer";

/// Treatment of an inference by the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Forward it to the service.
    Pass,
    /// Hold it until its caller goes away.
    Hold,
    /// Answer UNAVAILABLE.
    Fail,
}

/// The proxy. It ends with the test's runtime.
#[derive(Debug)]
pub struct Proxy {
    /// Where it listens.
    pub address: SocketAddr,
    open: watch::Sender<bool>,
    hung_up: watch::Sender<()>,
    held: watch::Receiver<usize>,
    inferences: watch::Receiver<Vec<HeaderMap>>,
    fates: Arc<Mutex<VecDeque<Fate>>>,
}

impl Proxy {
    /// Starts a proxy in front of the service on `behind` that forwards everything.
    pub async fn start(behind: Connection) -> Self {
        let listener = TcpListener::bind(ANY_PORT).await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (open, opened) = watch::channel(true);
        let (hang_up, hung_up) = watch::channel(());
        let (hold, held) = watch::channel(0);
        let (record, inferences) = watch::channel(Vec::new());
        let fates = Arc::new(Mutex::new(VecDeque::new()));
        let destined = fates.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (behind, opened) = (behind.clone(), opened.clone());
                let (hold, record) = (hold.clone(), record.clone());
                let destined = destined.clone();
                let service = service_fn(move |request: Request<Incoming>| {
                    let (mut behind, mut opened) = (behind.clone(), opened.clone());
                    let held = (request.uri().path() == INFER).then(|| {
                        let headers = request.headers().clone();
                        record.send_modify(|all| all.push(headers));
                        Held::new(&hold)
                    });
                    let fate = held.as_ref().and_then(|_| next(&destined));
                    async move {
                        match fate {
                            Some(Fate::Hold) => std::future::pending().await,
                            Some(Fate::Fail) => {
                                return Ok(Status::unavailable("as the test says").into_http());
                            }
                            Some(Fate::Pass) | None => {}
                        }
                        if held.is_some() {
                            // An error means that the proxy was dropped, and the test is over.
                            let _ = opened.wait_for(|open| *open).await;
                        }
                        drop(held);
                        let answer = behind.call(request.map(Body::new)).await?;
                        Ok::<_, hyper::Error>(answer.map(Body::new))
                    }
                });
                let connection = http2::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), service);
                let mut hung_up = hung_up.clone();
                hung_up.mark_unchanged();
                tokio::spawn(async move {
                    tokio::select! {
                        // An error of the connection is the client's to see.
                        _ = connection => {}
                        _ = hung_up.changed() => {}
                    }
                });
            }
        });
        Self {
            address,
            open,
            hung_up: hang_up,
            held,
            inferences,
            fates,
        }
    }

    /// Sets what happens to the next inferences, in their order of arrival. Later ones pass.
    pub fn destine(&self, fates: impl IntoIterator<Item = Fate>) {
        let mut all = self.fates.lock().unwrap_or_else(PoisonError::into_inner);
        all.extend(fates);
    }

    /// Holds inferences from now on.
    pub fn close(&self) {
        self.open.send_replace(false);
    }

    /// Forwards inferences again, and those that are held.
    pub fn open(&self) {
        self.open.send_replace(true);
    }

    /// Closes all connections, as a service that is killed does. New ones are accepted.
    pub fn hang_up(&self) {
        self.hung_up.send_replace(());
    }

    /// Waits until `count` inferences are held.
    pub async fn holds(&self, count: usize) {
        let mut held = self.held.clone();
        let what = format!("{count} calls held");
        let waiting = soon(&what, held.wait_for(|held| *held == count)).await;
        waiting.expect("the proxy lives");
    }

    /// Returns the headers of all inferences so far.
    pub fn inferences(&self) -> Vec<HeaderMap> {
        self.inferences.borrow().clone()
    }
}

fn next(fates: &Mutex<VecDeque<Fate>>) -> Option<Fate> {
    let mut fates = fates.lock().unwrap_or_else(PoisonError::into_inner);
    fates.pop_front()
}

/// Counts a held call until it is forwarded or its caller goes away.
struct Held(watch::Sender<usize>);

impl Held {
    fn new(count: &watch::Sender<usize>) -> Self {
        count.send_modify(|count| *count += 1);
        Self(count.clone())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}
