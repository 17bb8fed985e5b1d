//! The place of a message in its source.

use std::fmt;

/// The place of a message in its source: what is delivered again has the same one. Within a
/// partition, a later message has a greater one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The partition; 0 where a source has only one.
    pub partition: u32,
    /// The place within it: a sequence, an offset, or milliseconds.
    pub place: u64,
    /// The place among those of one millisecond, where a source counts so.
    pub sub: u64,
}

impl Position {
    /// Returns a position of a source that has one partition and a sequence.
    pub const fn of_sequence(place: u64) -> Self {
        Self {
            partition: 0,
            place,
            sub: 0,
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            partition,
            place,
            sub,
        } = self;
        write!(f, "{partition}/{place}/{sub}")
    }
}
