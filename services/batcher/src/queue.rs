//! Rows that wait, in the order in which they fall due.

use std::collections::BTreeMap;
use std::collections::HashMap;

use crate::{Priority, Row, RowId, Time};

/// Position of a row in its lane: earlier due first, then earlier admitted.
type Key = (Time, RowId);

/// Rows of one priority.
#[derive(Debug, Default)]
pub(crate) struct Lane {
    rows: BTreeMap<Key, Row>,
    tokens: u64,
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

    /// The most urgent row.
    pub(crate) fn first(&self) -> Option<&Row> {
        self.rows.first_key_value().map(|(_, row)| row)
    }

    fn insert(&mut self, row: Row) {
        self.tokens += u64::from(row.tokens);
        self.rows.insert((row.due, row.id), row);
    }

    fn remove(&mut self, key: Key) -> Option<Row> {
        let row = self.rows.remove(&key)?;
        self.tokens -= u64::from(row.tokens);
        Some(row)
    }
}

/// Two lanes, and where each row is.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    interactive: Lane,
    bulk: Lane,
    places: HashMap<RowId, (Priority, Time)>,
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
        self.lane_mut(row.priority).insert(row);
    }

    /// Takes a row out, if it is here.
    pub(crate) fn remove(&mut self, id: RowId) -> Option<Row> {
        let (priority, due) = self.places.remove(&id)?;
        self.lane_mut(priority).remove((due, id))
    }

    /// Takes out, from the front of each lane, rows whose deadline has come.
    pub(crate) fn take_expired(&mut self, now: Time) -> Vec<Row> {
        let mut expired = Vec::new();
        for priority in [Priority::Interactive, Priority::Bulk] {
            while let Some(id) = self
                .lane(priority)
                .first()
                .filter(|row| is_expired(row, now))
                .map(|row| row.id)
            {
                expired.extend(self.remove(id));
            }
        }
        expired
    }
}

/// Whether nobody waits for this row any more.
pub(crate) fn is_expired(row: &Row, now: Time) -> bool {
    row.deadline.is_some_and(|deadline| deadline <= now)
}
