//! `retry`: further attempts after a transient error, within the budget and the deadline.

use std::time::Duration;

use motet_config::schema::{duration, object};
use motet_config::{
    Diagnostic, Diagnostics, Entry, MapReader, Node, Span, Spanned, list_of, nearest, truncated,
    values,
};
use motet_runtime::deadline::Deadline;
use motet_runtime::metrics::RepeatMetrics;
use motet_runtime::status::{self, code_name};
use serde_json::{Value, json};
use tokio::time::Instant;
use tonic::{Code, Status};

use super::at_most;
use crate::call::{CallRecorder, Layer, RequestOf, ResponseOf, Upstream};
use crate::policy::backoff::Backoff;

/// Shortest and longest pause before a first retry.
const BACKOFFS: (Duration, Duration) = (Duration::from_millis(1), Duration::from_secs(10));

/// `retry`: which failed calls are made again, and how often.
#[derive(Debug, Clone, PartialEq)]
pub struct Retry {
    /// Most retries of one call.
    pub max: u32,
    /// Codes that are retried. `None` when the file gives none: then UNAVAILABLE, ABORTED, and
    /// RESOURCE_EXHAUSTED with a `RetryInfo`.
    pub codes: Option<Vec<Code>>,
    /// Pauses before retries.
    pub backoff: Backoff,
}

impl Retry {
    /// Default of `max`.
    pub const MAX_DEFAULT: u32 = 2;
    /// Largest `max` that a file may ask for.
    pub const MAX_LIMIT: u32 = 10;
    /// Default bound of the pause before the first retry.
    pub const BACKOFF_DEFAULT: Duration = Duration::from_millis(10);
    /// Bound up to which pauses double, or the bound of the first pause when that is longer.
    pub const BACKOFF_MAX: Duration = Duration::from_secs(1);

    /// Codes after which the same call may succeed, and which a file may list.
    pub const CODES: [Code; 6] = [
        Code::Unavailable,
        Code::ResourceExhausted,
        Code::Aborted,
        Code::Internal,
        Code::Unknown,
        Code::DataLoss,
    ];

    /// Returns whether a call that failed with `error` may be made again.
    pub fn is_retryable(&self, error: &Status) -> bool {
        match &self.codes {
            Some(codes) => codes.contains(&error.code()),
            None => match error.code() {
                Code::Unavailable | Code::Aborted => true,
                Code::ResourceExhausted => status::read(error).retry_after.is_some(),
                _ => false,
            },
        }
    }
}

/// Reads `retry: { max, codes, backoff }`. The span is that of the key.
pub(super) fn read(entry: &Entry, diagnostics: &mut Diagnostics) -> Option<Spanned<Retry>> {
    let mut map = MapReader::new(&entry.node, "`retry`", entry.key.span, diagnostics)?;
    let max = map.get("max").map_or(Some(Retry::MAX_DEFAULT), |e| {
        at_most(e, Retry::MAX_LIMIT, "`retry`", diagnostics)
    });
    let codes = match map.get("codes") {
        Some(e) => retry_codes(e, diagnostics).map(Some),
        None => Some(None),
    };
    let first = map
        .get("backoff")
        .map_or(Some(Retry::BACKOFF_DEFAULT), |e| {
            values::duration(e, BACKOFFS.0..=BACKOFFS.1, diagnostics).map(|d| d.value)
        });
    map.finish(diagnostics);
    let first = first?;
    let retry = Retry {
        max: max?,
        codes: codes?,
        backoff: Backoff {
            first,
            max: Retry::BACKOFF_MAX.max(first),
        },
    };
    Some(Spanned::new(retry, entry.key.span))
}

fn retry_codes(entry: &Entry, diagnostics: &mut Diagnostics) -> Option<Vec<Code>> {
    let items = values::list(entry, diagnostics)?;
    if items.is_empty() {
        diagnostics.push(
            Diagnostic::error(entry.node.span, "`retry` after no code at all does nothing")
                .help("leave `codes` out to retry what may pass, or `retry` for none"),
        );
        return None;
    }
    let mut codes = Vec::with_capacity(items.len());
    let mut good = true;
    for item in items {
        match item.as_str().and_then(code) {
            Some(code) if Retry::CODES.contains(&code) => {
                if !codes.contains(&code) {
                    codes.push(code);
                }
                continue;
            }
            Some(code) => diagnostics.push(not_worth_it(code, item.span)),
            None => diagnostics.push(unknown_code(item)),
        }
        good = false;
    }
    good.then_some(codes)
}

fn code(name: &str) -> Option<Code> {
    (0..=16).map(Code::from_i32).find(|c| code_name(*c) == name)
}

fn unknown_code(item: &Node) -> Diagnostic {
    let offered = Retry::CODES.map(code_name);
    let Some(name) = item.as_str() else {
        return Diagnostic::error(item.span, format!("a code is a name, not {}", item.kind()))
            .help(format!("there are {}", list_of(&offered)));
    };
    let diagnostic = Diagnostic::error(
        item.span,
        format!("no gRPC code is named `{}`", truncated(name)),
    );
    match nearest(name, (0..=16).map(|c| code_name(Code::from_i32(c)))) {
        Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
        None => diagnostic.help(format!("a retry can follow {}", list_of(&offered))),
    }
}

fn not_worth_it(code: Code, span: Span) -> Diagnostic {
    let diagnostic = Diagnostic::error(
        span,
        format!("a retry after `{}` cannot help", code_name(code)),
    );
    match code {
        Code::DeadlineExceeded => diagnostic
            .note("the time is over then: retries never go past the deadline")
            .help("to call again when an answer is slow, use `hedge`"),
        Code::Ok => diagnostic.note("it is no error"),
        Code::Cancelled => diagnostic.note("nobody waits for the answer then"),
        _ => diagnostic
            .note("the same call would come to the same")
            .help(format!(
                "a retry can follow {}",
                list_of(&Retry::CODES.map(code_name))
            )),
    }
}

/// Returns the schema of `retry`.
pub(super) fn schema() -> Value {
    object(json!({
        "max": {
            "type": "integer",
            "minimum": 1,
            "maximum": Retry::MAX_LIMIT,
            "default": Retry::MAX_DEFAULT,
        },
        "codes": {
            "type": "array",
            "minItems": 1,
            "items": { "enum": Retry::CODES.map(code_name) },
        },
        "backoff": duration(),
    }))
}

/// Layer that makes a failed call again. The metadata of a failure after retries has the number of
/// `attempts`.
#[derive(Debug)]
pub(crate) struct Retrying<L> {
    /// `None` if the node has no retries.
    pub(super) settings: Option<Retry>,
    pub(super) metrics: RepeatMetrics,
    pub(super) inner: L,
}

impl<L: Layer> Layer for Retrying<L> {
    type Upstream = L::Upstream;

    fn upstream(&self) -> &L::Upstream {
        self.inner.upstream()
    }

    async fn call(
        &self,
        request: RequestOf<L>,
        deadline: Deadline,
        recorder: &CallRecorder,
    ) -> Result<ResponseOf<L>, Status> {
        // Calls without retries add to the budget that all callers share.
        self.upstream().limits().record_call(Instant::now());
        let Some(retry) = &self.settings else {
            return self.inner.call(request, deadline, recorder).await;
        };
        let mut made = 0;
        loop {
            let attempt = self.inner.call(request.clone(), deadline, recorder);
            let error = match attempt.await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let Some(pause) = self.pause(retry, &error, deadline, made) else {
                if made == 0 {
                    return Err(error);
                }
                let attempts = (made + 1).to_string();
                return Err(status::annotate(&error, [("attempts", attempts.as_str())]));
            };
            tracing::debug!(name = self.upstream().label(), ?pause, %error, "a call is retried");
            tokio::time::sleep(pause).await;
            made += 1;
            self.metrics.retried();
            recorder.retried();
        }
    }
}

impl<L: Layer> Retrying<L> {
    /// Returns the pause before the next retry, or `None` if the error is final. `made` is the
    /// number of retries so far.
    fn pause(
        &self,
        retry: &Retry,
        error: &Status,
        deadline: Deadline,
        made: u32,
    ) -> Option<Duration> {
        if made >= retry.max || !retry.is_retryable(error) {
            return None;
        }
        let asked = status::read(error).retry_after;
        let pause = retry.backoff.pause(made, fastrand::f64(), asked);
        let now = Instant::now();
        if pause >= deadline.remaining(now) {
            self.metrics.retry_refused("deadline");
            return None;
        }
        if !self.upstream().limits().take_retry(now) {
            self.metrics.retry_refused("budget");
            return None;
        }
        Some(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_transient_errors_are_retried_by_default() {
        let unasked = Retry {
            max: 1,
            codes: None,
            backoff: Backoff {
                first: Duration::ZERO,
                max: Duration::ZERO,
            },
        };
        let listed = Retry {
            codes: Some(vec![Code::Internal, Code::ResourceExhausted]),
            ..unasked.clone()
        };
        let full = |after| Status::from(status::resource_exhausted("full", after));
        for (error, by_default, when_listed) in [
            (Status::unavailable("away"), true, false),
            (Status::aborted("again"), true, false),
            (full(Some(Duration::from_millis(5))), true, true),
            (full(None), false, true),
            (Status::internal("broke"), false, true),
            (Status::invalid_argument("bad"), false, false),
            (Status::deadline_exceeded("late"), false, false),
        ] {
            assert_eq!(unasked.is_retryable(&error), by_default, "{error}");
            assert_eq!(listed.is_retryable(&error), when_listed, "{error}");
        }
    }
}
