//! The handle that records the certificates in use.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Gauge};

/// Instruments of certificates.
#[derive(Clone, Debug)]
pub(super) struct TlsInstruments {
    pub(super) expiry: Gauge<u64>,
    pub(super) files_read: Counter<u64>,
}

/// Records one certificate in use: when it expires, and when its files change.
#[derive(Clone, Debug)]
pub struct TlsMetrics {
    instruments: TlsInstruments,
    certificate: Arc<str>,
}

impl TlsMetrics {
    pub(super) fn new(instruments: &TlsInstruments, certificate: &str) -> Self {
        Self {
            instruments: instruments.clone(),
            certificate: certificate.into(),
        }
    }

    /// Records when the certificate expires.
    pub fn expires(&self, at: SystemTime) {
        let seconds = at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        self.instruments.expiry.record(seconds, &[self.label()]);
    }

    /// Counts a change of the files; `is_used` is `false` if they cannot be used.
    pub fn read_again(&self, is_used: bool) {
        let result = KeyValue::new("result", if is_used { "ok" } else { "failed" });
        self.instruments.files_read.add(1, &[self.label(), result]);
    }

    fn label(&self) -> KeyValue {
        KeyValue::new("certificate", self.certificate.clone())
    }
}
