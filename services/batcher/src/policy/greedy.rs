//! Never waits: runs the queued rows as soon as an executor is free.

use super::{BatchingPolicy, Wait, WaitInputs};

/// [`Policy::Greedy`](crate::Policy::Greedy).
#[derive(Debug)]
pub(super) struct Greedy;

impl BatchingPolicy for Greedy {
    fn wait(&self, _: &WaitInputs<'_>) -> Option<Wait> {
        None
    }
}
