//! Rows that wait: those that may run next, in the order in which they fall due, and the backlogs
//! of their calls.

use std::collections::{BTreeMap, BTreeSet, HashMap, hash_map};

use crate::due_work::DueWork;
use crate::fair_queue::{FairQueue, Next, Standing};
use crate::flow::Flow;
use crate::row::{CallId, Priority, Row, RowId, Rows, Work};
use crate::time::Time;

/// Position of a row in its lane: earlier due first, then earlier admitted.
type Key = (Time, RowId);

/// Rows of one priority.
#[derive(Debug, Default)]
pub(crate) struct Lane {
    /// The rows that may run next.
    ready: BTreeMap<Key, Row>,
    ready_tokens: u64,
    /// The work of those in a group other than 0, and its sum: with one group for all rows, which
    /// is usual, there is nothing to count.
    grouped: HashMap<u64, Work>,
    grouped_work: Work,
    /// The same by the time at which they fall due.
    due: DueWork,
    /// All calls, and the rows that are not ready.
    calls: FairQueue,
    /// Number of calls of each requester.
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
        self.calls.rows()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// `true` if all rows may run next.
    pub(crate) fn has_no_backlog(&self) -> bool {
        self.ready.len() == self.len()
    }

    /// Number of rows that may run next.
    pub(crate) fn ready_len(&self) -> usize {
        self.ready.len()
    }

    /// Returns the rows that may run next, most urgent first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Row> {
        self.ready.values()
    }

    /// Returns the rows that may run next and share a batch with the most urgent one, which is the
    /// first.
    pub(crate) fn iter_first_group(&self) -> impl Iterator<Item = &Row> {
        let group = self.first_group();
        let of_group = move |row: &&Row| Some(row.group) == group;
        self.ready.values().filter(of_group)
    }

    /// Returns the group of the most urgent row.
    fn first_group(&self) -> Option<u64> {
        self.ready.first_key_value().map(|(_, row)| row.group)
    }

    /// The work that may run next and share a batch with the most urgent row.
    pub(crate) fn ready_of_first_group(&self) -> Work {
        match self.first_group() {
            None => Work::default(),
            Some(0) => self.ready().minus(self.grouped_work),
            Some(group) => self.grouped.get(&group).copied().unwrap_or_default(),
        }
    }

    /// The work that may run next.
    pub(crate) fn ready(&self) -> Work {
        Work {
            rows: self.ready.len(),
            tokens: self.ready_tokens,
        }
    }

    /// All work in the lane.
    pub(crate) fn work(&self) -> Work {
        let mut work = self.ready();
        work += self.calls.backlog();
        work
    }

    /// Returns the ready work that falls due by `due` or at about that time.
    pub(crate) fn ready_until(&self, due: Time) -> Work {
        self.ready().minus(self.due.after(due))
    }

    /// `true` if the lane has rows of this request.
    pub(crate) fn has_request(&self, request: u64) -> bool {
        self.requesters.contains_key(&Requester::Request(request))
    }

    /// Number of requests, and of calls without a request, that have rows in the lane.
    pub(crate) fn requesters(&self) -> usize {
        self.requesters.len()
    }

    /// Places that the calls of the lane take.
    pub(crate) fn places(&self) -> usize {
        self.calls.places()
    }

    /// Returns the position in which a further call of a flow would be.
    pub(crate) fn standing(&self, flow: &Flow, part: Work) -> Standing {
        self.calls.standing(flow, part)
    }

    /// Returns the call whose rows should become ready next; `None` without a backlog.
    pub(crate) fn next(&self, part: Work) -> Option<Next> {
        self.calls.next(part)
    }

    /// Tokens of the rows of a call that are not ready.
    pub(crate) fn waiting_tokens(&self, call: CallId) -> &[u32] {
        self.calls.waiting_tokens(call)
    }

    /// Makes the next `count` rows of a call ready.
    pub(crate) fn release(&mut self, now: Time, call: CallId, count: usize, part: Work) {
        for row in self.calls.release(now, call, count, part) {
            self.push(row);
        }
    }

    fn insert(&mut self, first: Row, rows: Rows<'_>, flow: &Flow, places: usize, part: Work) {
        *self.requesters.entry(Requester::of(&first)).or_default() += 1;
        let released = self.calls.insert(first, rows, flow, places, part);
        for (index, &tokens) in rows.tokens[..released].iter().enumerate() {
            let group = rows.group(index);
            self.push(first.sibling(index, tokens, group));
        }
    }

    fn push(&mut self, row: Row) {
        self.ready_tokens += u64::from(row.tokens);
        self.due.add(row.due, row.work());
        if row.group != 0 {
            *self.grouped.entry(row.group).or_default() += row.work();
            self.grouped_work += row.work();
        }
        self.ready.insert((row.due, row.id), row);
    }

    fn pop(&mut self, key: Key) -> Option<Row> {
        let row = self.ready.remove(&key)?;
        self.ready_tokens -= u64::from(row.tokens);
        self.due.remove(row.due, row.work());
        if let hash_map::Entry::Occupied(mut of_group) = self.grouped.entry(row.group) {
            self.grouped_work = self.grouped_work.minus(row.work());
            let left = of_group.get().minus(row.work());
            match left.rows {
                0 => drop(of_group.remove()),
                _ => *of_group.get_mut() = left,
            }
        }
        Some(row)
    }

    /// Takes note that the last row of a call has left.
    fn forget(&mut self, first: &Row) {
        if let hash_map::Entry::Occupied(mut calls) = self.requesters.entry(Requester::of(first)) {
            *calls.get_mut() -= 1;
            if *calls.get() == 0 {
                calls.remove();
            }
        }
    }
}

/// The lanes of both priorities, and the deadlines of their calls.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    interactive: Lane,
    bulk: Lane,
    deadlines: BTreeSet<(Time, CallId)>,
}

impl Queue {
    /// Number of rows in both lanes.
    pub(crate) fn len(&self) -> usize {
        self.interactive.len() + self.bulk.len()
    }

    /// The work of both lanes.
    pub(crate) fn work(&self) -> Work {
        let mut work = self.interactive.work();
        work += self.bulk.work();
        work
    }

    /// Places that the calls of both lanes take.
    pub(crate) fn places(&self) -> usize {
        self.interactive.places() + self.bulk.places()
    }

    /// The lane of `priority`.
    pub(crate) fn lane(&self, priority: Priority) -> &Lane {
        match priority {
            Priority::Interactive => &self.interactive,
            Priority::Bulk => &self.bulk,
        }
    }

    pub(crate) fn lane_mut(&mut self, priority: Priority) -> &mut Lane {
        match priority {
            Priority::Interactive => &mut self.interactive,
            Priority::Bulk => &mut self.bulk,
        }
    }

    /// Adds a call of rows like `first`, of these lengths and groups, which takes `places` places.
    /// Its first `part` is ready at once unless its flow is ahead of its share.
    pub(crate) fn insert(
        &mut self,
        first: Row,
        rows: Rows<'_>,
        flow: &Flow,
        places: usize,
        part: Work,
    ) {
        let deadline = first.deadline.map(|deadline| (deadline, first.call));
        self.deadlines.extend(deadline);
        self.lane_mut(first.priority)
            .insert(first, rows, flow, places, part);
    }

    /// Takes out rows that run.
    pub(crate) fn take_running(&mut self, rows: &[Row]) {
        for rows in rows.chunk_by(|a, b| a.call == b.call) {
            let lane = self.lane_mut(rows[0].priority);
            let mut work = Work::default();
            for row in rows {
                lane.pop((row.due, row.id));
                work += row.work();
            }
            if let Some(first) = lane.calls.leave(rows[0].call, work) {
                lane.forget(&first);
                self.forget_deadline(&first);
            }
        }
    }

    /// Takes out all rows of a call.
    pub(crate) fn take_call(&mut self, call: CallId) -> Vec<Row> {
        let has_call = |lane: &&mut Lane| lane.calls.first_row(call).is_some();
        let lanes = [&mut self.interactive, &mut self.bulk];
        let Some(lane) = lanes.into_iter().find(has_call) else {
            return Vec::new();
        };
        let Some(left) = lane.calls.remove(call) else {
            return Vec::new();
        };
        let first = left.first;
        let ready = left.released.into_iter().filter_map(|key| lane.pop(key));
        let mut rows: Vec<Row> = ready.collect();
        rows.extend(left.backlog);
        lane.forget(&first);
        self.forget_deadline(&first);
        rows
    }

    /// Takes out the rows of the calls whose deadline has come.
    pub(crate) fn take_expired(&mut self, now: Time) -> Vec<Row> {
        let mut expired = Vec::new();
        while let Some(&(deadline, call)) = self.deadlines.first()
            && deadline <= now
        {
            expired.extend(self.take_call(call));
            self.deadlines.remove(&(deadline, call));
        }
        expired
    }

    fn forget_deadline(&mut self, first: &Row) {
        if let Some(deadline) = first.deadline {
            self.deadlines.remove(&(deadline, first.call));
        }
    }
}
