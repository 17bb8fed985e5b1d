//! Limits that hold for a whole server.
//!
//! * `admission`: calls in flight.
//! * `bytes`: bytes in flight.
//! * `body_timeout`: the time until a request's message has arrived.
//! * `errors`: messages over the size limit, and bytes that are no message.
//! * `memory`: the memory that the process may use.
//! * `panics`: panics of handlers.
//! * `places`: how many there may be at once.
//! * `retry_slots`: when calls that found no place may come back.
//! * `share`: the part of a limit that one connection may have.

mod admission;
mod body_timeout;
mod bytes;
mod errors;
mod memory;
mod panics;
mod places;
mod retry_slots;
mod share;

pub use admission::{
    Admission, AdmissionLayer, AdmissionService, MAX_REQUEST_STREAMS,
    MAX_REQUEST_STREAMS_PER_CONNECTION, MAX_WATCHES, MAX_WATCHES_PER_CONNECTION, READ_TIMEOUT,
};
pub(crate) use admission::{Admitted, ConnectionPlaces, StreamAdmission};
pub(crate) use body_timeout::is_stream as is_request_stream;
pub use bytes::{ByteBudget, HeldBytes};
pub(crate) use bytes::{ConnectionBytes, WAIT_MAX};
pub use errors::{ErrorLayer, ErrorService};
pub use memory::{free_memory, usable_memory};
pub use panics::{PanicLayer, PanicService};

/// `true` if a path belongs to health or reflection, which must answer also when the server is at
/// its limit, and are neither counted nor traced.
pub fn is_exempt(path: &str) -> bool {
    path.starts_with("/grpc.health.") || path.starts_with("/grpc.reflection.")
}
