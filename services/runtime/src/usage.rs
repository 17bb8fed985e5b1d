//! Usage of a request: what it took of the server, for its receipt and for the share of its flow.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// Most units of cost of one request, tokens apart.
const UNITS_MAX: usize = 16;
/// Most bytes of the name of a unit.
const UNIT_BYTES_MAX: usize = 64;

/// Usage of one request so far. Clones share it. The server puts one into the extensions of every
/// request; [`answer_each`](crate::request_stream::answer_each) makes one for every request of a
/// stream.
///
/// The server itself adds the time that the request's future was polled and the bytes of its
/// messages; whoever computes for the request elsewhere adds what that took.
///
/// ```
/// use std::time::Duration;
/// use motet_runtime::usage::Usage;
///
/// let usage = Usage::default();
/// usage.add_pool(Duration::from_millis(3));
/// usage.add_tokens(128);
/// usage.add_cost("images", 2);
/// usage.add_cost("images", 1);
/// let total = usage.total();
/// assert_eq!((total.pool, total.tokens), (Duration::from_millis(3), 128));
/// assert_eq!(usage.costs(), [("images".to_owned(), 3)]);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Usage(Arc<Counters>);

#[derive(Debug, Default)]
struct Counters {
    runtime: AtomicU64,
    /// The part of `runtime` that was charged to the request's flow.
    charged: AtomicU64,
    /// Start of the poll in progress, after [`EPOCH`]; 0 outside of a poll.
    polled_since: AtomicU64,
    pool: AtomicU64,
    tokens: AtomicU64,
    bytes_received: AtomicU64,
    bytes_sent: AtomicU64,
    /// Costs in other units than tokens, in the order in which they came.
    costs: Mutex<Vec<(String, u64)>>,
}

tokio::task_local! {
    static CURRENT: Usage;
}

/// The moment from which polls are timed.
static EPOCH: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Sums of a request's usage at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UsageTotal {
    /// Time on threads of the async runtime, with the poll in progress.
    pub runtime: Duration,
    /// Time on threads that compute.
    pub pool: Duration,
    /// Tokens that models computed.
    pub tokens: u64,
    /// Bytes of the request's messages, as they came over the wire.
    pub bytes_received: u64,
    /// Bytes of the answer's messages, as they go over the wire.
    pub bytes_sent: u64,
}

impl Usage {
    /// Returns the usage of the request for which this thread runs a [step](Self::step).
    pub fn current() -> Option<Self> {
        CURRENT.try_with(Self::clone).ok()
    }

    /// Returns the usage of a request with these extensions; `None` if it did not come through a
    /// server, as calls within the process do not.
    pub fn of(extensions: &http::Extensions) -> Option<&Self> {
        extensions.get()
    }

    /// Adds time on a thread that computes.
    pub fn add_pool(&self, time: Duration) {
        add(&self.0.pool, nanos(time));
    }

    /// Adds tokens that a model computed.
    pub fn add_tokens(&self, tokens: u64) {
        add(&self.0.tokens, tokens);
    }

    /// Adds the cost of rows that a model computed, in another unit than tokens. Units beyond
    /// the 16th are not counted: a model service in another process names what it likes.
    pub fn add_cost(&self, unit: &str, cost: u64) {
        let mut costs = self.0.costs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, sum)) = costs.iter_mut().find(|(known, _)| known == unit) {
            *sum = sum.saturating_add(cost);
        } else if costs.len() < UNITS_MAX && unit.len() <= UNIT_BYTES_MAX {
            costs.push((unit.to_owned(), cost));
        }
    }

    /// Returns the sums of costs in other units than tokens.
    pub fn costs(&self) -> Vec<(String, u64)> {
        let costs = self.0.costs.lock();
        costs.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Adds bytes of the request.
    pub fn add_received(&self, bytes: usize) {
        add(&self.0.bytes_received, bytes as u64);
    }

    /// Adds bytes of the answer.
    pub fn add_sent(&self, bytes: usize) {
        add(&self.0.bytes_sent, bytes as u64);
    }

    /// Returns the sums so far.
    pub fn total(&self) -> UsageTotal {
        let counters = &*self.0;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let polling = match read(&counters.polled_since) {
            0 => 0,
            since => now().saturating_sub(since),
        };
        UsageTotal {
            runtime: Duration::from_nanos(read(&counters.runtime).saturating_add(polling)),
            pool: Duration::from_nanos(read(&counters.pool)),
            tokens: read(&counters.tokens),
            bytes_received: read(&counters.bytes_received),
            bytes_sent: read(&counters.bytes_sent),
        }
    }

    /// Returns the time on threads of the async runtime that was not charged yet, and charges it:
    /// who schedules by what a request used counts it once, beside what it measures itself.
    ///
    /// ```
    /// use std::time::Duration;
    /// use motet_runtime::usage::Usage;
    ///
    /// let usage = Usage::default();
    /// usage.step(|| std::thread::sleep(Duration::from_millis(1)));
    /// assert!(usage.charge_runtime() >= Duration::from_millis(1));
    /// assert_eq!(usage.charge_runtime(), Duration::ZERO);
    /// ```
    pub fn charge_runtime(&self) -> Duration {
        let runtime = nanos(self.total().runtime);
        let charged = self.0.charged.fetch_max(runtime, Ordering::Relaxed);
        Duration::from_nanos(runtime.saturating_sub(charged))
    }

    /// Runs a step of the request on this thread as the [current](Self::current) one and adds its
    /// time.
    pub fn step<T>(&self, step: impl FnOnce() -> T) -> T {
        let counters = &*self.0;
        let start = now();
        let outer = counters.polled_since.swap(start, Ordering::Relaxed);
        let done = CURRENT.sync_scope(self.clone(), step);
        counters.polled_since.store(outer, Ordering::Relaxed);
        // A step inside another is a part of its time.
        if outer == 0 {
            add(&counters.runtime, now().saturating_sub(start));
        }
        done
    }

    /// Runs a future and adds the time of its polls.
    pub fn measure<F: Future>(&self, future: F) -> Measured<F> {
        Measured {
            future,
            usage: self.clone(),
        }
    }
}

pin_project_lite::pin_project! {
    /// The future of [`Usage::measure`].
    pub struct Measured<F> {
        #[pin]
        future: F,
        usage: Usage,
    }
}

impl<F: Future> Future for Measured<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let future = this.future;
        this.usage.step(|| future.poll(cx))
    }
}

fn add(counter: &AtomicU64, more: u64) {
    counter.fetch_add(more, Ordering::Relaxed);
}

/// Returns the nanoseconds since [`EPOCH`], never 0.
fn now() -> u64 {
    nanos(EPOCH.elapsed()).max(1)
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spin(time: Duration) {
        let start = Instant::now();
        while start.elapsed() < time {
            std::hint::spin_loop();
        }
    }

    #[tokio::test]
    async fn polls_count_and_waiting_does_not() {
        let usage = Usage::default();
        let seen = usage.clone();
        let part = Duration::from_millis(2);
        let work = usage.measure(async move {
            spin(part);
            let inside = seen.total().runtime;
            tokio::time::sleep(Duration::from_secs(3600)).await;
            // A step inside of a poll does not count twice.
            seen.step(|| spin(part));
            inside
        });
        tokio::time::pause();
        assert!(work.await >= part, "the poll in progress counts");
        let total = usage.total().runtime;
        assert!(total >= 2 * part, "{total:?}");
        assert!(total < Duration::from_secs(3600), "{total:?}");
    }
}
