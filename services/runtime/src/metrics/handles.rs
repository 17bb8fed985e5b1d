//! Handles that record: one for each pipeline, node, model and server, made once and kept.
//!
//! A handle holds its label sets or its series ready, so recording allocates nothing: per
//! instrument it does one atomic addition, at most after a look-up of the labels.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Gauge, UpDownCounter};
use tonic::Code;

use super::live::{CounterSeries, HistogramSeries, LiveCounter, LiveHistogram};
use crate::status::code_name;

/// Number of gRPC codes; they are 0 to 16.
const CODES: usize = 17;

/// The three instruments that every kind of call has. Their last label is the code.
#[derive(Clone, Debug)]
pub(super) struct CallInstruments {
    pub(super) requests: LiveCounter,
    pub(super) errors: LiveCounter,
    pub(super) duration: LiveHistogram,
}

/// Counts and times calls under fixed labels. The series are there from the first call of each code
/// on, and go with the last clone.
#[derive(Clone, Debug)]
pub struct CallMetrics(Arc<CallHandle>);

#[derive(Debug)]
struct CallHandle {
    instruments: CallInstruments,
    labels: Vec<String>,
    by_code: [OnceLock<Box<CodeSeries>>; CODES],
}

/// Series of the calls that ended with one code.
#[derive(Debug)]
struct CodeSeries {
    requests: CounterSeries,
    /// `None` for those that succeeded.
    errors: Option<CounterSeries>,
    duration: HistogramSeries,
}

impl CallMetrics {
    pub(super) fn new(instruments: &CallInstruments, labels: &[&str]) -> Self {
        Self(Arc::new(CallHandle {
            instruments: instruments.clone(),
            labels: labels.iter().map(|label| (*label).to_owned()).collect(),
            by_code: Default::default(),
        }))
    }

    /// Records a call that ended with `code` after `elapsed`.
    pub fn record(&self, code: Code, elapsed: Duration) {
        let handle = &*self.0;
        let series = handle.by_code[code as usize].get_or_init(|| handle.series(code).into());
        series.requests.add(1);
        if let Some(errors) = &series.errors {
            errors.add(1);
        }
        series.duration.record(elapsed.as_secs_f64());
    }
}

impl CallHandle {
    fn series(&self, code: Code) -> CodeSeries {
        let fixed = self.labels.iter().map(String::as_str);
        let labels: Vec<&str> = fixed.chain([code_name(code)]).collect();
        let errors = (code != Code::Ok).then(|| self.instruments.errors.series(&labels));
        CodeSeries {
            requests: self.instruments.requests.series(&labels),
            errors,
            duration: self.instruments.duration.series(&labels),
        }
    }
}

/// Counts the runs of one shadow arm.
#[derive(Clone, Debug)]
pub struct ShadowMetrics(Arc<CounterByWord>);

impl ShadowMetrics {
    pub(super) fn new(runs: &LiveCounter, labels: [&str; 3]) -> Self {
        Self(Arc::new(CounterByWord::new(runs, &labels)))
    }

    /// Counts a run; `outcome` is a constant such as `same`.
    pub fn record(&self, outcome: &'static str) {
        self.0.add(outcome, 1);
    }
}

/// A counter under fixed labels and a last one whose values are few constants. The series are there
/// from the first count of each value on.
#[derive(Debug)]
pub(super) struct CounterByWord {
    counter: LiveCounter,
    labels: Vec<String>,
    by_word: Mutex<HashMap<&'static str, CounterSeries>>,
}

impl CounterByWord {
    pub(super) fn new(counter: &LiveCounter, labels: &[&str]) -> Self {
        Self {
            counter: counter.clone(),
            labels: labels.iter().map(|label| (*label).to_owned()).collect(),
            by_word: Mutex::default(),
        }
    }

    pub(super) fn add(&self, word: &'static str, count: u64) {
        let mut by_word = self.by_word.lock().unwrap_or_else(PoisonError::into_inner);
        let series = by_word.entry(word).or_insert_with(|| {
            let fixed = self.labels.iter().map(String::as_str);
            self.counter
                .series(&fixed.chain([word]).collect::<Vec<_>>())
        });
        series.add(count);
    }
}

/// Instruments of a gRPC port.
#[derive(Debug)]
pub(super) struct ServerInstruments {
    pub(super) in_flight: UpDownCounter<i64>,
    pub(super) streams: UpDownCounter<i64>,
    pub(super) auth_refused: Counter<u64>,
    pub(super) auth_reload_errors: Counter<u64>,
    pub(super) audit_lost: Counter<u64>,
    pub(super) refused: Counter<u64>,
    pub(super) cut: Counter<u64>,
    pub(super) slowed: Counter<u64>,
    pub(super) connections: UpDownCounter<i64>,
    pub(super) panics: Counter<u64>,
    pub(super) bytes_in_flight: Arc<AtomicUsize>,
    pub(super) handshakes: Counter<u64>,
    pub(super) insecure: Gauge<u64>,
}

/// Records events of a gRPC port outside of its handlers. Clones share the instruments.
#[derive(Clone, Debug)]
pub struct ServerMetrics(pub(super) Arc<ServerInstruments>);

impl ServerMetrics {
    /// Changes the number of requests in flight.
    pub fn in_flight(&self, change: i64) {
        self.0.in_flight.add(change, &[]);
    }

    /// Changes the number of open streams of a kind, a constant such as `watches`.
    pub fn streams(&self, kind: &'static str, change: i64) {
        self.0.streams.add(change, &[KeyValue::new("kind", kind)]);
    }

    /// Counts a call whose credentials were not accepted; `reason` is a constant.
    pub fn refused_credentials(&self, reason: &'static str) {
        self.0
            .auth_refused
            .add(1, &[KeyValue::new("reason", reason)]);
    }

    /// Counts a version of a file of credentials that could not be used.
    pub fn auth_reload_failed(&self, file: &'static str) {
        self.0
            .auth_reload_errors
            .add(1, &[KeyValue::new("file", file)]);
    }

    /// Counts lines of the audit that could not be written.
    pub fn audit_lost(&self, lines: u64) {
        self.0.audit_lost.add(lines, &[]);
    }

    /// Counts a call that was refused; `reason` is a constant such as `concurrency`.
    pub fn refused(&self, reason: &'static str) {
        self.0.refused.add(1, &[KeyValue::new("reason", reason)]);
    }

    /// Changes the number of open connections.
    pub(crate) fn connections(&self, change: i64) {
        self.0.connections.add(change, &[]);
    }

    /// Counts a pause in reading a connection.
    pub(crate) fn slowed(&self) {
        self.0.slowed.add(1, &[]);
    }

    /// Counts a call or connection that the server ended; `reason` is a constant.
    pub(crate) fn cut(&self, reason: &'static str) {
        self.0.cut.add(1, &[KeyValue::new("reason", reason)]);
    }

    /// Counts a TLS handshake; `result` is a constant such as `ok`.
    pub(crate) fn handshake(&self, result: &'static str) {
        self.0.handshakes.add(1, &[KeyValue::new("result", result)]);
    }

    /// Records whether a port is open to strangers; `port` is a constant such as `grpc`.
    pub fn insecure(&self, port: &'static str, is_insecure: bool) {
        let port = [KeyValue::new("port", port)];
        self.0.insecure.record(u64::from(is_insecure), &port);
    }

    /// Sets the bytes in flight.
    pub(crate) fn set_bytes_in_flight(&self, bytes: usize) {
        self.0.bytes_in_flight.store(bytes, Ordering::Relaxed);
    }

    /// Counts a panic of `task`, a constant such as `handler`.
    pub fn panicked(&self, task: &'static str) {
        self.0.panics.add(1, &[KeyValue::new("task", task)]);
    }
}
