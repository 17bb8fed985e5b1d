//! Selects the queued rows that run together.

use std::ops::Range;

use crate::cost::CostModel;
use crate::options::{Caps, Layout};
use crate::queue::Lane;
use crate::row::{Row, Work};
use crate::time::Time;

/// The batch of a padding executor is chosen among the most urgent rows, this many batches of them
/// ...
const PADDED_CHOICE: usize = 4;
/// ... and at most this many rows.
const PADDED_ROWS_MAX: usize = 1024;
/// Where rows of other groups are among the most urgent, this many batches of them in all are
/// looked at for more of the first one's.
const GROUPS_CHOICE: usize = 4;
/// Most places at which these rows, sorted by length, are cut: the choice takes the square of it.
const CUTS_MAX: usize = 128;

/// A batch that is being formed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Draft {
    pub(crate) rows: Vec<Row>,
    /// Sum of the rows' tokens.
    pub(crate) sum: u64,
    /// Tokens of the longest row.
    pub(crate) longest: u32,
}

impl Draft {
    /// Returns the tokens that the draft computes.
    pub(crate) fn tokens(&self, layout: Layout) -> u64 {
        layout.tokens(self.rows.len(), self.sum, self.longest)
    }

    /// Returns the tokens that the draft would compute with one more row.
    pub(crate) fn tokens_with(&self, row: &Row, layout: Layout) -> u64 {
        layout.tokens(
            self.rows.len() + 1,
            self.sum + u64::from(row.tokens),
            self.longest.max(row.tokens),
        )
    }

    /// `true` if no row of `usual` tokens, the usual number, can join.
    pub(crate) fn is_full(&self, usual: u32, caps: &Caps) -> bool {
        let (rows, sum) = (self.rows.len() + 1, self.sum + u64::from(usual));
        rows > caps.rows || caps.layout.tokens(rows, sum, self.longest.max(usual)) > caps.tokens
    }

    /// `true` if one more row keeps the caps. The first row always does: it runs alone.
    pub(crate) fn accepts(&self, row: &Row, caps: &Caps) -> bool {
        self.rows.is_empty()
            || (self.rows.len() < caps.rows && self.tokens_with(row, caps.layout) <= caps.tokens)
    }

    pub(crate) fn push(&mut self, row: Row) {
        self.sum += u64::from(row.tokens);
        self.longest = self.longest.max(row.tokens);
        self.rows.push(row);
    }
}

impl FromIterator<Row> for Draft {
    fn from_iter<I: IntoIterator<Item = Row>>(rows: I) -> Self {
        let mut draft = Draft::default();
        rows.into_iter().for_each(|row| draft.push(row));
        draft
    }
}

/// Forms the next batch of a lane: the most urgent row, which is always in it, and others of its
/// group. Empty only if the lane is.
pub(crate) fn form(lane: &Lane, caps: &Caps, cost: &CostModel) -> Draft {
    match caps.layout {
        Layout::Packed => prefix(lane.iter_first_group(), caps),
        Layout::Padded => {
            let of_group = lane.iter_first_group();
            let urgent = of_group.take(padded_choice(lane.ready_of_first_group(), caps));
            group_by_length(urgent.copied().collect(), caps, cost)
        }
    }
}

/// `true` if a batch can be formed of the ready rows of a lane as well as of more.
pub(crate) fn is_enough(lane: &Lane, caps: &Caps) -> bool {
    let batches = match caps.layout {
        Layout::Packed => 1,
        Layout::Padded => PADDED_CHOICE,
    };
    makes_batches(lane.ready_of_first_group(), batches, caps)
        || makes_batches(lane.ready(), batches * GROUPS_CHOICE, caps)
}

/// `true` if the rows fill more than this many batches.
fn makes_batches(ready: Work, batches: usize, caps: &Caps) -> bool {
    ready.rows
        > caps
            .rows
            .saturating_mul(batches)
            .min(PADDED_ROWS_MAX.max(caps.rows))
        || ready.tokens > caps.tokens.saturating_mul(batches as u64)
}

/// Takes the most urgent rows up to the caps. It stops at the first row that does not fit: looking
/// further would fill a batch a little better and let long rows be passed over for ever.
fn prefix<'a>(rows: impl Iterator<Item = &'a Row>, caps: &Caps) -> Draft {
    let mut draft = Draft::default();
    for row in rows {
        if !draft.accepts(row, caps) {
            break;
        }
        draft.push(*row);
    }
    draft
}

/// Returns the number of ready rows that the batch of a padding executor is chosen among.
fn padded_choice(ready: Work, caps: &Caps) -> usize {
    let usual = ready.tokens.div_ceil(ready.rows.max(1) as u64).max(1);
    let by_tokens = usize::try_from(caps.tokens / usual).unwrap_or(usize::MAX);
    let batch = caps.rows.min(by_tokens.max(1));
    batch.saturating_mul(PADDED_CHOICE).min(PADDED_ROWS_MAX)
}

/// Cuts the rows, sorted by length, into contiguous groups of least total cost, and takes the group
/// of the most urgent row, which is the first of `rows`.
fn group_by_length(mut rows: Vec<Row>, caps: &Caps, cost: &CostModel) -> Draft {
    let Some(most_urgent) = rows.first().map(|row| row.id) else {
        return Draft::default();
    };
    rows.sort_unstable_by_key(|row| (row.tokens, row.due, row.id));
    let groups = cheapest_cut(&rows, caps, cost);
    let mut groups = groups.into_iter().map(|group| &rows[group]);
    let has_most_urgent = |group: &&[Row]| group.iter().any(|row| row.id == most_urgent);
    let mut group = groups.find(has_most_urgent).unwrap_or_default().to_vec();
    // Between two places to cut there can be more rows than a batch takes.
    group.sort_unstable_by_key(|row| (row.due, row.id));
    prefix(group.iter(), caps)
}

/// Returns the groups of least total cost, by a dynamic programme over the end of the last group.
/// `rows` are sorted by length.
fn cheapest_cut(rows: &[Row], caps: &Caps, cost: &CostModel) -> Vec<Range<usize>> {
    let step = rows.len().div_ceil(CUTS_MAX).max(1);
    let places: Vec<usize> = (0..rows.len()).step_by(step).chain([rows.len()]).collect();
    // Until the cost is known, padding alone decides, and a batch costs as much as a row.
    let seconds = |tokens: u64, longest: u32| match cost.is_known() {
        true => cost.predict(tokens),
        false => tokens as f64 + f64::from(longest),
    };
    // Least cost of the rows before a place in seconds, and the place at which their last group
    // starts.
    let mut best: Vec<(f64, usize)> = vec![(0.0, 0)];
    for end in 1..places.len() {
        let longest = rows[places[end] - 1].tokens;
        let mut least = (f64::INFINITY, end - 1);
        for start in (0..end).rev() {
            let size = places[end] - places[start];
            let tokens = caps.layout.tokens(size, 0, longest);
            let is_allowed = size <= caps.rows && tokens <= caps.tokens;
            if !is_allowed && start + 1 < end {
                break;
            }
            let total = best[start].0 + seconds(tokens, longest);
            if total <= least.0 {
                least = (total, start);
            }
        }
        best.push(least);
    }
    let mut groups = Vec::new();
    let mut end = places.len() - 1;
    while end > 0 {
        let (_, start) = best[end];
        groups.push(places[start]..places[end]);
        end = start;
    }
    groups
}

/// Cuts a draft to its most urgent rows, at most `tokens` tokens but at least one row.
pub(crate) fn shorten(draft: Draft, tokens: u64, caps: &Caps) -> Draft {
    if draft.tokens(caps.layout) <= tokens {
        return draft;
    }
    prefix(draft.rows.iter(), &Caps { tokens, ..*caps })
}

/// A draft without the rows that its own duration would make late.
pub(crate) struct Fitted {
    pub(crate) draft: Draft,
    /// Rows that can no longer be answered in time.
    pub(crate) hopeless: Vec<Row>,
}

/// Makes a draft end by the deadline of each of its rows, by the safe estimate of its duration.
///
/// With more rows queued than the batch holds, rows that would be late leave it, and the caller
/// forms another one; otherwise the batch gets shorter, since a shorter one ends earlier.
pub(crate) fn fit(
    draft: Draft,
    more_queued: bool,
    caps: &Caps,
    cost: &CostModel,
    now: Time,
) -> Fitted {
    let end = |tokens: u64| now.plus_seconds(cost.predict_safe(tokens));
    let is_late = |row: &Row, end: Time| row.deadline.is_some_and(|deadline| deadline < end);
    let whole_end = end(draft.tokens(caps.layout));
    if !draft.rows.iter().any(|row| is_late(row, whole_end)) {
        return Fitted {
            draft,
            hopeless: Vec::new(),
        };
    }
    if more_queued {
        let (hopeless, rest): (Vec<Row>, Vec<Row>) = draft
            .rows
            .into_iter()
            .partition(|row| is_late(row, whole_end));
        return Fitted {
            draft: rest.into_iter().collect(),
            hopeless,
        };
    }
    let mut rows = draft.rows;
    rows.sort_by_key(|row| (row.due, row.id));
    let (mut kept, mut hopeless, mut earliest) = (Draft::default(), Vec::new(), Time::NEVER);
    for row in rows {
        let earliest_with = row
            .deadline
            .map_or(earliest, |deadline| deadline.min(earliest));
        if end(kept.tokens_with(&row, caps.layout)) <= earliest_with {
            kept.push(row);
            earliest = earliest_with;
        } else if kept.rows.is_empty() {
            hopeless.push(row);
        } else {
            break;
        }
    }
    Fitted {
        draft: kept,
        hopeless,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::cost::Measurement;
    use crate::row::{CallId, Priority, RowId};

    /// 1 ms per batch and 10 µs per token; the safe estimate is 1.2 times that.
    fn cost() -> CostModel {
        let mut cost = CostModel::default();
        let run = |tokens| Measurement {
            rows: 1,
            tokens,
            duration: Duration::from_micros(1000 + 10 * tokens),
        };
        cost.calibrate(&[run(16), run(128), run(1024)]);
        cost
    }

    /// Rows of the given lengths and deadlines in milliseconds, most urgent first.
    fn rows(rows: &[(u32, Option<u64>)]) -> Vec<Row> {
        let row = |(number, &(tokens, deadline_ms)): (usize, &(u32, Option<u64>))| {
            let deadline = deadline_ms.map(|ms| Time::from_nanos(ms * 1_000_000));
            Row {
                id: RowId(number as u64),
                call: CallId(number as u64),
                index: 0,
                call_rows: 1,
                tokens,
                group: 0,
                arrived: Time::ZERO,
                deadline,
                due: deadline.unwrap_or(Time::NEVER),
                priority: Priority::Interactive,
                request: None,
            }
        };
        rows.iter().enumerate().map(row).collect()
    }

    fn ids(rows: &[Row]) -> Vec<u64> {
        let mut ids: Vec<u64> = rows.iter().map(|row| row.id.0).collect();
        ids.sort_unstable();
        ids
    }

    #[test]
    fn a_padding_executor_gets_rows_of_similar_length() {
        let check = |tokens: &[u32], rows_max: usize, expected: &[u64]| {
            let lengths: Vec<(u32, Option<u64>)> =
                tokens.iter().map(|tokens| (*tokens, None)).collect();
            let caps = Caps {
                rows: rows_max,
                tokens: 8192,
                layout: Layout::Padded,
            };
            assert_eq!(
                ids(&group_by_length(rows(&lengths), &caps, &cost()).rows),
                expected,
                "{tokens:?}"
            );
        };
        check(&[10, 500, 12, 490], 4, &[0, 2]);
        check(&[500, 10, 12, 490], 4, &[0, 3]);
        // The fixed cost of another pass is more than this padding.
        check(&[10, 12, 14, 20], 4, &[0, 1, 2, 3]);
        check(&[10, 10, 10], 2, &[0]);
        check(&[9000], 4, &[0]);
        check(&[], 4, &[]);
    }

    #[test]
    fn a_batch_ends_by_the_deadlines_of_its_rows() {
        let caps = Caps {
            rows: 4,
            tokens: 8192,
            layout: Layout::Packed,
        };
        let check = |given: &[(u32, Option<u64>)], more: bool, kept: &[u64], hopeless: &[u64]| {
            let fitted = fit(
                rows(given).into_iter().collect(),
                more,
                &caps,
                &cost(),
                Time::ZERO,
            );
            assert_eq!(
                (ids(&fitted.draft.rows), ids(&fitted.hopeless)),
                (kept.to_vec(), hopeless.to_vec()),
                "{given:?}, more {more}"
            );
        };
        // A batch takes 1.2 ms, and 1.2 ms more for each row of 100 tokens.
        check(&[(100, None), (100, None)], false, &[0, 1], &[]);
        check(
            &[(100, Some(9)), (100, Some(9)), (100, Some(9))],
            false,
            &[0, 1, 2],
            &[],
        );
        check(
            &[(100, Some(4)), (100, Some(9)), (100, Some(9))],
            false,
            &[0, 1],
            &[],
        );
        check(
            &[(100, Some(2)), (100, Some(9)), (100, Some(9))],
            false,
            &[1, 2],
            &[0],
        );
        check(
            &[(100, Some(4)), (100, Some(9)), (100, Some(9))],
            true,
            &[1, 2],
            &[0],
        );
        check(&[(100, Some(1)), (100, Some(1))], false, &[], &[0, 1]);
    }
}
