//! Whose fault it is that an attempt failed.

use std::time::Duration;

/// Whose fault it is that an attempt failed, which decides what becomes of the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The message's own: no other attempt can end otherwise. It is a dead letter at once.
    Message,
    /// Unknown: another attempt may succeed, and each one counts.
    Attempt,
    /// The pipeline's: it is away. The message waits for it, and is a suspect only if others are
    /// answered meanwhile.
    Service,
    /// Nobody's: the pipeline is full. The message waits for as long as that lasts.
    Overload,
}

/// A failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failure {
    /// Whose fault it is.
    pub fault: Fault,
    /// Time that the pipeline asks to wait, if it does.
    pub retry_after: Option<Duration>,
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self {
            fault,
            retry_after: None,
        }
    }
}
