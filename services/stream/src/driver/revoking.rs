//! Partitions that are given up.

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::Loop;
use crate::broker::{Revocation, Sink, Source};
use crate::calls::Calls;

/// Partitions that are being given up.
#[derive(Debug)]
pub(super) struct Revoking {
    partitions: Vec<u32>,
    /// The time until which what is under way may end.
    pub(super) until: Instant,
    done: Option<oneshot::Sender<()>>,
}

impl<B: Source + Sink, C: Calls> Loop<B, C> {
    /// Begins to give partitions up.
    pub(super) fn revoke(&mut self, revocation: Revocation) {
        for partition in &revocation.partitions {
            self.core.revoke(*partition);
        }
        self.revoking.push(Revoking {
            partitions: revocation.partitions,
            until: Instant::now() + revocation.within,
            done: revocation.done,
        });
        // Messages are given back here, before the partitions are given up.
        self.act();
    }

    /// Gives partitions up of which the stream holds nothing, or whose time is over.
    pub(super) fn give_up(&mut self) {
        let now = Instant::now();
        for mut revoking in std::mem::take(&mut self.revoking) {
            let mut held = revoking.partitions.iter();
            if now < revoking.until && held.any(|partition| self.core.holds(*partition)) {
                self.revoking.push(revoking);
                continue;
            }
            for partition in &revoking.partitions {
                for id in self.core.abandon(*partition) {
                    self.held.remove(&id);
                }
            }
            if let Some(done) = revoking.done.take() {
                // Whoever does not wait any more needs no answer.
                let _ = done.send(());
            }
        }
    }
}
