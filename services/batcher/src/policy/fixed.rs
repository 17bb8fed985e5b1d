//! Waits until the oldest row has been queued for a fixed time.

use std::time::Duration;

use super::{BatchingPolicy, Wait, WaitInputs};

/// [`Policy::Fixed`](crate::Policy::Fixed).
#[derive(Debug)]
pub(super) struct Fixed {
    pub(super) window: Duration,
}

impl BatchingPolicy for Fixed {
    fn wait(&self, inputs: &WaitInputs<'_>) -> Option<Wait> {
        let oldest = inputs.rows.iter().map(|row| row.arrived).min();
        Some(Wait {
            until: oldest.unwrap_or(inputs.now).after(self.window),
            expected_rows: 0.0,
        })
    }
}
