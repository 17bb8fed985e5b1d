//! The canary: a client in a thread of its own, with a short call every few milliseconds.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tonic::{Code, Request, Status};

use super::KEY;
use crate::connection::Connection;
use crate::load::percentile;
use crate::tensors::{raw, texts};

/// Pause between two calls.
const PAUSE: Duration = Duration::from_millis(10);
/// Longest wait for an answer, beyond any deadline of the call.
const PATIENCE: Duration = Duration::from_secs(20);
/// Text that the canary embeds.
const TEXT: &str = "the tide follows the moon";

/// A canary. It is stopped when this is dropped.
#[derive(Debug)]
pub struct Canary {
    calls: Arc<Mutex<Vec<Sample>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// One call.
#[derive(Debug)]
struct Sample {
    milliseconds: f64,
    error: Option<(Code, String)>,
}

/// Calls of a canary over some time.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// Number of calls.
    pub calls: usize,
    /// Number of calls that were refused: RESOURCE_EXHAUSTED or UNAVAILABLE.
    pub refused: usize,
    /// Number of calls with another error, or without an answer.
    pub lost: usize,
    /// Median time of an answer in milliseconds.
    pub p50: f64,
    /// The 0.99 quantile in milliseconds.
    pub p99: f64,
    /// The errors, with their numbers.
    pub errors: String,
}

impl Seen {
    fn of(samples: Vec<Sample>) -> Self {
        let mut times = Vec::new();
        let mut errors: BTreeMap<String, usize> = BTreeMap::new();
        let mut seen = Self {
            calls: samples.len(),
            ..Self::default()
        };
        for sample in samples {
            match sample.error {
                None => times.push(sample.milliseconds),
                Some((code, message)) => {
                    match code {
                        Code::ResourceExhausted | Code::Unavailable => seen.refused += 1,
                        _ => seen.lost += 1,
                    }
                    *errors.entry(format!("{code:?} {message}")).or_default() += 1;
                }
            }
        }
        seen.p50 = percentile(&mut times, 0.5);
        seen.p99 = percentile(&mut times, 0.99);
        let errors: Vec<_> = errors.iter().map(|(e, n)| format!("{n} x {e}")).collect();
        seen.errors = errors.join("; ");
        seen
    }

    /// Number of calls that were answered.
    pub fn answered(&self) -> usize {
        self.calls - self.refused - self.lost
    }
}

impl Canary {
    /// Starts calling the model `minilm` at this address.
    pub fn start(address: SocketAddr) -> Self {
        let (calls, stop) = (Arc::default(), Arc::default());
        let thread = {
            let (calls, stop) = (Arc::clone(&calls), Arc::clone(&stop));
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread();
                let runtime = { runtime }.enable_all().build().expect("a runtime");
                runtime.block_on(call_until(&stop, &calls, address));
            })
        };
        Self {
            calls,
            stop,
            thread: Some(thread),
        }
    }

    /// Returns what it saw since the last time. A call counts when it has ended.
    pub fn take(&self) -> Seen {
        Seen::of(std::mem::take(&mut *self.calls.lock().expect("samples")))
    }

    /// Stops it, and returns what it saw since the last time.
    pub fn stop(mut self) -> Seen {
        self.join();
        self.take()
    }

    fn join(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the canary");
        }
    }
}

impl Drop for Canary {
    fn drop(&mut self) {
        self.join();
    }
}

async fn call_until(stop: &AtomicBool, calls: &Mutex<Vec<Sample>>, address: SocketAddr) {
    let mut connection = None;
    while !stop.load(Ordering::Relaxed) {
        let started = Instant::now();
        let answer = tokio::time::timeout(PATIENCE, call(&mut connection, address)).await;
        let error = match answer {
            Ok(Ok(())) => None,
            Ok(Err(error)) => {
                // Errors without details are those of a connection that broke.
                if error.details().is_empty() {
                    connection = None;
                }
                Some((error.code(), error.message().to_owned()))
            }
            Err(_) => {
                connection = None;
                Some((Code::Unknown, "no answer".to_owned()))
            }
        };
        calls.lock().expect("samples").push(Sample {
            milliseconds: started.elapsed().as_secs_f64() * 1e3,
            error,
        });
        tokio::time::sleep(PAUSE).await;
    }
}

async fn call(connection: &mut Option<Connection>, address: SocketAddr) -> Result<(), Status> {
    let open = match connection {
        Some(open) => open.clone(),
        None => {
            let opened = Connection::try_open(address).await;
            let opened = opened.ok_or_else(|| Status::unknown("no connection"))?;
            connection.insert(opened).clone()
        }
    };
    let mut request = Request::new(raw("minilm", &[("text", texts(&[TEXT]))]));
    let key = format!("Bearer {KEY}").parse().expect("a header");
    request.metadata_mut().insert("authorization", key);
    open.inference().model_infer(request).await.map(drop)
}
