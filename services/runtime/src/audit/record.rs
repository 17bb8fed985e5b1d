//! The record of a call, to which is added what becomes known while it runs.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use serde_json::json;
use tonic::Code;

use crate::auth::Principal;
use crate::status::code_name;

/// Most names of one call that are kept; a stream may name many.
const TARGETS_MAX: usize = 16;

/// A call as the audit tells of it. Whoever learns something of the call adds it. Clones share it.
#[derive(Clone, Debug)]
pub struct CallRecord(Arc<Mutex<Known>>);

#[derive(Debug)]
struct Known {
    method: String,
    peer: Option<SocketAddr>,
    listener: Option<SocketAddr>,
    principal: Option<Principal>,
    targets: Vec<String>,
    requests: u64,
}

/// Moment of a call that a line is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// A call of a method that changes the server, or a stream, before it runs.
    Begin,
    /// A call that has its result.
    Call {
        /// The result.
        code: Code,
        /// Its time.
        took: Duration,
    },
}

impl CallRecord {
    pub(super) fn new(
        method: &str,
        peer: Option<SocketAddr>,
        listener: Option<SocketAddr>,
    ) -> Self {
        Self(Arc::new(Mutex::new(Known {
            method: method.to_owned(),
            peer,
            listener,
            principal: None,
            targets: Vec::new(),
            requests: 0,
        })))
    }

    /// Sets who calls.
    pub(crate) fn set_principal(&self, principal: &Principal) {
        self.known().principal = Some(principal.clone());
    }

    /// Adds a pipeline or model that a request of the call names.
    pub fn add_target(&self, name: &str) {
        let mut known = self.known();
        known.requests += 1;
        let is_new = !known.targets.iter().any(|target| target == name);
        if is_new && known.targets.len() < TARGETS_MAX {
            known.targets.push(name.to_owned());
        }
    }

    /// Returns the line of an event, with the line's end.
    pub(super) fn line(&self, event: Event, trace_id: Option<&str>) -> Vec<u8> {
        let known = self.known();
        let principal = known.principal.as_ref();
        let mut line = json!({
            "time": humantime::format_rfc3339_millis(SystemTime::now()).to_string(),
            "event": match event { Event::Begin => "begin", Event::Call { .. } => "call" },
            "principal": principal.map(Principal::name),
            "credential": principal.map(|principal| principal.credential().word()),
            "peer": known.peer.map(|peer| peer.to_string()),
            "listener": known.listener.map(|listener| listener.to_string()),
            "method": known.method,
            "targets": known.targets,
            "requests": known.requests,
            "trace_id": trace_id,
        });
        if let Event::Call { code, took } = event {
            line["code"] = code_name(code).into();
            line["ms"] = (took.as_micros() as f64 / 1e3).into();
        }
        let mut line = line.to_string().into_bytes();
        line.push(b'\n');
        line
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_who_did_what_with_what_result() {
        let peer = "10.0.0.7:1".parse().expect("an address");
        let record = CallRecord::new("/motet.pipeline.Rag/Run", Some(peer), None);
        record.add_target("rag");
        record.add_target("rag");
        record.add_target("a \"quoted\"\nname");
        let took = Duration::from_micros(1500);
        let line = record.line(
            Event::Call {
                code: Code::NotFound,
                took,
            },
            Some("ab"),
        );
        assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
        let line: serde_json::Value = serde_json::from_slice(&line).expect("JSON");
        assert_eq!(line["event"], "call");
        assert_eq!(line["method"], "/motet.pipeline.Rag/Run");
        assert_eq!(line["targets"], json!(["rag", "a \"quoted\"\nname"]));
        assert_eq!(
            (&line["requests"], &line["code"]),
            (&json!(3), &json!("NOT_FOUND"))
        );
        assert_eq!(
            (&line["ms"], &line["trace_id"]),
            (&json!(1.5), &json!("ab"))
        );
        assert_eq!(
            (&line["peer"], &line["principal"]),
            (&json!("10.0.0.7:1"), &json!(null))
        );
        let begin = record.line(Event::Begin, None);
        let begin: serde_json::Value = serde_json::from_slice(&begin).expect("JSON");
        assert_eq!(
            (&begin["event"], begin.get("code")),
            (&json!("begin"), None)
        );
    }
}
