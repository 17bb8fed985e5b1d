//! Refusals of credentials: told apart for the operator, one and the same for the caller.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use tonic::Status;

use crate::status::{Reason, StatusBuilder};

/// Reason for which credentials are not accepted. Each is a label of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// There are none.
    Missing,
    /// The header `authorization` is not `Bearer` and a value.
    Malformed,
    /// No entry of the keys file has this key.
    UnknownKey,
    /// The key was right until it expired.
    ExpiredKey,
    /// No entry of the keys file has a name of the client's certificate.
    UnknownCertificate,
    /// The token is no JSON web token, or signed by none of the keys.
    BadToken,
    /// The token was right until it expired.
    ExpiredToken,
    /// The token is for another audience, of another issuer, or not valid yet.
    WrongToken,
}

impl Refusal {
    /// Returns the label in metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Malformed => "malformed",
            Self::UnknownKey => "unknown_key",
            Self::ExpiredKey => "expired_key",
            Self::UnknownCertificate => "unknown_certificate",
            Self::BadToken => "bad_token",
            Self::ExpiredToken => "expired_token",
            Self::WrongToken => "wrong_token",
        }
    }

    /// Returns the status for the caller, which does not say which of them it is.
    pub fn status() -> Status {
        let text = "credentials are missing or not accepted: send `authorization: Bearer KEY`";
        StatusBuilder::new(Reason::NotAuthenticated, text).into()
    }
}

/// Logs refusals, at most one line a second: whoever sends a thousand wrong keys does not fill the
/// log.
#[derive(Debug, Default)]
pub(super) struct RefusalLog(Mutex<Recent>);

#[derive(Debug, Default)]
struct Recent {
    logged: Option<Instant>,
    left_out: u64,
}

/// Time between two lines.
const LOG_INTERVAL: Duration = Duration::from_secs(1);

impl RefusalLog {
    /// Takes note of a refusal. `name` is that of the entry whose key expired.
    pub(super) fn note(&self, refusal: Refusal, peer: Option<SocketAddr>, name: Option<&str>) {
        let mut recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if recent
            .logged
            .is_some_and(|logged| now - logged < LOG_INTERVAL)
        {
            recent.left_out += 1;
            return;
        }
        let left_out = std::mem::take(&mut recent.left_out);
        recent.logged = Some(now);
        drop(recent);
        let peer = peer.map(|peer| peer.to_string());
        let reason = refusal.label();
        tracing::warn!(
            reason,
            peer,
            name,
            left_out,
            "credentials were not accepted"
        );
    }
}
