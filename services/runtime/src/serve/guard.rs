//! The guard of an HTTP/2 connection: watches its frames for a client that resets call after call.

use std::io::IoSlice;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::Notify;

use super::frames::{Frames, GoAway, HEADERS, RST_STREAM, go_away};
use super::resets::{Resets, Verdict};
use crate::metrics::ServerMetrics;

/// Watches the frames of one connection, in both directions: a client can also make the server
/// reset its calls, by frames that break the rules.
#[derive(Debug)]
pub(super) struct Guard {
    received: Frames,
    sent: Frames,
    /// Resets that were sent since the last read.
    sent_resets: usize,
    last_stream: u32,
    resets: Resets,
    /// `true` until bytes without resets have come, after bytes with resets, and while too many
    /// before are held against the client.
    is_wary: bool,
    since: Instant,
    ended: Arc<Notify>,
    metrics: Option<ServerMetrics>,
}

impl Guard {
    /// A guard that lets these resets pass.
    pub(super) fn new(resets: Resets, metrics: Option<ServerMetrics>) -> Self {
        Self {
            received: Frames::of_client(),
            sent: Frames::default(),
            sent_resets: 0,
            last_stream: 0,
            resets,
            is_wary: true,
            since: Instant::now(),
            ended: Arc::default(),
            metrics,
        }
    }

    /// Told when the connection is to end.
    pub(super) fn ended(&self) -> Arc<Notify> {
        self.ended.clone()
    }

    /// Watches what the client sent.
    pub(super) fn received(&mut self, bytes: &[u8]) -> Verdict {
        let mut resets = std::mem::take(&mut self.sent_resets);
        let last_stream = &mut self.last_stream;
        self.received.pass(bytes, |head| match head.kind {
            HEADERS => *last_stream = head.stream.max(*last_stream),
            RST_STREAM => resets += 1,
            _ => {}
        });
        if resets == 0 && !self.resets.is_slow() {
            self.is_wary = false;
            return Verdict::Read;
        }
        let verdict = self.resets.count(self.since.elapsed(), resets);
        self.is_wary = resets > 0 || self.resets.is_slow();
        match (verdict, &self.metrics) {
            (Verdict::Read, _) | (_, None) => {}
            (Verdict::Pause(_), Some(metrics)) => metrics.slowed(),
            (Verdict::End, Some(metrics)) => metrics.cut("resets"),
        }
        if verdict == Verdict::End {
            self.ended.notify_one();
        }
        verdict
    }

    /// Returns whether the client resets calls, now or too many lately: it is then read little by
    /// little.
    pub(super) fn is_wary(&self) -> bool {
        self.is_wary
    }

    /// Watches the first `written` bytes of what the server sends.
    pub(super) fn sent(&mut self, parts: &[IoSlice<'_>], mut written: usize) {
        for part in parts {
            let bytes = &part[..written.min(part.len())];
            written -= bytes.len();
            let resets = &mut self.sent_resets;
            self.sent.pass(bytes, |head| {
                *resets += usize::from(head.kind == RST_STREAM);
            });
        }
    }

    /// Returns the frame that ends the connection; `None` where another one is under way, which the
    /// client does not take.
    pub(super) fn last_words(&self) -> Option<Vec<u8>> {
        let code = GoAway::EnhanceYourCalm;
        let frame = || go_away(self.last_stream, code, "too many resets");
        self.sent.is_between().then(frame)
    }
}
