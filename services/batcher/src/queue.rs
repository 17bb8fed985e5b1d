//! Rows that wait, in the order in which they fall due.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::row::{CallId, Priority, Row, RowId, Work};
use crate::time::Time;

/// Position of a row in its lane: earlier due first, then earlier admitted.
type Key = (Time, RowId);

/// Rows of one priority.
#[derive(Debug, Default)]
pub(crate) struct Lane {
    rows: BTreeMap<Key, Row>,
    tokens: u64,
    /// Number of rows of each requester.
    requesters: HashMap<Requester, usize>,
}

/// The owner of a row: a request, all of whose calls are needed before any is of use, or a call
/// whose request is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Requester {
    Request(u64),
    Call(CallId),
}

impl Requester {
    fn of(row: &Row) -> Self {
        row.request
            .map_or(Requester::Call(row.call), Requester::Request)
    }
}

impl Lane {
    /// Number of rows in the lane.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Returns the rows, most urgent first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Row> {
        self.rows.values()
    }

    /// All work in the lane.
    pub(crate) fn work(&self) -> Work {
        Work {
            rows: self.rows.len(),
            tokens: self.tokens,
        }
    }

    /// Returns the work that falls due by `due`. It counts from the back, since most calls that
    /// arrive fall due last.
    pub(crate) fn work_until(&self, due: Time) -> Work {
        let mut work = self.work();
        for row in self.rows.values().rev().take_while(|row| row.due > due) {
            work.rows -= 1;
            work.tokens -= u64::from(row.tokens);
        }
        work
    }

    /// Sum of the rows' tokens.
    pub(crate) fn tokens(&self) -> u64 {
        self.tokens
    }

    /// `true` if the lane has rows of this request.
    pub(crate) fn has_request(&self, request: u64) -> bool {
        self.requesters.contains_key(&Requester::Request(request))
    }

    /// Number of requests, and of calls without a request, that have rows in the lane.
    pub(crate) fn requesters(&self) -> usize {
        self.requesters.len()
    }

    fn insert(&mut self, row: Row) {
        self.tokens += u64::from(row.tokens);
        *self.requesters.entry(Requester::of(&row)).or_default() += 1;
        self.rows.insert((row.due, row.id), row);
    }

    fn remove(&mut self, key: Key) -> Option<Row> {
        let row = self.rows.remove(&key)?;
        self.tokens -= u64::from(row.tokens);
        if let Entry::Occupied(mut rows) = self.requesters.entry(Requester::of(&row)) {
            *rows.get_mut() -= 1;
            if *rows.get() == 0 {
                rows.remove();
            }
        }
        Some(row)
    }
}

/// The lanes of both priorities, and indices to find rows by identity and by deadline.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    interactive: Lane,
    bulk: Lane,
    by_id: HashMap<RowId, (Priority, Time)>,
    by_deadline: BTreeSet<(Time, RowId)>,
}

impl Queue {
    /// Number of rows in both lanes.
    pub(crate) fn len(&self) -> usize {
        self.interactive.len() + self.bulk.len()
    }

    /// Sum of the tokens of both lanes.
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
        self.by_id.insert(row.id, (row.priority, row.due));
        self.by_deadline
            .extend(row.deadline.map(|deadline| (deadline, row.id)));
        self.lane_mut(row.priority).insert(row);
    }

    /// Takes a row out; `None` if it is not in the queue.
    pub(crate) fn remove(&mut self, id: RowId) -> Option<Row> {
        let (priority, due) = self.by_id.remove(&id)?;
        let row = self.lane_mut(priority).remove((due, id))?;
        if let Some(deadline) = row.deadline {
            self.by_deadline.remove(&(deadline, id));
        }
        Some(row)
    }

    /// Takes out the rows whose deadline has come, wherever they are in the order: later parts of a
    /// long call fall due after their deadline.
    pub(crate) fn take_expired(&mut self, now: Time) -> Vec<Row> {
        let mut expired = Vec::new();
        while let Some(&(deadline, id)) = self.by_deadline.first()
            && deadline <= now
        {
            expired.extend(self.remove(id));
        }
        expired
    }
}
