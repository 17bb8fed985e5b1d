//! Places: how many of something there may be at once, in all and for one connection.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use super::retry_slots::RetrySlots;
use super::share;

/// Places that are limited. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    taken: Arc<AtomicUsize>,
    retries: Arc<RetrySlots>,
    max: usize,
    /// Most of one connection, which has a fair share at most in any case.
    connection_max: usize,
}

/// The places that one connection has taken. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Own(Arc<OwnPlaces>);

#[derive(Debug)]
struct OwnPlaces {
    taken: AtomicUsize,
    /// Milliseconds from [`EPOCH`] to when the last place was given back, or this was made.
    idle_since: AtomicU64,
    was_used: AtomicBool,
}

/// For how long a connection has had no place. Those that make room first are the least: of those
/// that never had one, then of the others, the one that has been idle for longest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Idle {
    was_used: bool,
    /// Milliseconds from [`EPOCH`].
    since: u64,
}

impl Idle {
    /// Returns whether the connection ever had a place.
    pub(crate) fn was_used(self) -> bool {
        self.was_used
    }
}

/// The moment from which idle times are counted.
static EPOCH: LazyLock<Instant> = LazyLock::new(Instant::now);

impl Default for Own {
    fn default() -> Self {
        Self(Arc::new(OwnPlaces {
            taken: AtomicUsize::new(0),
            idle_since: AtomicU64::new(now()),
            was_used: AtomicBool::new(false),
        }))
    }
}

impl Own {
    /// Returns for how long no place has been taken; `None` while one is.
    pub(crate) fn idle(&self) -> Option<Idle> {
        let is_idle = self.0.taken.load(Ordering::Relaxed) == 0;
        is_idle.then(|| Idle {
            was_used: self.0.was_used.load(Ordering::Relaxed),
            since: self.0.idle_since.load(Ordering::Relaxed),
        })
    }
}

fn now() -> u64 {
    u64::try_from(EPOCH.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    /// All are taken.
    All,
    /// The connection has its fair share of those that are not.
    Share,
    /// The connection has as many as any may have.
    Connection,
}

/// A place that is taken. Dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Place {
    taken: Arc<AtomicUsize>,
    retries: Arc<RetrySlots>,
    own: Own,
    since: Instant,
}

impl Places {
    /// At most `max` in all, and as many for one connection as its share allows.
    pub(crate) fn new(max: usize) -> Self {
        Self {
            taken: Arc::default(),
            retries: Arc::default(),
            max,
            connection_max: usize::MAX,
        }
    }

    /// At most `max` for one connection.
    pub(crate) fn per_connection(mut self, max: usize) -> Self {
        self.connection_max = max;
        self
    }

    pub(crate) fn max(&self) -> usize {
        self.max
    }

    pub(crate) fn connection_max(&self) -> usize {
        self.connection_max
    }

    /// Returns the time after which a call may come back that was refused for this reason.
    pub(crate) fn retry_after(&self, full: Full) -> Duration {
        match full {
            Full::All => self.retries.reserve(Instant::now(), self.max),
            Full::Share | Full::Connection => self.retries.turn(),
        }
    }

    /// The number of places that are taken.
    pub(crate) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// Takes a place for the connection that has `own`.
    ///
    /// # Errors
    /// See [`Full`].
    pub(crate) fn take(&self, own: &Own) -> Result<Place, Full> {
        let of_connection = own.0.taken.fetch_add(1, Ordering::Relaxed);
        let fits = |taken| match taken {
            _ if of_connection >= self.connection_max => Err(Full::Connection),
            taken if taken >= self.max => Err(Full::All),
            taken if !share::fits(self.max, taken, of_connection, 1) => Err(Full::Share),
            taken => Ok(taken + 1),
        };
        let taken = self
            .taken
            .try_update(Ordering::Relaxed, Ordering::Relaxed, |n| fits(n).ok());
        match taken {
            Ok(_) => Ok(Place {
                taken: self.taken.clone(),
                retries: self.retries.clone(),
                own: own.clone(),
                since: Instant::now(),
            }),
            Err(taken) => {
                own.0.taken.fetch_sub(1, Ordering::Relaxed);
                Err(fits(taken).err().unwrap_or(Full::All))
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.retries.learn(self.since.elapsed());
        self.own.0.was_used.store(true, Ordering::Relaxed);
        self.own.0.idle_since.store(now(), Ordering::Relaxed);
        self.own.0.taken.fetch_sub(1, Ordering::Relaxed);
        self.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_refused_by_the_nearest_limit_and_given_back() {
        let places = Places::new(9).per_connection(7);
        let (one, two, three) = (Own::default(), Own::default(), Own::default());
        let mut held: Vec<_> = (0..6).map(|_| places.take(&one).unwrap()).collect();
        assert_eq!(places.take(&one).unwrap_err(), Full::Share);
        held.extend((0..2).map(|_| places.take(&two).unwrap()));
        assert_eq!(places.take(&two).unwrap_err(), Full::Share);
        held.push(places.take(&three).unwrap());
        assert_eq!(places.take(&three).unwrap_err(), Full::All);
        assert_eq!(places.taken(), 9);
        drop(held);
        assert_eq!(places.taken(), 0);
        let wide = Places::new(100).per_connection(2);
        let _held = [wide.take(&one).unwrap(), wide.take(&one).unwrap()];
        assert_eq!(wide.take(&one).unwrap_err(), Full::Connection);
    }
}
