//! The turns of long computations: as many run at a time as there are processors, and flows take
//! turns.
//!
//! A computation that has had its time, [`SLICE`], and for which another waits, gives its turn back
//! at its next look at its [`Meter`](super::cancel::Meter) and waits for the next one on its
//! thread.

use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use motet_runtime::turns::Turns;
use motet_runtime::usage::Usage;
use tokio::sync::oneshot;

/// Time that a computation has before it gives way to others.
const SLICE: Duration = Duration::from_millis(5);
/// Most computations that have begun and wait on their threads. Further ones run to their end.
const PAUSED_MAX: usize = 64;

/// The pool of the process.
pub(super) static POOL: LazyLock<Pool> = LazyLock::new(|| {
    let processors = std::thread::available_parallelism();
    Pool::new(processors.map_or(1, usize::from))
});

/// Turns of computations.
#[derive(Debug, Clone)]
pub(super) struct Pool(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    turns: Turns<Asking>,
    paused: usize,
}

/// A computation that waits for its turn.
#[derive(Debug)]
struct Asking {
    flow: u64,
    turn: oneshot::Sender<()>,
}

/// A turn to compute. Dropping it gives it to the next.
#[derive(Debug)]
pub(super) struct Turn {
    pool: Pool,
    flow: u64,
    usage: Option<Usage>,
    began: Mutex<Instant>,
}

impl Pool {
    pub(super) fn new(capacity: usize) -> Self {
        Self(Arc::new(Mutex::new(State {
            turns: Turns::new(capacity),
            paused: 0,
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a turn of the flow of the current request. `usage` gets the time that it takes.
    pub(super) async fn turn(&self, flow: u64, usage: Option<Usage>) -> Turn {
        let (turn, granted) = oneshot::channel();
        let next = self.state().turns.ask(flow, Asking { flow, turn });
        self.grant(next);
        let waiting = Waiting {
            pool: self,
            flow,
            granted: Some(granted),
        };
        waiting.wait().await;
        Turn {
            pool: self.clone(),
            flow,
            usage,
            began: Mutex::new(Instant::now()),
        }
    }

    /// Tells a computation that its turn is now, or the next one if it is gone.
    fn grant(&self, mut next: Option<Asking>) {
        while let Some(asking) = next {
            if asking.turn.send(()).is_ok() {
                return;
            }
            // It was dropped while it waited, and has used nothing.
            next = self.state().turns.end(asking.flow, 0);
        }
    }

    fn end(&self, flow: u64, used: Duration) {
        let next = self.state().turns.end(flow, nanos(used));
        self.grant(next);
    }
}

/// A computation that waits for its first turn. Dropping it gives up a turn that it may have.
struct Waiting<'p> {
    pool: &'p Pool,
    flow: u64,
    granted: Option<oneshot::Receiver<()>>,
}

impl Waiting<'_> {
    async fn wait(mut self) {
        if let Some(granted) = &mut self.granted {
            let _ = granted.await;
        }
        self.granted = None;
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(mut granted) = self.granted.take() {
            granted.close();
            if granted.try_recv().is_ok() {
                self.pool.end(self.flow, Duration::ZERO);
            }
        }
    }
}

impl Turn {
    /// Gives way to others that wait, if it has had its time, and comes back at its next turn.
    /// Blocks the thread meanwhile.
    pub(super) fn give_way(&self) {
        let mut began = self.began.lock().unwrap_or_else(PoisonError::into_inner);
        let used = began.elapsed();
        if used < SLICE {
            return;
        }
        let granted = {
            let mut state = self.pool.state();
            if !state.turns.has_waiting() || state.paused >= PAUSED_MAX {
                return;
            }
            state.paused += 1;
            let (turn, granted) = oneshot::channel();
            let flow = self.flow;
            // It asks before it ends its turn, so that its flow is not taken for an idle one.
            let first = state.turns.ask(flow, Asking { flow, turn });
            let second = state.turns.end(flow, nanos(self.charge(used)));
            drop(state);
            self.pool.grant(first);
            self.pool.grant(second);
            granted
        };
        let _ = granted.blocking_recv();
        self.pool.state().paused -= 1;
        *began = Instant::now();
    }

    /// Adds the time to the usage of the request. Returns what the turn counts for: this time, and
    /// what the request took of the async runtime since its last turn.
    fn charge(&self, used: Duration) -> Duration {
        let Some(usage) = &self.usage else {
            return used;
        };
        usage.add_pool(used);
        used.saturating_add(usage.charge_runtime())
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let began = self.began.get_mut().unwrap_or_else(PoisonError::into_inner);
        let used = began.elapsed();
        let charged = self.charge(used);
        self.pool.end(self.flow, charged);
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn a_turn_that_nobody_waits_for_any_more_goes_to_the_next() {
        let pool = Pool::new(1);
        let first = pool.turn(1, None).await;
        let mut gone = Box::pin(pool.turn(1, None));
        let mut next = Box::pin(pool.turn(2, None));
        assert!(gone.as_mut().now_or_never().is_none());
        assert!(next.as_mut().now_or_never().is_none());
        drop(gone);
        drop(first);
        let next = next.await;
        // One that was granted and not taken.
        let mut granted = Box::pin(pool.turn(3, None));
        assert!(granted.as_mut().now_or_never().is_none());
        drop(next);
        drop(granted);
        pool.turn(4, None).await;
    }

    #[tokio::test]
    async fn a_long_computation_gives_way_to_another_flow() {
        let pool = Pool::new(1);
        let usage = Usage::default();
        let long = pool.turn(1, Some(usage.clone())).await;
        // It has had its time.
        *long.began.lock().unwrap() = Instant::now() - SLICE;
        long.give_way();
        let other = tokio::spawn({
            let pool = pool.clone();
            async move { drop(pool.turn(2, None).await) }
        });
        while !pool.state().turns.has_waiting() {
            tokio::task::yield_now().await;
        }
        // Comes back once the other has computed.
        let long = tokio::task::spawn_blocking(move || {
            long.give_way();
            long
        });
        let long = long.await.unwrap();
        other.await.unwrap();
        assert!(usage.total().pool >= SLICE);
        assert_eq!(pool.state().paused, 0);
        drop(long);
        pool.turn(5, None).await;
    }
}
