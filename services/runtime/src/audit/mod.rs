//! The audit: one line of JSON for who did what, when, with what result, and never with what
//! inputs.
//!
//! ```json
//! {"time":"2027-01-31T12:00:00.123Z","event":"call","principal":"web","credential":"key",
//!  "peer":"10.0.0.7:51234","listener":"0.0.0.0:50051","method":"/motet.pipeline.Rag/Run",
//!  "targets":["rag"],"requests":1,"code":"OK","ms":12.3,"trace_id":null}
//! ```
//!
//! * `file`: the file and its rotation.
//! * `layer`: the server's layer.
//! * `record`: what becomes known of a call while it runs.

mod file;
mod layer;
mod record;

pub use file::{Audit, AuditError};
pub use layer::{AuditLayer, AuditService};
pub use record::CallRecord;
