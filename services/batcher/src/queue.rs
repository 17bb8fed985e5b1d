//! Rows that wait, in the order in which they fall due.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::admission::Work;
use crate::{CallId, Priority, Row, RowId, Time};

/// Position of a row in its lane: earlier due first, then earlier admitted.
type Key = (Time, RowId);

/// Rows of one priority.
#[derive(Debug, Default)]
pub(crate) struct Lane {
    rows: BTreeMap<Key, Row>,
    tokens: u64,
    /// Rows of each party.
    parties: HashMap<Party, usize>,
}

/// Who waits: a request, whose calls are all needed before any is of use, or a call of which no more is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Party {
    Request(u64),
    Call(CallId),
}

impl Party {
    fn of(row: &Row) -> Self {
        row.request.map_or(Party::Call(row.call), Party::Request)
    }
}

impl Lane {
    /// Rows in the lane.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Rows, most urgent first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Row> {
        self.rows.values()
    }

    /// Work that falls due by `due`. Most newcomers fall due last, so it is counted from the back.
    pub(crate) fn work_until(&self, due: Time) -> Work {
        let mut work = Work {
            rows: self.rows.len(),
            tokens: self.tokens,
        };
        for row in self.rows.values().rev().take_while(|row| row.due > due) {
            work.rows -= 1;
            work.tokens -= u64::from(row.tokens);
        }
        work
    }

    /// Tokens of its rows.
    pub(crate) fn tokens(&self) -> u64 {
        self.tokens
    }

    /// Whether rows of this request are in the lane.
    pub(crate) fn has_request(&self, request: u64) -> bool {
        self.parties.contains_key(&Party::Request(request))
    }

    /// Requests, and calls of their own, that have rows in the lane.
    pub(crate) fn parties(&self) -> usize {
        self.parties.len()
    }

    fn insert(&mut self, row: Row) {
        self.tokens += u64::from(row.tokens);
        *self.parties.entry(Party::of(&row)).or_default() += 1;
        self.rows.insert((row.due, row.id), row);
    }

    fn remove(&mut self, key: Key) -> Option<Row> {
        let row = self.rows.remove(&key)?;
        self.tokens -= u64::from(row.tokens);
        if let Entry::Occupied(mut rows) = self.parties.entry(Party::of(&row)) {
            *rows.get_mut() -= 1;
            if *rows.get() == 0 {
                rows.remove();
            }
        }
        Some(row)
    }
}

/// Two lanes, and where each row is.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    interactive: Lane,
    bulk: Lane,
    places: HashMap<RowId, (Priority, Time)>,
    deadlines: BTreeSet<(Time, RowId)>,
}

impl Queue {
    /// Rows of both lanes.
    pub(crate) fn len(&self) -> usize {
        self.interactive.len() + self.bulk.len()
    }

    /// Tokens of both lanes.
    pub(crate) fn tokens(&self) -> u64 {
        self.interactive.tokens + self.bulk.tokens
    }

    /// The lane of `priority`.
    pub(crate) fn lane(&self, priority: Priority) -> &Lane {
        match priority {
            Priority::Interactive => &self.interactive,
            Priority::Bulk => &self.bulk,
        }
    }

    fn lane_mut(&mut self, priority: Priority) -> &mut Lane {
        match priority {
            Priority::Interactive => &mut self.interactive,
            Priority::Bulk => &mut self.bulk,
        }
    }

    /// Adds a row.
    pub(crate) fn insert(&mut self, row: Row) {
        self.places.insert(row.id, (row.priority, row.due));
        self.deadlines
            .extend(row.deadline.map(|deadline| (deadline, row.id)));
        self.lane_mut(row.priority).insert(row);
    }

    /// Takes a row out, if it is here.
    pub(crate) fn remove(&mut self, id: RowId) -> Option<Row> {
        let (priority, due) = self.places.remove(&id)?;
        let row = self.lane_mut(priority).remove((due, id))?;
        if let Some(deadline) = row.deadline {
            self.deadlines.remove(&(deadline, id));
        }
        Some(row)
    }

    /// Takes out the rows whose deadline has come, wherever they stand: later parts of a long call fall due after their deadline.
    pub(crate) fn take_expired(&mut self, now: Time) -> Vec<Row> {
        let mut expired = Vec::new();
        while let Some(&(deadline, id)) = self.deadlines.first()
            && deadline <= now
        {
            expired.extend(self.remove(id));
        }
        expired
    }
}

/// Whether nobody waits for this row any more.
pub(crate) fn is_expired(row: &Row, now: Time) -> bool {
    row.deadline.is_some_and(|deadline| deadline <= now)
}
