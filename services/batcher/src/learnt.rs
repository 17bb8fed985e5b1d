//! Everything that a scheduler has learnt from traffic and batches.

use crate::cost::CostModel;
use crate::forecast::Forecast;
use crate::memory::MemoryCap;
use crate::utilization::{Rate, Utilization};

/// Weight of the latest sample in a running mean.
const MEAN_RATE: f64 = 0.06;

/// Learnt costs, arrivals and load.
#[derive(Debug, Default)]
pub(crate) struct Learnt {
    /// Time of a batch.
    pub(crate) cost: CostModel,
    /// Arrivals after decision points.
    pub(crate) forecast: Forecast,
    /// Interactive calls per second; those of one request count once.
    pub(crate) calls: Rate,
    /// Share of the executors' time that batches take.
    pub(crate) utilization: Utilization,
    /// Limit on the tokens of a batch, where memory ran out.
    pub(crate) memory: MemoryCap,
    /// Tokens of a row.
    pub(crate) row_tokens: Mean,
    /// Groups of rows.
    pub(crate) groups: Groups,
    /// Rows of a batch.
    pub(crate) batch_rows: Mean,
    /// Rows of the batch that ended last, less the rows that have arrived since: the most that can
    /// still come back from its callers.
    pub(crate) outstanding: usize,
}

impl Learnt {
    /// Returns the most tokens of a batch, given the configured limit: less where memory ran out,
    /// or where a longer batch would save next to nothing.
    pub(crate) fn batch_tokens_max(&self, configured: u64) -> u64 {
        let fits = self.memory.tokens(configured);
        fits.min(self.cost.useful_batch_tokens())
    }
}

/// Groups of the calls that come one after another.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Groups {
    /// Group of the last row of the last call.
    last: Option<u64>,
    /// Share of the calls that begin with the group in which the one before ended.
    same: f64,
}

impl Default for Groups {
    fn default() -> Self {
        Groups {
            last: None,
            same: 1.0,
        }
    }
}

impl Groups {
    /// Learns from a call, by the groups of its first row and of its last.
    pub(crate) fn learn(&mut self, first: u64, last: u64) {
        if let Some(before) = self.last.replace(last) {
            let sample = if before == first { 1.0 } else { 0.0 };
            self.same += MEAN_RATE * (sample - self.same);
        }
    }

    /// Returns the probability that a row which arrives may share a batch with one that waits: of
    /// independent calls, that two of them have the same group.
    pub(crate) fn same_share(self) -> f64 {
        self.same
    }
}

/// A running mean of recent samples; the first sample sets it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Mean(f64);

impl Mean {
    /// Moves the mean towards a sample.
    pub(crate) fn learn(&mut self, sample: f64) {
        self.0 = if self.0 == 0.0 {
            sample
        } else {
            self.0 + MEAN_RATE * (sample - self.0)
        };
    }

    /// The mean; zero before the first sample.
    pub(crate) fn value(self) -> f64 {
        self.0
    }
}
