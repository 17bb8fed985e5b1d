//! Errors of another server, as errors of what a node calls.

use std::time::Duration;

use motet_proto::wire::REFUSED;
use motet_runtime::config::ErrorWords;
use motet_runtime::connect::words;
use motet_runtime::status::{self, Oversized, Reason};
use tonic::Status;

use super::transport::connection_failure;

/// The callee of an error, as callers may know it.
#[derive(Debug, Clone, Copy)]
pub struct UpstreamInfo<'a> {
    /// `model` or `endpoint`, which is also the key of its name in an error.
    pub kind: &'static str,
    /// Its name; `None` for an endpoint that a pipeline gives by its address.
    pub name: Option<&'a str>,
    /// The model or the method that is called there, for messages.
    pub subject: &'a str,
    /// The most bytes of a message, in or out.
    pub message_bytes_max: usize,
    /// Visibility of the words of its errors.
    pub errors: ErrorWords,
}

impl UpstreamInfo<'_> {
    /// An error of the server, or of the way to it. It names neither addresses nor what else is
    /// not the callers' to know; see the page of errors.
    pub(crate) fn error(&self, error: &Status) -> Status {
        let public = self.public(error);
        self.concealed(public)
    }

    /// `error` without its words, if those are hidden.
    fn concealed(&self, error: Status) -> Status {
        match self.errors {
            ErrorWords::Show => error,
            ErrorWords::Hide => {
                let callee = self.subject;
                tracing::info!(callee, %error, "an error whose words callers do not get");
                status::hidden(&error)
            }
        }
    }

    /// The error of a call that is not made, since it was not reached before.
    pub(super) fn circuit_open(&self, left: Duration) -> Status {
        let error = status::unavailable(format!(
            "{} was not reached several times in a row, and is not called again for {} ms",
            self.shown(),
            left.as_millis()
        ));
        let error = error.reason(Reason::CircuitOpen).retry_after(left);
        self.concealed(self.named(&error.into()))
    }

    /// The name with its kind, for messages.
    fn shown(&self) -> String {
        match self.name {
            Some(name) => format!("{} {name}", self.kind),
            None => format!("its {}", self.kind),
        }
    }

    fn public(&self, error: &Status) -> Status {
        if let Some(what) = connection_failure(error) {
            let error = status::unavailable(format!("{} {what}", self.shown()));
            return self.named(&error.into());
        }
        if let Some(found) = status::oversized(error) {
            return self.named(&self.oversized(found));
        }
        if error.message().starts_with(REFUSED) && error.details().is_empty() {
            let subject = self.subject;
            let what = format!("the answer of {subject}: {}", error.message());
            let error = status::internal(what).reason(Reason::BadAnswer);
            return self.named(&error.into());
        }
        self.named(&status::from_upstream(error))
    }

    /// Adds the name, unless the server named itself.
    fn named(&self, error: &Status) -> Status {
        match self.name {
            Some(name) if !status::read(error).metadata.contains_key(self.kind) => {
                status::annotate(error, [(self.kind, name)])
            }
            _ => error.clone(),
        }
    }

    /// A message over a limit. A message from here has at most this process's limit, so an answer
    /// is what is over that; another limit is the server's own.
    fn oversized(&self, found: Oversized) -> Status {
        let Oversized { bytes, limit, .. } = found;
        let subject = self.subject;
        let what = match (limit == self.message_bytes_max, found.is_outgoing) {
            (true, false) => format!("the answer of {subject} has {bytes} bytes"),
            (true, true) => format!("the request to {subject} has {bytes} bytes"),
            (false, _) => format!("{subject} refused a message of {bytes} bytes"),
        };
        let what = format!("{what}, the limit is {limit} bytes");
        status::message_too_large(what, limit.to_string()).into()
    }
}

/// The error of a server as whoever runs this process gets it, with the address.
pub(crate) fn for_operator(error: &Status, kind: &str, name: &str, address: &str) -> Status {
    let at = match address == name {
        true => format!("{kind} {address}"),
        false => format!("{kind} {name} at {address}"),
    };
    match connection_failure(error) {
        Some(what) => status::unavailable(match words(error) {
            Some(why) => format!("{at} {what}: {why}"),
            None => format!("{at} {what}"),
        })
        .with(kind, name)
        .into(),
        None => status::annotate(error, [(kind, name)]),
    }
}
