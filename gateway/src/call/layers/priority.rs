//! `priority`: the urgency of a node's calls in the queues of models.

use motet_config::{Diagnostics, Entry, Spanned, values};
use serde_json::{Value, json};

/// Largest `priority`. 0 and 1 are interactive, larger numbers are bulk.
pub const PRIORITY_MAX: i64 = 255;

/// Reads `priority: 3`.
pub(super) fn read(entry: &Entry, diagnostics: &mut Diagnostics) -> Option<Spanned<i64>> {
    values::int(entry, 0..=PRIORITY_MAX, diagnostics)
}

/// Returns the schema of `priority`.
pub(super) fn schema() -> Value {
    json!({ "type": ["integer", "string"] })
}
