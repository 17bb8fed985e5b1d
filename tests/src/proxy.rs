//! A proxy in front of a model service: it sees every call and its headers, and can hold inferences back. So a test
//! decides itself how long an answer takes.

use std::net::SocketAddr;

use http::{HeaderMap, Request};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tonic::body::Body;
use tower::Service;

use crate::connection::Connection;
use crate::local::ANY_PORT;
use crate::wait::soon;

/// What is held back.
const INFER: &str = "/inference.GRPCInferenceService/ModelInfer";

/// The proxy. It ends with the test's runtime.
#[derive(Debug)]
pub struct Proxy {
    /// Where it listens.
    pub address: SocketAddr,
    open: watch::Sender<bool>,
    hung_up: watch::Sender<()>,
    held: watch::Receiver<usize>,
    inferences: watch::Receiver<Vec<HeaderMap>>,
}

impl Proxy {
    /// A proxy in front of the service on `behind`, letting everything through.
    pub async fn start(behind: Connection) -> Self {
        let listener = TcpListener::bind(ANY_PORT).await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (open, opened) = watch::channel(true);
        let (hang_up, hung_up) = watch::channel(());
        let (hold, held) = watch::channel(0);
        let (record, inferences) = watch::channel(Vec::new());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (behind, opened) = (behind.clone(), opened.clone());
                let (hold, record) = (hold.clone(), record.clone());
                let service = service_fn(move |request: Request<Incoming>| {
                    let (mut behind, mut opened) = (behind.clone(), opened.clone());
                    let held = (request.uri().path() == INFER).then(|| {
                        let headers = request.headers().clone();
                        record.send_modify(|all| all.push(headers));
                        Held::new(&hold)
                    });
                    async move {
                        if held.is_some() {
                            // The sender lives in the proxy; without one there is nobody left to wait for.
                            let _ = opened.wait_for(|open| *open).await;
                        }
                        drop(held);
                        behind.call(request.map(Body::new)).await
                    }
                });
                let connection = http2::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), service);
                let mut hung_up = hung_up.clone();
                hung_up.mark_unchanged();
                tokio::spawn(async move {
                    tokio::select! {
                        // How a connection ends is its client's affair.
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
        }
    }

    /// Holds back the inferences that come from now on.
    pub fn close(&self) {
        self.open.send_replace(false);
    }

    /// Lets everything through again, what is held back first.
    pub fn open(&self) {
        self.open.send_replace(true);
    }

    /// Breaks all connections, as a service that dies does. New ones are taken.
    pub fn hang_up(&self) {
        self.hung_up.send_replace(());
    }

    /// Waits until this many inferences are held back.
    pub async fn holds(&self, count: usize) {
        let mut held = self.held.clone();
        let what = format!("{count} calls held back");
        let waiting = soon(&what, held.wait_for(|held| *held == count)).await;
        waiting.expect("the proxy lives");
    }

    /// The headers of all inferences so far.
    pub fn inferences(&self) -> Vec<HeaderMap> {
        self.inferences.borrow().clone()
    }
}

/// Counts a call that is held back; dropped when it goes on, or when its caller goes away.
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
