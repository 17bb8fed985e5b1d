//! Limits that hold for a whole server: calls in flight, message sizes, and bytes that are no message.

mod admission;
mod arrival;
mod errors;
mod panics;

pub use admission::{Admission, AdmissionFuture, AdmissionLayer, AdmissionService, READ_TIMEOUT};
pub use errors::{ErrorLayer, ErrorService};
pub use panics::{PanicLayer, PanicService};

/// Whether a path belongs to health or reflection, which must answer also when the server is full, and are neither
/// counted nor traced.
pub fn is_exempt(path: &str) -> bool {
    path.starts_with("/grpc.health.") || path.starts_with("/grpc.reflection.")
}
