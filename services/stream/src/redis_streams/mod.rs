//! Redis Streams.
//!
//! A consumer group delivers; the receipt of a message is its identity in the stream. A letter is
//! stored and its message acknowledged in one step, which does nothing if the message was
//! acknowledged before: the effect happens once.
//!
//! * `session`: the connections, the group, and what this consumer had before.
//! * `entries`: entries of streams, read and written.

mod entries;
mod session;

use std::sync::Arc;
use std::time::Duration;

use redis::aio::ConnectionLike;
use redis::{Cmd, FromRedisValue, RedisError, Script, cmd};

use crate::broker::{Backlog, BrokerError, Inbox, Sink, Source, StoreError, Stored};
use crate::config::{RedisSpec, Settings};
use crate::hosts;
use crate::message::{Delivery, Parcel};
use crate::session_slot::SessionSlot;
use entries::Entry;
use session::Session;

/// Time that one request waits for messages, in milliseconds.
const PULL_WAIT_MS: u64 = 1000;

/// Stores an entry and acknowledges its message, if that is pending. Adding comes first: where it
/// fails, nothing has happened.
const STORE: &str = r"
local pending = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[2], ARGV[2], 1)
if #pending == 0 then
  return 0
end
redis.call('XADD', KEYS[2], '*', unpack(ARGV, 3))
redis.call('XACK', KEYS[1], ARGV[1], ARGV[2])
return 1
";

/// A stream of Redis.
pub(crate) struct Redis {
    spec: RedisSpec,
    settings: Settings,
    /// The name in the group.
    consumer: String,
    store: Script,
    session: SessionSlot<Session>,
}

impl Redis {
    pub(crate) fn new(spec: RedisSpec, settings: Settings) -> Self {
        Self {
            consumer: spec
                .consumer
                .clone()
                .unwrap_or_else(hosts::consumer_of_host),
            spec,
            settings,
            store: Script::new(STORE),
            session: SessionSlot::default(),
        }
    }

    async fn session(&self) -> Result<Arc<Session>, BrokerError> {
        let open = Session::open(&self.spec);
        self.session.get_or_open(open).await
    }

    /// Runs a command beside pulls.
    async fn query<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, BrokerError> {
        let session = self.session().await?;
        let answer = command.query_async(&mut session.commands.clone()).await;
        answer.map_err(|error| {
            self.failed(&session, &error);
            BrokerError::of(error)
        })
    }

    /// Drops the session after an error of its connection, which is not made again by itself.
    fn failed(&self, session: &Arc<Session>, error: &RedisError) {
        if error.is_unrecoverable_error() || error.is_io_error() {
            self.session.discard(session);
        }
    }

    async fn pull_some(
        &self,
        session: &Session,
        max: usize,
        inbox: &Inbox,
    ) -> Result<(), RedisError> {
        let mut connection = session.pulls.clone();
        // Messages that this consumer had before it was started again come first, in their order.
        if let Some(after) = session.history() {
            let command = self.read_group(max, &after, None);
            let entries = read(&mut connection, &command).await?;
            session.passed(entries.last().map(|entry| entry.id.clone()));
            return self.deliver_again(&mut connection, entries, inbox).await;
        }
        if let Some(from) = session.claim(self.settings.ack_wait) {
            let (next, entries) = self.claim(&mut connection, &from, max).await?;
            session.claimed(next);
            if !entries.is_empty() {
                return self.deliver_again(&mut connection, entries, inbox).await;
            }
        }
        let command = self.read_group(max, ">", Some(PULL_WAIT_MS));
        for entry in read(&mut connection, &command).await? {
            self.deliver(entry, 1, inbox).await;
        }
        Ok(())
    }

    fn read_group(&self, max: usize, from: &str, block: Option<u64>) -> Cmd {
        let mut command = cmd("XREADGROUP");
        command
            .arg("GROUP")
            .arg(&self.spec.group)
            .arg(&self.consumer);
        command.arg("COUNT").arg(max);
        if let Some(block) = block {
            command.arg("BLOCK").arg(block);
        }
        command.arg("STREAMS").arg(&self.spec.key).arg(from);
        command
    }

    /// Takes over what consumers have had for too long. Returns where to go on.
    async fn claim(
        &self,
        connection: &mut impl ConnectionLike,
        from: &str,
        max: usize,
    ) -> Result<(String, Vec<Entry>), RedisError> {
        let idle = u64::try_from(self.settings.ack_wait.as_millis()).unwrap_or(u64::MAX);
        let mut command = cmd("XAUTOCLAIM");
        command
            .arg(&self.spec.key)
            .arg(&self.spec.group)
            .arg(&self.consumer);
        command.arg(idle).arg(from).arg("COUNT").arg(max);
        let reply: redis::Value = command.query_async(connection).await?;
        entries::of_claim(reply)
    }

    /// Delivers entries that were delivered before, each with its count.
    async fn deliver_again(
        &self,
        connection: &mut impl ConnectionLike,
        entries: Vec<Entry>,
        inbox: &Inbox,
    ) -> Result<(), RedisError> {
        for entry in entries {
            let mut command = cmd("XPENDING");
            command.arg(&self.spec.key).arg(&self.spec.group);
            command.arg(&entry.id).arg(&entry.id).arg(1);
            let pending: Vec<(String, String, u64, u64)> = command.query_async(connection).await?;
            // It may have ended meanwhile.
            if let Some((_, _, _, deliveries)) = pending.first() {
                self.deliver(entry, *deliveries, inbox).await;
            }
        }
        Ok(())
    }

    async fn deliver(&self, entry: Entry, deliveries: u64, inbox: &Inbox) {
        let Some(position) = entry.position() else {
            return;
        };
        let delivery = Delivery {
            position,
            source: format!("redis:{}/{}", self.spec.key, entry.id),
            published: Some(entry.published()),
            deliveries: u32::try_from(deliveries).unwrap_or(u32::MAX),
            receipt: entry.id.clone(),
            message: entry.into_message(),
        };
        inbox.deliver(delivery).await;
    }

    /// Sets how long a message has been idle, without a further delivery.
    fn set_idle(&self, receipt: &str, idle: Duration) -> Cmd {
        let idle = u64::try_from(idle.as_millis()).unwrap_or(u64::MAX);
        let mut command = cmd("XCLAIM");
        command
            .arg(&self.spec.key)
            .arg(&self.spec.group)
            .arg(&self.consumer);
        command
            .arg(0)
            .arg(receipt)
            .arg("IDLE")
            .arg(idle)
            .arg("JUSTID");
        command
    }
}

async fn read(
    connection: &mut impl ConnectionLike,
    command: &Cmd,
) -> Result<Vec<Entry>, RedisError> {
    entries::of_read(command.query_async(connection).await?)
}

impl Source for Redis {
    async fn pull(&self, max: usize, inbox: &Inbox) -> Result<(), BrokerError> {
        let session = self.session().await?;
        let pulled = self.pull_some(&session, max, inbox).await;
        pulled.map_err(|error| {
            // The server may have come back without the group; credentials may have changed.
            self.session.discard(&session);
            BrokerError(format!("{}: {error}", self.spec.access.shown))
        })
    }

    async fn acknowledge(&self, receipt: &str) -> Result<(), BrokerError> {
        let mut command = cmd("XACK");
        command
            .arg(&self.spec.key)
            .arg(&self.spec.group)
            .arg(receipt);
        self.query::<u64>(&command).await.map(drop)
    }

    async fn progress(&self, receipt: &str) -> Result<(), BrokerError> {
        let command = self.set_idle(receipt, Duration::ZERO);
        self.query::<redis::Value>(&command).await.map(drop)
    }

    async fn release(&self, receipt: &str, _: Duration) -> Result<(), BrokerError> {
        // Whoever looks for such takes it over.
        let command = self.set_idle(receipt, self.settings.ack_wait);
        self.query::<redis::Value>(&command).await.map(drop)
    }

    async fn backlog(&self) -> Result<Backlog, BrokerError> {
        let mut command = cmd("XINFO");
        command.arg("GROUPS").arg(&self.spec.key);
        let groups: Vec<std::collections::HashMap<String, redis::Value>> =
            self.query(&command).await?;
        let is_ours = |group: &std::collections::HashMap<String, redis::Value>| {
            let name = group
                .get("name")
                .cloned()
                .and_then(|v| String::from_redis_value(v).ok());
            name.as_ref() == Some(&self.spec.group)
        };
        let group = groups.into_iter().find(is_ours);
        let lag = group.and_then(|mut group| group.remove("lag"));
        let lag = lag.and_then(|lag| u64::from_redis_value(lag).ok());
        Ok(Backlog {
            lag: lag.unwrap_or_default(),
        })
    }
}

impl Sink for Redis {
    async fn store(&self, receipt: &str, parcel: &Parcel) -> Result<Stored, StoreError> {
        let away = |error: &dyn std::fmt::Display| StoreError::Away(error.to_string());
        let session = self.session().await.map_err(|error| away(&error))?;
        let mut connection = session.commands.clone();
        let mut call = self.store.prepare_invoke();
        call.key(&self.spec.key).key(&parcel.place);
        call.arg(&self.spec.group).arg(receipt);
        for (name, value) in entries::fields(parcel) {
            call.arg(name).arg(value);
        }
        let stored = call.invoke_async::<u64>(&mut connection).await;
        // A message that is not pending was stored before, here or by another process.
        stored.map(|_| Stored::AndAcknowledged).map_err(|error| {
            self.failed(&session, &error);
            away(&error)
        })
    }
}
