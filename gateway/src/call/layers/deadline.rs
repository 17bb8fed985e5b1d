//! `deadline`: the time of a node.

use std::time::Duration;

use motet_config::{Diagnostic, Diagnostics, Entry, Span, Spanned, values};
use motet_runtime::deadline::Deadline;
use serde_json::{Value, json};
use tokio::time::Instant;

/// Shortest and longest deadline of a node or a pipeline.
pub(crate) const DEADLINE_RANGE: (Duration, Duration) =
    (Duration::from_millis(1), values::DURATION_MAX);

/// The `deadline` of a node.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Limit {
    /// A duration from the start of the node.
    Duration(Duration),
    /// A share (0 to 1) of the request's remaining time when the node starts.
    Share(f64),
}

impl Limit {
    /// Returns the deadline of a node that starts at `now` in a request that ends at `until`.
    pub fn deadline(self, now: Instant, until: Deadline) -> Deadline {
        let limit = match self {
            Self::Duration(limit) => limit,
            Self::Share(share) => until.remaining(now).mul_f64(share.clamp(0.0, 1.0)),
        };
        until.min(Deadline::after(now, limit))
    }
}

/// Reads `deadline: 150ms` or `deadline: 40%`.
pub(super) fn read(entry: &Entry, diagnostics: &mut Diagnostics) -> Option<Spanned<Limit>> {
    if entry
        .node
        .as_str()
        .is_some_and(|t| t.trim_end().ends_with('%'))
    {
        let share = values::percent(entry, 1.0..=100.0, diagnostics)?;
        return Some(share.map(Limit::Share));
    }
    let duration = values::duration(entry, DEADLINE_RANGE.0..=DEADLINE_RANGE.1, diagnostics)?;
    Some(duration.map(Limit::Duration))
}

/// Returns the schema of `deadline`.
pub(super) fn schema() -> Value {
    json!({
        "type": "string",
        "description": "a duration such as 200ms, or a percentage of the time left such as 40%",
    })
}

/// Warns of a deadline that can never pass, since the longest time of a request is shorter. `max`
/// is that time, with its place in the file if it is written.
pub(crate) fn check(
    deadline: &Spanned<Limit>,
    max: (Duration, Option<Span>),
) -> Option<Diagnostic> {
    let Limit::Duration(limit) = deadline.value else {
        return None;
    };
    if limit <= max.0 {
        return None;
    }
    let shown = humantime::format_duration;
    let warning = Diagnostic::warning(
        deadline.span,
        format!(
            "the node's deadline ({}) is longer than the pipeline's maximum ({}), which wins",
            shown(limit),
            shown(max.0)
        ),
    );
    Some(match max.1 {
        Some(span) => warning.also(span, "the maximum"),
        None => warning,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_deadline_is_never_past_the_request_deadline() {
        let now = Instant::now();
        let ms = Duration::from_millis;
        let until = Deadline::after(now, ms(200));
        for (limit, left) in [
            (Limit::Duration(ms(50)), 50),
            (Limit::Duration(ms(500)), 200),
            (Limit::Share(0.25), 50),
            (Limit::Share(1.0), 200),
        ] {
            let deadline = limit.deadline(now, until);
            assert_eq!(deadline.remaining(now), ms(left), "{limit:?}");
        }
        let late = now + ms(300);
        assert!(Limit::Share(0.5).deadline(late, until).is_past(late));
    }
}
