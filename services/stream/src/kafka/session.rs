//! A membership of the group: the consumer, the producer, and their threads.

use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use rdkafka::consumer::Consumer as _;
use rdkafka::producer::Producer as _;

use super::config;
use super::consumer::{self, Consumer, Group};
use super::letters::Letter;
use super::state::State;
use super::transactions::{Failures, Producer, Transactions};
use crate::broker::{Backlog, BrokerError};
use crate::config::{KafkaSpec, Settings};

/// Time in which a broker is reached.
const REACH_WAIT: Duration = Duration::from_secs(5);
/// Time in which it says what it has.
const LOOK_WAIT: Duration = Duration::from_secs(2);

/// A membership of the group.
pub(super) struct Session {
    pub(super) state: Arc<State>,
    consumer: Weak<Consumer>,
    letters: Sender<Option<Letter>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    topic: String,
}

/// A session to be opened.
pub(super) struct Opening {
    pub(super) spec: KafkaSpec,
    pub(super) settings: Settings,
    /// Topics that letters go to.
    pub(super) targets: [String; 2],
    /// The name of the transactions.
    pub(super) name: String,
}

impl Opening {
    /// Opens the session: waits for the broker, on this thread.
    pub(super) fn open(self) -> Result<Session, BrokerError> {
        let Self {
            spec,
            settings,
            targets,
            name,
        } = self;
        let shown = spec.access.shown.clone();
        let unreachable = |error: &dyn std::fmt::Display| {
            BrokerError(format!("{shown} cannot be reached: {error}"))
        };
        let unusable =
            |error: &dyn std::fmt::Display| BrokerError(format!("{shown} cannot be used: {error}"));
        let state = Arc::new(State::new(settings.in_flight));
        let group = Group::new(state.clone(), settings.ack_wait / 2);
        let consumer: Consumer = config::consumer(&spec, &settings)?
            .create_with_context(group)
            .map_err(|error| unusable(&error))?;
        for topic in [&spec.topic].into_iter().chain(&targets) {
            let found = consumer.fetch_metadata(Some(topic), REACH_WAIT);
            let found = found.map_err(|error| unreachable(&error))?;
            if let Some(error) = found.topics().iter().find_map(|topic| topic.error()) {
                let error = rdkafka::error::RDKafkaErrorCode::from(error);
                let message = format!("the topic `{topic}` cannot be used: {error}");
                return Err(BrokerError(message));
            }
        }
        let producer: Producer = config::producer(&spec, &settings, &name)?
            .create_with_context(Failures::default())
            .map_err(|error| unusable(&error))?;
        let begun = producer.init_transactions(REACH_WAIT);
        begun.map_err(|error| {
            BrokerError(format!("transactions of `{name}` cannot begin: {error}"))
        })?;
        consumer
            .subscribe(&[&spec.topic])
            .map_err(|error| unusable(&error))?;
        let consumer = Arc::new(consumer);
        let (letters, waiting) = mpsc::channel();
        let transactions = Transactions {
            producer,
            consumer: Arc::downgrade(&consumer),
            state: state.clone(),
            topic: spec.topic.clone(),
            letters: waiting,
        };
        let session = Session {
            state: state.clone(),
            consumer: Arc::downgrade(&consumer),
            letters,
            threads: Mutex::default(),
            topic: spec.topic.clone(),
        };
        let topic = spec.topic;
        session.spawn("kafka-store", || transactions.run())?;
        session.spawn("kafka-poll", move || {
            consumer::run(consumer, &state, &topic)
        })?;
        Ok(session)
    }
}

impl Session {
    fn spawn(&self, name: &str, run: impl FnOnce() + Send + 'static) -> Result<(), BrokerError> {
        let thread = Builder::new().name(name.to_owned()).spawn(run);
        let thread = thread.map_err(BrokerError::of)?;
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        threads.push(thread);
        Ok(())
    }

    /// Hands a letter over. Returns whether there is a thread that takes it.
    pub(super) fn store(&self, letter: Letter) -> bool {
        self.letters.send(Some(letter)).is_ok()
    }

    /// Looks at letters that wait.
    pub(super) fn wake(&self) {
        // Without a thread nothing waits.
        let _ = self.letters.send(None);
    }

    /// Returns what the partitions of this process have that it has not got. Asks the brokers.
    pub(super) fn backlog(&self) -> Result<Backlog, BrokerError> {
        let Some(consumer) = self.consumer.upgrade() else {
            return Err(BrokerError("the session has ended".to_owned()));
        };
        let mut lag = u64::try_from(self.state.waiting()).unwrap_or_default();
        for (partition, next) in self.state.next_offsets() {
            let number = i32::try_from(partition).unwrap_or(i32::MAX);
            let ends = consumer.fetch_watermarks(&self.topic, number, LOOK_WAIT);
            let (low, high) = ends.map_err(BrokerError::of)?;
            let [low, high] = [low, high].map(|end| u64::try_from(end).unwrap_or_default());
            lag += high.saturating_sub(next.max(low));
        }
        Ok(Backlog { lag })
    }

    /// Ends the threads: the consumer leaves the group. Waits for that, on this thread.
    pub(super) fn close(&self) {
        self.end();
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        for thread in threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of Kafka panicked");
            }
        }
    }

    fn end(&self) {
        self.state.stop();
        self.wake();
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.end();
    }
}
