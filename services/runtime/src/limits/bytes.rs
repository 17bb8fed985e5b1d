//! The budget of bytes in flight: received and not yet answered, held by a request in another form,
//! or answered and not yet taken by the client.
//!
//! Whoever holds bytes has [`HeldBytes`], which give them back when they are dropped. The server
//! counts what it receives and sends; whoever turns a message into something larger adds that with
//! [`HeldBytes::grow`], which refuses the request where it does not fit.
//!
//! Where there is no room, reading stops, so that HTTP/2 holds the client back. Of a connection's
//! requests the oldest goes on first; of all that wait the newest is refused once it has waited for
//! [`WAIT_MAX`]. How much of the budget one connection may have is decided by
//! [`share`](super::share).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tonic::Status;

use super::share;
use crate::metrics::ServerMetrics;
use crate::status::{Reason, resource_exhausted};

/// Longest wait of the newest request for room.
pub(crate) const WAIT_MAX: Duration = Duration::from_millis(500);
/// Connections of which a request is woken when bytes are given back. Each that goes on wakes
/// another.
const WOKEN_MAX: usize = 4;
/// `RetryInfo` of a refusal.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The budget of a server. Clones share it.
#[derive(Clone, Debug)]
pub struct ByteBudget(Arc<Budget>);

#[derive(Debug)]
struct Budget {
    max: usize,
    /// Number of the next connection or request.
    next: AtomicU64,
    ledger: Mutex<Ledger>,
    metrics: Option<ServerMetrics>,
}

/// Bytes that are held, and requests that wait for room.
#[derive(Debug, Default)]
struct Ledger {
    held: usize,
    /// Requests that wait, by connection and age.
    waiting: BTreeMap<(u64, u64), Waker>,
    /// The same requests by age alone.
    ages: BTreeSet<u64>,
    /// The connection whose request was woken last.
    turn: u64,
}

impl ByteBudget {
    /// A budget of `max` bytes. What is held and who is refused is counted in `metrics`.
    pub fn new(max: usize, metrics: Option<ServerMetrics>) -> Self {
        Self(Arc::new(Budget {
            max,
            next: AtomicU64::new(1),
            ledger: Mutex::default(),
            metrics,
        }))
    }

    /// The bytes that are held.
    pub fn held(&self) -> usize {
        self.ledger().held
    }

    /// The part of a new connection.
    pub(crate) fn connection(&self) -> ConnectionBytes {
        ConnectionBytes {
            budget: self.clone(),
            id: self.number(),
            held: Arc::default(),
        }
    }

    fn number(&self) -> u64 {
        self.0.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Locks the ledger, for a few instructions.
    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.0.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fits(&self, ledger: &Ledger, own: &AtomicUsize, more: usize) -> bool {
        let own = own.load(Ordering::Relaxed);
        share::fits(self.0.max, ledger.held, own, more)
    }

    fn observe(&self, held: usize) {
        if let Some(metrics) = &self.0.metrics {
            metrics.set_bytes_in_flight(held);
        }
    }

    fn refusal(&self) -> Status {
        if let Some(metrics) = &self.0.metrics {
            metrics.refused("bytes");
        }
        let max = self.0.max;
        let text = format!(
            "the bytes in flight are at the limit of {max} (`max_bytes_in_flight`), or this \
             connection has its share of them"
        );
        resource_exhausted(text, Some(RETRY_AFTER))
            .reason(Reason::TooManyBytes)
            .with("max_bytes_in_flight", max.to_string())
            .into()
    }
}

/// The part of the budget that one connection has. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct ConnectionBytes {
    budget: ByteBudget,
    id: u64,
    held: Arc<AtomicUsize>,
}

impl ConnectionBytes {
    /// Begins to count the bytes of a request, or of its answer.
    pub(crate) fn request(&self) -> HeldBytes {
        let id = self.budget.number();
        HeldBytes(Arc::new(Held {
            id,
            connection: self.clone(),
            bytes: AtomicUsize::new(0),
        }))
    }
}

/// The bytes that one request holds. Clones share them; they are given back when the last one is
/// dropped, so keep a clone beside what was counted. The server puts one into the extensions of
/// every request, which counts the bytes of its message;
/// [`answer_each`](crate::request_stream::answer_each) gives one for each request of a stream.
///
/// ```
/// # use motet_runtime::limits::HeldBytes;
/// # fn decode(message: &[u8]) -> Vec<f32> { Vec::new() }
/// fn read(extensions: &http::Extensions, message: &[u8]) -> Result<Vec<f32>, tonic::Status> {
///     // Before the memory is taken: what the message becomes, as far as it adds to the bytes that
///     // came over the wire.
///     if let Some(held) = HeldBytes::of(extensions) {
///         held.grow(4 * message.len())?;
///     }
///     Ok(decode(message))
/// }
/// ```
#[derive(Clone, Debug)]
pub struct HeldBytes(Arc<Held>);

#[derive(Debug)]
struct Held {
    /// Number of the request; the newest has the largest.
    id: u64,
    connection: ConnectionBytes,
    bytes: AtomicUsize,
}

impl HeldBytes {
    /// Returns what a request with these extensions holds; `None` if it did not come through a
    /// server, as calls within the process do not.
    pub fn of(extensions: &http::Extensions) -> Option<&Self> {
        extensions.get()
    }

    /// Returns bytes that are not of any server's budget: [`grow`](Self::grow) never fails.
    pub fn unlimited() -> Self {
        ByteBudget::new(usize::MAX, None).connection().request()
    }

    /// The number of bytes.
    pub fn bytes(&self) -> usize {
        self.0.bytes.load(Ordering::Relaxed)
    }

    /// Adds bytes that the request is about to hold.
    ///
    /// # Errors
    /// RESOURCE_EXHAUSTED, for the caller, where they do not fit the budget.
    pub fn grow(&self, bytes: usize) -> Result<(), Status> {
        let budget = &self.0.connection.budget;
        let mut ledger = budget.ledger();
        if !budget.fits(&ledger, &self.0.connection.held, bytes) {
            drop(ledger);
            return Err(budget.refusal());
        }
        self.count(&mut ledger, bytes);
        Ok(())
    }

    /// Gives some of the bytes back, at most all.
    pub fn shrink(&self, bytes: usize) {
        let mut ledger = self.0.connection.budget.ledger();
        self.0.release(&mut ledger, bytes);
    }

    /// Returns an empty account of the same connection, for one request of a stream.
    pub(crate) fn another(&self) -> Self {
        self.0.connection.request()
    }

    /// Hands `bytes` of this account over to another one of the same connection.
    pub(crate) fn hand_over(&self, bytes: usize, to: &Self) {
        let _ledger = self.0.connection.budget.ledger();
        let bytes = bytes.min(self.bytes());
        self.0.bytes.fetch_sub(bytes, Ordering::Relaxed);
        to.0.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Adds bytes that are here already.
    pub(crate) fn add(&self, bytes: usize) {
        let mut ledger = self.0.connection.budget.ledger();
        self.count(&mut ledger, bytes);
    }

    /// Ready when there is room for more. Until then the request waits in the order of age.
    pub(crate) fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        let budget = &self.0.connection.budget;
        let mut ledger = budget.ledger();
        let key = self.0.key();
        let oldest = ledger.waiting.range((key.0, 0)..).next();
        let is_oldest = oldest.is_none_or(|(first, _)| first.0 != key.0 || *first >= key);
        if is_oldest && budget.fits(&ledger, &self.0.connection.held, 1) {
            ledger.stop_waiting(key);
            ledger.wake(1);
            return Poll::Ready(());
        }
        ledger.waiting.insert(key, cx.waker().clone());
        ledger.ages.insert(key.1);
        Poll::Pending
    }

    /// Returns the refusal of a request that has waited for [`WAIT_MAX`] where it is the newest of
    /// those that wait.
    pub(crate) fn refuse_newest(&self) -> Option<Status> {
        let budget = &self.0.connection.budget;
        let mut ledger = budget.ledger();
        if ledger.ages.last() != Some(&self.0.id) {
            return None;
        }
        ledger.stop_waiting(self.0.key());
        drop(ledger);
        Some(budget.refusal())
    }

    fn count(&self, ledger: &mut Ledger, bytes: usize) {
        ledger.held += bytes;
        self.0.connection.held.fetch_add(bytes, Ordering::Relaxed);
        self.0.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.0.connection.budget.observe(ledger.held);
    }
}

impl Held {
    fn key(&self) -> (u64, u64) {
        (self.connection.id, self.id)
    }

    fn release(&self, ledger: &mut Ledger, bytes: usize) {
        let bytes = bytes.min(self.bytes.load(Ordering::Relaxed));
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.connection.held.fetch_sub(bytes, Ordering::Relaxed);
        ledger.held -= bytes;
        self.connection.budget.observe(ledger.held);
        if bytes > 0 {
            ledger.wake(WOKEN_MAX);
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut ledger = self.connection.budget.ledger();
        ledger.stop_waiting(self.key());
        let all = self.bytes.load(Ordering::Relaxed);
        self.release(&mut ledger, all);
    }
}

impl Ledger {
    fn stop_waiting(&mut self, key: (u64, u64)) {
        if self.waiting.remove(&key).is_some() {
            self.ages.remove(&key.1);
        }
    }

    /// Wakes the oldest request of some connections, which take turns.
    fn wake(&mut self, connections: usize) {
        let first = self.turn;
        for _ in 0..connections.min(self.waiting.len()) {
            let next = self.waiting.range((self.turn + 1, 0)..).next();
            let Some((key, waker)) = next.or_else(|| self.waiting.first_key_value()) else {
                return;
            };
            self.turn = key.0;
            waker.wake_by_ref();
            if self.turn == first {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::task::noop_waker_ref;

    use super::*;

    fn has_room(request: &HeldBytes) -> bool {
        let mut cx = Context::from_waker(noop_waker_ref());
        request.poll_room(&mut cx).is_ready()
    }

    #[test]
    fn what_is_held_is_given_back_with_the_last_clone() {
        let budget = ByteBudget::new(100, None);
        let request = budget.connection().request();
        request.add(10);
        request.grow(20).unwrap();
        let elsewhere = request.clone();
        drop(request);
        assert_eq!(budget.held(), 30);
        elsewhere.shrink(5);
        assert_eq!((budget.held(), elsewhere.bytes()), (25, 25));
        let other = elsewhere.another();
        elsewhere.hand_over(15, &other);
        drop(elsewhere);
        assert_eq!(budget.held(), 15);
        drop(other);
        assert_eq!(budget.held(), 0);
    }

    #[test]
    fn what_does_not_fit_is_refused_with_the_key() {
        let budget = ByteBudget::new(100, None);
        let (one, two) = (budget.connection(), budget.connection());
        let first = one.request();
        first.grow(60).unwrap();
        let error = one.request().grow(40).unwrap_err();
        let details = crate::status::read(&error);
        assert_eq!(details.reason, "TOO_MANY_BYTES");
        assert_eq!(details.metadata["max_bytes_in_flight"], "100");
        assert_eq!(details.retry_after, Some(RETRY_AFTER));
        two.request().grow(40).expect("another connection has room");
        assert_eq!(budget.held(), 60, "what was refused holds nothing");
    }

    #[test]
    fn of_a_connection_the_oldest_goes_on_and_of_all_the_newest_is_refused() {
        let budget = ByteBudget::new(100, None);
        let (one, two) = (budget.connection(), budget.connection());
        let requests = [one.request(), one.request(), two.request()];
        requests[0].add(70);
        requests[2].add(30);
        for request in &requests {
            assert!(!has_room(request));
        }
        assert!(requests[0].refuse_newest().is_none());
        assert!(requests[1].refuse_newest().is_none());
        // Room for both connections: of one, the older request has it first.
        requests[0].shrink(60);
        assert!(!has_room(&requests[1]));
        assert!(has_room(&requests[2]));
        assert!(has_room(&requests[0]));
        assert!(has_room(&requests[1]), "the older one waits no more");
        requests[0].add(60);
        assert!(!has_room(&requests[1]) && !has_room(&requests[2]));
        assert!(requests[1].refuse_newest().is_none());
        assert!(requests[2].refuse_newest().is_some());
        assert!(requests[1].refuse_newest().is_some(), "the newest now");
    }

    #[test]
    fn who_waits_is_woken_in_turns_of_connections() {
        use std::sync::atomic::AtomicUsize;
        struct Count(AtomicUsize);
        impl std::task::Wake for Count {
            fn wake(self: Arc<Self>) {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
        }
        let budget = ByteBudget::new(100, None);
        let full = budget.connection().request();
        full.add(100);
        let waiting: Vec<_> = (0..3 * WOKEN_MAX)
            .map(|_| {
                let request = budget.connection().request();
                let count = Arc::new(Count(AtomicUsize::new(0)));
                let waker = Waker::from(count.clone());
                assert!(
                    request
                        .poll_room(&mut Context::from_waker(&waker))
                        .is_pending()
                );
                (request, count)
            })
            .collect();
        for _ in 0..3 {
            full.shrink(1);
        }
        for (_, count) in &waiting {
            assert_eq!(count.0.load(Ordering::Relaxed), 1);
        }
    }
}
