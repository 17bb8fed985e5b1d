#![doc = include_str!("../README.md")]
//!
//! # Modules
//!
//! * [`core`]: what happens to each message; pure.
//! * [`config`]: the key `streams` of a configuration.
//! * `message`: messages of a broker; `reading`: inputs of them; `writing`: answers and dead
//!   letters; `chunks`: many of them in one request.
//! * `broker`: [`Source`] and [`Sink`], what a broker is to a stream.
//! * `calls`: [`Calls`], what answers.
//! * `driver`: the loop that runs a stream.
//! * `nats`: NATS JetStream; `redis_streams`: Redis Streams; `kafka`: Kafka; `session_slot`: their
//!   sessions; `hosts`: the machine's name.
//! * `stream`: [`Stream`], a stream of a configuration that can run.

mod broker;
mod calls;
mod chunks;
pub mod config;
pub mod core;
mod driver;
#[cfg(any(feature = "kafka", feature = "redis"))]
mod hosts;
#[cfg(feature = "kafka")]
mod kafka;
mod message;
#[cfg(feature = "nats")]
mod nats;
mod reading;
#[cfg(feature = "redis")]
mod redis_streams;
#[cfg(any(feature = "kafka", feature = "nats", feature = "redis"))]
mod session_slot;
mod stream;
#[cfg(test)]
mod testing;
mod writing;

pub use broker::{Backlog, BrokerError, Inbox, Sink, Source, StoreError, Stored};
pub use calls::{CallContext, Calls, OutputPort, Ports};
pub use message::{Delivery, Headers, Message, Parcel};
pub use reading::Reader;
pub use stream::{Stream, StreamProblem};
