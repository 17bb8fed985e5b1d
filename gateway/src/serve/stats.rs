//! Statistics of the calls that reach a pipeline by one surface.

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use motet_proto::inference::StatisticDuration;
use motet_runtime::metrics::CallMetrics;
use tokio::time::{Duration, Instant};
use tonic::{Code, Status};

/// Metrics and totals of the calls by one surface.
#[derive(Debug)]
pub(super) struct SurfaceStats {
    metrics: CallMetrics,
    success: Total,
    fail: Total,
    last_ms: AtomicU64,
}

/// Totals since the pipeline was loaded.
pub(super) struct Totals {
    pub(super) success: StatisticDuration,
    pub(super) fail: StatisticDuration,
    /// End of the last call, in milliseconds since 1970.
    pub(super) last_ms: u64,
}

#[derive(Debug, Default)]
struct Total {
    count: AtomicU64,
    ns: AtomicU64,
}

impl Total {
    fn add(&self, elapsed: Duration) {
        self.count.fetch_add(1, Ordering::Relaxed);
        let ns = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
        self.ns.fetch_add(ns, Ordering::Relaxed);
    }

    fn read(&self) -> StatisticDuration {
        StatisticDuration {
            count: self.count.load(Ordering::Relaxed),
            ns: self.ns.load(Ordering::Relaxed),
        }
    }
}

impl SurfaceStats {
    pub(super) fn new(metrics: CallMetrics) -> Self {
        Self {
            metrics,
            success: Total::default(),
            fail: Total::default(),
            last_ms: AtomicU64::new(0),
        }
    }

    /// Runs one request, from reading its metadata to writing its response, and records its status
    /// and duration. A request that is dropped counts as CANCELLED.
    pub(super) async fn observe<T>(
        &self,
        call: impl Future<Output = Result<T, Status>>,
    ) -> Result<T, Status> {
        let mut guard = Observation {
            stats: self,
            started: Instant::now(),
            code: Code::Cancelled,
        };
        let result = call.await;
        guard.code = result.as_ref().map_or_else(Status::code, |_| Code::Ok);
        result
    }

    pub(super) fn totals(&self) -> Totals {
        Totals {
            success: self.success.read(),
            fail: self.fail.read(),
            last_ms: self.last_ms.load(Ordering::Relaxed),
        }
    }
}

struct Observation<'a> {
    stats: &'a SurfaceStats,
    started: Instant,
    code: Code,
}

impl Drop for Observation<'_> {
    fn drop(&mut self) {
        let elapsed = self.started.elapsed();
        let total = if self.code == Code::Ok {
            &self.stats.success
        } else {
            &self.stats.fail
        };
        total.add(elapsed);
        let now_ms = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX));
        self.stats.last_ms.store(now_ms, Ordering::Relaxed);
        self.stats.metrics.record(self.code, elapsed);
    }
}

#[cfg(test)]
mod tests {
    use motet_runtime::metrics::Metrics;

    use super::*;

    #[tokio::test]
    async fn calls_are_counted_by_outcome() {
        let metrics = Metrics::new("test").unwrap();
        let stats = SurfaceStats::new(metrics.pipeline("p", "typed"));
        stats.observe(async { Ok(()) }).await.unwrap();
        let failed = stats.observe(async { Err::<(), _>(Status::internal("no")) });
        failed.await.unwrap_err();
        drop(stats.observe(std::future::pending::<Result<(), Status>>()));
        let abandoned = stats.observe(std::future::pending::<Result<(), Status>>());
        let _ = tokio::time::timeout(Duration::ZERO, abandoned).await;
        let totals = stats.totals();
        assert_eq!(totals.success.count, 1);
        // One failed and one was dropped; one that was never polled is not a call.
        assert_eq!(totals.fail.count, 2);
        assert!(totals.last_ms > 0);
    }
}
