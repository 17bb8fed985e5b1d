//! The pure core of a stream: it decides what happens to each message, and does none of it.
//!
//! Time is an argument, what has happened is told to it, and what is to be done is asked of it
//! ([`Core::next`]). So the code that runs is the code that the tests simulate.
//!
//! * `position`: the place of a message in its source.
//! * `options`: what a stream promises, as numbers.
//! * `failure`: whose fault an attempt's failure is.
//! * `backoff`: times between attempts.
//! * `lanes`: messages that follow one another.
//! * `gather`: messages that are ready, and the chunks that they make.
//! * `message`: one message in flight.
//! * `machine`: all of them.
//! * `offsets`: the position of a partition whose messages end in any order.

mod backoff;
mod failure;
mod gather;
mod lanes;
mod machine;
mod message;
mod offsets;
mod options;
mod position;

pub use failure::{Failure, Fault};
pub use machine::{Action, Arrival, Arrived, Core, Stats};
pub use message::{Letter, MessageId};
pub use offsets::{Mark, Offsets, Plan, Seen};
pub use options::{Chunk, Options, Order};
pub use position::Position;

/// A point in time: what has passed since the stream began.
pub type Time = std::time::Duration;
