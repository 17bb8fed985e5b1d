//! The loop that runs a stream: it tells the core what has happened, and does what it says.
//!
//! * `act`: what the core says is done; `endings`: what has ended is told to it.
//! * `held`: the messages in flight.
//! * `jobs`: what runs beside the loop.
//! * `outage`: what is said about a broker that is away.
//! * `revoking`: partitions that are given up.

mod act;
mod endings;
mod held;
mod jobs;
mod outage;
mod revoking;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use motet_runtime::health::Health;
use motet_runtime::metrics::StreamMetrics;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::broker::{Event, Inbox, Sink, Source};
use crate::calls::Calls;
use crate::chunks::Rows;
use crate::core::{Arrival, Arrived, Core, MessageId, Options, Stats};
use crate::reading::{Prepared, Reader};
use crate::writing::Writer;
use held::Held;
use jobs::Jobs;
use outage::Outage;
use revoking::Revoking;

/// Time between two looks at what the broker still has.
const LOOK: Duration = Duration::from_secs(5);
/// Time before messages are asked for again after an error, at first and at most.
const PULL_AGAIN: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(10)];

/// Most time in which leave is taken of the broker.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);
/// Places in the inbox beside those of messages.
const OTHER_EVENTS: usize = 16;

/// A stream that runs: its parts.
pub(crate) struct Driver<B, C> {
    pub(crate) name: String,
    /// The broker: source of messages and target of letters.
    pub(crate) broker: Arc<B>,
    pub(crate) calls: Arc<C>,
    pub(crate) options: Options,
    pub(crate) reader: Arc<Reader>,
    pub(crate) rows: Option<Rows>,
    pub(crate) writer: Writer,
    /// Time that a call may take.
    pub(crate) deadline: Duration,
    pub(crate) metrics: StreamMetrics,
    pub(crate) health: Health,
    /// The stream's name in the health of the process.
    pub(crate) health_name: String,
}

/// The state of the loop.
struct Loop<B, C> {
    driver: Driver<B, C>,
    core: Core,
    jobs: Jobs,
    held: HashMap<MessageId, Held>,
    begun: Instant,
    inbox: Inbox,
    /// The job that asks for messages, if one does.
    pulling: Option<tokio::task::Id>,
    /// The time from which messages are asked for.
    pull_from: Instant,
    outage: Outage,
    /// Partitions that are being given up.
    revoking: Vec<Revoking>,
    told: Stats,
}

impl<B: Source + Sink, C: Calls> Driver<B, C> {
    /// Runs until `stop`, then until everything in flight has ended.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let (sender, mut events) = mpsc::channel(self.options.in_flight + OTHER_EVENTS);
        let inbox = Inbox {
            reader: self.reader.clone(),
            sender,
        };
        let begun = Instant::now();
        let mut running = Loop {
            core: Core::new(self.options),
            jobs: JoinSet::new(),
            held: HashMap::new(),
            begun,
            inbox,
            pulling: None,
            pull_from: begun,
            outage: Outage::new(&self.name, PULL_AGAIN),
            revoking: Vec::new(),
            told: Stats::default(),
            driver: self,
        };
        running.driver.metrics.connected(false);
        let mut look_at = begun;
        loop {
            running.act();
            running.give_up();
            running.tell();
            if running.is_over() {
                break;
            }
            let wake_at = running.wake_at(look_at);
            tokio::select! {
                biased;
                () = stop.cancelled(), if !running.drains() => running.drain(),
                Some(event) = events.recv() => match event {
                    Event::Delivered(prepared) => running.arrived(*prepared),
                    Event::Revoked(revocation) => running.revoke(revocation),
                },
                Some(done) = running.jobs.join_next() => running.ended(done),
                () = sleep_until(wake_at) => {
                    if look_at <= Instant::now() {
                        look_at = Instant::now() + LOOK;
                        running.look();
                    }
                }
            }
        }
        // A caller that waits for the stream to give something up waits for nothing.
        drop(events);
        let closing = timeout(CLOSE_TIMEOUT, running.driver.broker.close()).await;
        if closing.is_err() {
            let stream = &running.driver.name;
            tracing::debug!(stream, "the broker does not answer at the end");
        }
        running.driver.metrics.connected(false);
        tracing::info!(stream = running.driver.name, "the stream has ended");
    }
}

impl<B: Source + Sink, C: Calls> Loop<B, C> {
    fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    fn drains(&self) -> bool {
        self.core.drains()
    }

    fn is_over(&self) -> bool {
        self.core.is_drained() && self.pulling.is_none() && self.jobs.is_empty()
    }

    fn wake_at(&self, look_at: Instant) -> Instant {
        let core = self.core.wake_at().map(|at| self.begun + at);
        let pull = (self.pulling.is_none() && self.core.room() > 0).then_some(self.pull_from);
        let revoking = self.revoking.iter().map(|revoking| revoking.until).min();
        let times = [core, pull, revoking].into_iter().flatten();
        times.fold(look_at, Instant::min)
    }

    fn drain(&mut self) {
        let in_flight = self.core.stats().in_flight;
        tracing::info!(stream = self.driver.name, in_flight, "the stream drains");
        self.core.drain();
    }

    fn arrived(&mut self, prepared: Prepared) {
        let arrival = Arrival {
            position: prepared.delivery.position,
            key: prepared.key_hash(),
            deliveries: prepared.delivery.deliveries,
        };
        match self.core.arrived(self.now(), arrival) {
            Arrived::Taken(id) => {
                self.held.insert(id, Held::new(prepared));
            }
            Arrived::Again(id) => {
                if let Some(held) = self.held.get_mut(&id) {
                    held.receipt = prepared.delivery.receipt;
                }
            }
            Arrived::Left => {
                let (broker, receipt) = (self.driver.broker.clone(), prepared.delivery.receipt);
                jobs::release(&mut self.jobs, broker, receipt, Duration::ZERO);
            }
        }
    }

    /// Looks at what the broker still has, and at what has been here for longest.
    fn look(&mut self) {
        let published = self
            .held
            .values()
            .filter_map(|held| held.delivery.published);
        let age = published.min().and_then(|at| at.elapsed().ok());
        self.driver.metrics.oldest(age.unwrap_or_default());
        if !self.drains() {
            jobs::look(&mut self.jobs, self.driver.broker.clone());
        }
    }

    /// Tells the metrics what has changed.
    fn tell(&mut self) {
        let stats = self.core.stats();
        let metrics = &self.driver.metrics;
        metrics.in_flight(stats.in_flight);
        let new = |now: u64, before: u64| now.saturating_sub(before);
        metrics.answered(new(stats.answered, self.told.answered));
        metrics.dead(new(stats.dead, self.told.dead));
        metrics.redelivered(new(stats.redelivered, self.told.redelivered));
        self.told = stats;
    }
}
