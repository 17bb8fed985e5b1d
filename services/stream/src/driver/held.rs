//! A message in flight.

use std::sync::Arc;

use motet_rows::{Answer, Code, Failure, Row};

use crate::calls::CallContext;
use crate::core::Letter;
use crate::message::{Delivery, Parcel};
use crate::reading::Prepared;
use crate::writing::Writer;

/// A message in flight, and what has come of it so far.
pub(super) struct Held {
    pub(super) delivery: Arc<Delivery>,
    /// Handle that acknowledges the last delivery.
    pub(super) receipt: String,
    pub(super) row: Result<Row, Failure>,
    pub(super) answer: Option<Answer>,
    /// The last failure.
    pub(super) failure: Option<Failure>,
    key: Option<String>,
}

impl Held {
    pub(super) fn new(prepared: Prepared) -> Self {
        Self {
            receipt: prepared.delivery.receipt.clone(),
            delivery: Arc::new(prepared.delivery),
            row: prepared.row,
            answer: None,
            failure: None,
            key: prepared.key,
        }
    }

    /// Returns where its call comes from.
    pub(super) fn context(&self) -> CallContext {
        let header = |name| self.delivery.message.header(name).map(str::to_owned);
        CallContext {
            traceparent: header("traceparent"),
            tracestate: header("tracestate"),
        }
    }

    /// Returns what is stored.
    pub(super) fn parcel(&self, writer: &Writer, letter: Letter, attempts: u32) -> Parcel {
        match (letter, &self.answer) {
            (Letter::Answer, Some(answer)) => {
                writer.answer(&self.delivery, self.key.as_deref(), answer)
            }
            _ => {
                let failure = self.failure.clone().unwrap_or_else(|| {
                    let reason = "it was delivered too often, and nobody could end it: each time \
                                  the process that had it went away";
                    Failure::new(Code::Aborted, reason)
                });
                writer.dead(&self.delivery, &failure.after(attempts))
            }
        }
    }

    /// Takes note that its letter is refused. Returns whether that was its answer.
    pub(super) fn refuse(&mut self, reason: &str) -> bool {
        if self.answer.take().is_none() {
            return false;
        }
        let reason = format!("the answer cannot be stored: {reason}");
        self.failure = Some(Failure::new(Code::ResourceExhausted, reason));
        true
    }
}
