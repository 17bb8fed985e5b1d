//! An object store in memory, which speaks the protocols of S3 and of Google Cloud Storage's XML,
//! and can be away, slow or broken.
//!
//! * `requests`: what requests ask for, and the answers.

mod requests;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::certificates::Pair;
use crate::in_process::ANY_PORT;
use crate::program::Program;

/// The access key, the secret and the token that the store accepts.
pub const KEY: &str = "motet-tests";

/// Fate of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is refused for a while, as by a busy store.
    Busy,
    /// It is done, but the connection breaks before its answer.
    Lost,
    /// The connection breaks in the middle of the answer.
    Cut,
    /// It is done a while later.
    Slow,
}

/// A request that the store got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Method and target, such as `GET /rows/a.jsonl`.
    pub line: String,
    /// The range of bytes, if it has one.
    pub range: Option<String>,
}

/// The store. It ends with the test's runtime.
#[derive(Debug)]
pub struct ObjectStore {
    /// Where it listens.
    pub address: SocketAddr,
    store: Arc<Store>,
}

#[derive(Debug, Default)]
struct Store {
    buckets: Mutex<BTreeMap<String, Objects>>,
    uploads: Mutex<Vec<BTreeMap<usize, Bytes>>>,
    asked: Mutex<Vec<Asked>>,
    /// Decides what happens to the request of this number.
    faults: Mutex<Faults>,
    is_unconditional: AtomicBool,
}

type Objects = BTreeMap<String, Object>;

#[derive(Clone, Debug)]
struct Object {
    bytes: Bytes,
    modified: SystemTime,
}

type Faulty = dyn Fn(&Asked, usize) -> Option<Fault> + Send;

#[derive(Default)]
struct Faults(Option<Box<Faulty>>);

impl std::fmt::Debug for Faults {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Faults").finish_non_exhaustive()
    }
}

type Answer = Response<BoxBody<Bytes, std::io::Error>>;

impl ObjectStore {
    /// Starts a store with these buckets.
    ///
    /// # Panics
    /// If there is no free port.
    pub async fn start(buckets: &[&str]) -> Self {
        Self::listen(buckets, None).await
    }

    /// Starts a store with these buckets, which shows this certificate.
    ///
    /// # Panics
    /// If there is no free port, or the certificate is none.
    pub async fn start_tls(buckets: &[&str], identity: &Pair) -> Self {
        let acceptor = TlsAcceptor::from(Arc::new(identity.server_config()));
        Self::listen(buckets, Some(acceptor)).await
    }

    async fn listen(buckets: &[&str], tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind(ANY_PORT).await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let store = Arc::new(Store::default());
        for bucket in buckets {
            let mut buckets = locked(&store.buckets);
            buckets.insert((*bucket).to_owned(), Objects::new());
        }
        let serving = store.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (store, tls) = (serving.clone(), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => converse(store, stream).await,
                        Some(tls) => {
                            // A client that does not trust it goes away.
                            if let Ok(stream) = tls.accept(stream).await {
                                converse(store, stream).await;
                            }
                        }
                    }
                });
            }
        });
        Self { address, store }
    }

    /// Sets the environment of a program that uses the store.
    pub fn with(&self, program: Program) -> Program {
        let url = format!("http://{}", self.address);
        program
            .env("AWS_ACCESS_KEY_ID", KEY)
            .env("AWS_SECRET_ACCESS_KEY", "secret")
            .env("AWS_REGION", "eu-central-1")
            .env("AWS_ENDPOINT_URL", &url)
            .env("GOOGLE_BASE_URL", &url)
            .env("GOOGLE_BEARER_TOKEN", KEY)
    }

    /// Writes an object.
    ///
    /// # Panics
    /// If there is no such bucket.
    pub fn put(&self, bucket: &str, key: &str, bytes: impl Into<Bytes>) {
        let mut buckets = locked(&self.store.buckets);
        let objects = buckets.get_mut(bucket).expect("a bucket");
        objects.insert(key.to_owned(), Object::new(bytes.into()));
    }

    /// Removes an object.
    pub fn remove(&self, bucket: &str, key: &str) {
        if let Some(objects) = locked(&self.store.buckets).get_mut(bucket) {
            objects.remove(key);
        }
    }

    /// Returns the objects of a bucket whose keys begin with `folder` and a slash, by the rest of
    /// their keys.
    pub fn objects(&self, bucket: &str, folder: &str) -> BTreeMap<String, Vec<u8>> {
        let buckets = locked(&self.store.buckets);
        let objects = buckets.get(bucket).into_iter().flatten();
        let within = objects.filter_map(|(key, object)| {
            let name = key.strip_prefix(folder)?.strip_prefix('/')?;
            Some((name.to_owned(), object.bytes.to_vec()))
        });
        within.collect()
    }

    /// Decides what happens to requests from now on: by themselves, and their number from 0.
    pub fn fault(&self, fault: impl Fn(&Asked, usize) -> Option<Fault> + Send + 'static) {
        locked(&self.store.asked).clear();
        *locked(&self.store.faults) = Faults(Some(Box::new(fault)));
    }

    /// Lets the store write every object that it is given, as some do.
    pub fn ignore_conditions(&self) {
        self.store.is_unconditional.store(true, Ordering::Relaxed);
    }

    /// Returns the requests since the last call of [`fault`](Self::fault).
    pub fn asked(&self) -> Vec<Asked> {
        locked(&self.store.asked).clone()
    }
}

impl Object {
    fn new(bytes: Bytes) -> Self {
        Self {
            bytes,
            modified: SystemTime::now(),
        }
    }
}

/// Answers the requests of a connection.
async fn converse(store: Arc<Store>, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
    let service = service_fn(move |request| serve(store.clone(), request));
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    // An error is a connection that broke, as faults want it.
    let _ = connection.await;
}

/// Answers a request. An error breaks the connection.
async fn serve(store: Arc<Store>, request: Request<Incoming>) -> Result<Answer, std::io::Error> {
    let (head, body) = request.into_parts();
    let broken = || std::io::Error::from(std::io::ErrorKind::ConnectionReset);
    let body = body.collect().await.map_err(|_| broken())?.to_bytes();
    let range = head.headers.get("range");
    let asked = Asked {
        line: format!("{} {}", head.method, head.uri),
        range: range.map(|range| range.to_str().expect("ASCII").to_owned()),
    };
    let fault = {
        let mut all = locked(&store.asked);
        all.push(asked.clone());
        let faults = locked(&store.faults);
        faults
            .0
            .as_ref()
            .and_then(|fault| fault(&asked, all.len() - 1))
    };
    if fault == Some(Fault::Busy) {
        let busy = StatusCode::SERVICE_UNAVAILABLE;
        return Ok(whole(requests::refused(busy, "SlowDown", "Please reduce.")));
    }
    if fault == Some(Fault::Slow) {
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    let answer = requests::answer(&store, &head, body);
    match fault {
        Some(Fault::Lost) => Err(broken()),
        Some(Fault::Cut) if answer.body().len() > 1 => Ok(cut(answer)),
        _ => Ok(whole(answer)),
    }
}

fn whole(answer: Response<Bytes>) -> Answer {
    answer.map(|body| {
        let never = |error: Infallible| match error {};
        Full::new(body).map_err(never).boxed()
    })
}

/// Sends half of an answer.
fn cut(answer: Response<Bytes>) -> Answer {
    let (mut head, body) = answer.into_parts();
    head.headers.insert("content-length", body.len().into());
    let half = Frame::data(body.slice(..body.len() / 2));
    let broken = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
    let frames = futures::stream::iter([Ok(half), Err(broken)]);
    Response::from_parts(head, BodyExt::boxed(StreamBody::new(frames)))
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
