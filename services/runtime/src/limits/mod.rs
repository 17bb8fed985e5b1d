//! Limits that hold for a whole server.
//!
//! * `admission`: calls in flight.
//! * `body_timeout`: the time until a request's message has arrived.
//! * `errors`: messages over the size limit, and bytes that are no message.
//! * `panics`: panics of handlers.

mod admission;
mod body_timeout;
mod errors;
mod panics;

pub use admission::{Admission, AdmissionLayer, AdmissionService, READ_TIMEOUT};
pub use errors::{ErrorLayer, ErrorService};
pub use panics::{PanicLayer, PanicService};

/// `true` if a path belongs to health or reflection, which must answer also when the server is at
/// its limit, and are neither counted nor traced.
pub fn is_exempt(path: &str) -> bool {
    path.starts_with("/grpc.health.") || path.starts_with("/grpc.reflection.")
}
