//! Start-time fair queueing: the order in which waiting calls get rows into the queue.
//!
//! Calls are the leaves of a tree of flows, and rows are measured in tokens. Each node has a
//! *virtual time*, which advances by the tokens that are released below it, divided by the shares
//! of the children that have work: the tokens that each of them, at a share of 1, should have had.
//! Each child has a *start tag*: the virtual time at which it deserves its next tokens. It moves by
//! the tokens that the child gets, divided by its share, and is never behind the virtual time at
//! which the child begins to have work, so that nobody saves up shares (Goyal, Vin and Cheng 1996;
//! the tree as Bennett and Zhang 1996).
//!
//! A call enters the queue in *parts* of about a quantum of tokens, or of one row where that is
//! longer. Its first part enters at once, unless its flow is more than a part ahead of its share;
//! then it waits in its flow, in the order in which calls fall due. What a call has not yet in the
//! queue is its *backlog*.
//!
//! Calls that come and go at once move the virtual time too, and those with a backlog fall behind
//! it. It is held within a part of the one that is furthest behind: whoever is, gets its rows into
//! the queue whatever others bring, and these rows move the virtual time on. Were it further ahead
//! than they can make up for, all rows of all calls would enter one after the other.
//!
//! Invariants: a row is in the backlog of its call, or has been released, or has left; a flow is in
//! the order of its parent exactly while a row below it is in a backlog.
//!
//! * `node`: a flow, its start tag and virtual time; `waiting`: a call and its backlog.

mod node;
mod waiting;

use std::collections::HashMap;

use crate::flow::Flow;
use crate::row::{CallId, Row, RowId, Rows, Work};
use crate::time::Time;

use node::{Child, Node};
use waiting::Waiting;

/// Virtual time of one token at a share of 1.
const TOKEN: u64 = 1 << 16;
/// Most flows without work that are remembered as ahead of their share.
const IDLE_FLOWS_MAX: usize = 1024;

const ROOT: usize = 0;

/// The call whose rows enter next.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Next {
    pub(crate) call: CallId,
    /// `true` for the first rows of the call.
    pub(crate) is_first: bool,
    /// `true` where they enter whatever others bring: no flow of the call is ahead of its share,
    /// and further rows are more than a part behind it.
    pub(crate) is_due: bool,
}

/// A call as it is when it left.
pub(crate) struct Left {
    /// The call's first row, as the pattern of all.
    pub(crate) first: Row,
    /// Its rows that had been released, whether they have run or not: the time at which they fall
    /// due and their identity.
    pub(crate) released: Vec<(Time, RowId)>,
    /// The rows of its backlog.
    pub(crate) backlog: Vec<Row>,
}

/// The position of a flow in the contention for the model.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Standing {
    /// `true` if the flow is ahead of its share, and its calls wait.
    pub(crate) is_ahead: bool,
    /// Seconds of the model in which the flow gets one, at least 1.
    pub(crate) slowdown: f64,
    /// Calls of the flow that have work, with the one that comes.
    pub(crate) calls: f64,
    /// Tokens of the flow that have not left; none of the root.
    pub(crate) tokens: u64,
    /// Places that the outermost flow takes, and its part of all shares.
    pub(crate) places: usize,
    pub(crate) part: f64,
}

/// Calls with rows that have not run, and their flows.
#[derive(Debug)]
pub(crate) struct FairQueue {
    nodes: Vec<Node>,
    index: HashMap<(usize, u64), usize>,
    /// Nodes of no flow.
    free: Vec<usize>,
    /// Flows without rows.
    idle: usize,
    calls: HashMap<CallId, Waiting>,
    backlog: Work,
    /// The most tokens that one part has had since the queue was empty.
    largest_part: u64,
}

impl Default for FairQueue {
    fn default() -> Self {
        FairQueue {
            nodes: vec![Node::default()],
            index: HashMap::new(),
            free: Vec::new(),
            idle: 0,
            calls: HashMap::new(),
            backlog: Work::default(),
            largest_part: 0,
        }
    }
}

impl FairQueue {
    /// The rows that wait in calls.
    pub(crate) fn backlog(&self) -> Work {
        self.backlog
    }

    /// Number of rows that have not left.
    pub(crate) fn rows(&self) -> usize {
        self.nodes[ROOT].work.rows
    }

    /// Places in the queue that all calls take.
    pub(crate) fn places(&self) -> usize {
        self.nodes[ROOT].places
    }

    /// Returns the first row of a call that has rows here.
    pub(crate) fn first_row(&self, call: CallId) -> Option<&Row> {
        self.calls.get(&call).map(|waiting| &waiting.first)
    }

    /// Adds a call of rows like `first`, of these lengths and groups, which takes `places` places
    /// in the queue. Returns the number of its rows that are released at once: a part, or none.
    pub(crate) fn insert(
        &mut self,
        first: Row,
        rows: Rows<'_>,
        flow: &Flow,
        places: usize,
        part: Work,
    ) -> usize {
        let tokens = rows.tokens;
        let is_ahead = self.is_ahead(flow, part);
        let work = tokens.iter().copied().collect();
        let node = self.open(flow, work, places);
        let released = if is_ahead { 0 } else { part_of(tokens, part) };
        let Node {
            active,
            virtual_time,
            ..
        } = &mut self.nodes[node];
        *active += 1;
        let (kept_tokens, kept_groups) = match released == tokens.len() {
            true => Default::default(),
            false => (tokens.into(), rows.groups.into()),
        };
        let waiting = Waiting {
            flow: node,
            start: *virtual_time,
            first,
            released,
            later: Vec::new(),
            tokens: kept_tokens,
            groups: kept_groups,
            work,
            places,
        };
        let backlog: Work = waiting.backlog().iter().copied().collect();
        self.calls.insert(first.call, waiting);
        self.backlog += backlog;
        if released > 0 {
            self.charge(first.call, sum(&tokens[..released]), part, false);
        }
        self.link(first.call);
        released
    }

    /// Returns the call whose rows should enter next; `None` without a backlog.
    pub(crate) fn next(&self, part: Work) -> Option<Next> {
        let (mut node, mut behind, mut in_time) = (&self.nodes[ROOT], false, true);
        loop {
            let started = node.started.first();
            // A call that begins is due at the present virtual time.
            let fresh = node.fresh.first();
            let fresh = fresh.filter(|_| started.is_none_or(|(s, _)| *s >= node.virtual_time));
            if let Some((_, call)) = fresh {
                return Some(Next {
                    call: *call,
                    is_first: true,
                    is_due: in_time,
                });
            }
            let (start, child) = started?;
            behind |= start + self.slack(part) <= node.virtual_time;
            in_time &= *start <= node.virtual_time;
            match child {
                Child::Flow(child) => node = &self.nodes[*child],
                Child::Call(call) => {
                    return Some(Next {
                        call: *call,
                        is_first: false,
                        is_due: behind && in_time,
                    });
                }
            }
        }
    }

    /// Tokens of the next rows of a call, those of its backlog.
    pub(crate) fn waiting_tokens(&self, call: CallId) -> &[u32] {
        self.calls.get(&call).map_or(&[], Waiting::backlog)
    }

    /// Releases the next `count` rows of a call. After the first part they fall due as if they
    /// came now, with as much time as the call had: what comes meanwhile is not behind them.
    pub(crate) fn release(
        &mut self,
        now: Time,
        call: CallId,
        count: usize,
        part: Work,
    ) -> Vec<Row> {
        let Some(waiting) = self.calls.get(&call) else {
            return Vec::new();
        };
        let from = waiting.released;
        let next = waiting.backlog().iter().take(count).enumerate();
        let first = &waiting.first;
        let due = match from {
            0 => first.due,
            _ => now.after(first.due.since(first.arrived)),
        };
        let row = |(n, &tokens): (usize, &u32)| Row {
            due,
            ..waiting.row(from + n, tokens)
        };
        let rows: Vec<Row> = next.map(row).collect();
        self.unlink(call);
        if let Some(waiting) = self.calls.get_mut(&call) {
            waiting.later.extend((from > 0).then_some((from, due)));
            waiting.released += rows.len();
        }
        let work: Work = rows.iter().map(|row| row.tokens).collect();
        self.backlog.rows -= work.rows;
        self.backlog.tokens -= work.tokens;
        self.charge(call, work.tokens, part, true);
        self.link(call);
        rows
    }

    /// Takes note that released rows of a call have left. Returns the first row of the call if they
    /// were its last.
    pub(crate) fn leave(&mut self, call: CallId, work: Work) -> Option<Row> {
        let waiting = self.calls.get_mut(&call)?;
        waiting.work = waiting.work.minus(work);
        let (flow, is_last) = (waiting.flow, waiting.work.rows == 0);
        let places = if is_last { waiting.places } else { 0 };
        self.close(flow, work, places, is_last);
        is_last.then(|| self.calls.remove(&call).map(|waiting| waiting.first))?
    }

    /// Removes a call with all of its rows.
    pub(crate) fn remove(&mut self, call: CallId) -> Option<Left> {
        self.unlink(call);
        let waiting = self.calls.remove(&call)?;
        let from = waiting.released;
        let backlog = waiting.backlog().iter().enumerate();
        let backlog: Vec<Row> = backlog.map(|(n, &t)| waiting.row(from + n, t)).collect();
        let work: Work = backlog.iter().map(|row| row.tokens).collect();
        self.backlog.rows -= work.rows;
        self.backlog.tokens -= work.tokens;
        let mut parts = waiting.later.iter().peekable();
        let mut due = waiting.first.due;
        let released = (0..waiting.released).map(|index| {
            if let Some((_, later)) = parts.next_if(|(first, _)| *first == index) {
                due = *later;
            }
            (due, RowId(waiting.first.id.0 + index as u64))
        });
        let released = released.collect();
        self.close(waiting.flow, waiting.work, waiting.places, true);
        Some(Left {
            first: waiting.first,
            released,
            backlog,
        })
    }

    /// Returns the position in which a further call of a flow would be.
    pub(crate) fn standing(&self, flow: &Flow, part: Work) -> Standing {
        let (mut at, mut slowdown) = (Some(ROOT), 1.0);
        let (mut places, mut share_of_all) = (0, None);
        for level in flow.levels() {
            let share = f64::from(level.share.get());
            let child = at.and_then(|at| self.index.get(&(at, level.key)).copied());
            let others = at.map_or(0, |at| self.nodes[at].active);
            let is_active = child.is_some_and(|child| self.nodes[child].work.rows > 0);
            let all = others as f64 + if is_active { 0.0 } else { share };
            share_of_all.get_or_insert_with(|| {
                places = child.map_or(0, |child| self.nodes[child].places);
                share / all.max(share)
            });
            slowdown *= (all / share).max(1.0);
            at = child;
        }
        let siblings = at.map_or(0, |at| self.nodes[at].active) as f64 + 1.0;
        Standing {
            is_ahead: self.is_ahead(flow, part),
            tokens: at
                .filter(|&at| at != ROOT)
                .map_or(0, |at| self.nodes[at].work.tokens),
            slowdown,
            calls: siblings,
            places,
            part: share_of_all.unwrap_or(1.0 / siblings),
        }
    }

    /// `true` if the flow, or one that it is in, is ahead of its share by more than a part, or has
    /// calls of which no row has been released.
    fn is_ahead(&self, flow: &Flow, part: Work) -> bool {
        let mut at = ROOT;
        for level in flow.levels() {
            let Some(&child) = self.index.get(&(at, level.key)) else {
                return false;
            };
            let lead = self.nodes[child]
                .start
                .saturating_sub(self.nodes[at].virtual_time);
            if lead > self.slack(part) || !self.nodes[child].fresh.is_empty() {
                return true;
            }
            at = child;
        }
        false
    }

    /// Returns the virtual time by which a flow may be ahead of its share, or behind it: what one
    /// release makes it. A row of more tokens than a part is a part of its own.
    fn slack(&self, part: Work) -> u64 {
        let tokens = part.tokens.max(self.largest_part);
        tokens.saturating_mul(TOKEN)
    }

    /// Returns the node of a flow that gets further rows and places.
    fn open(&mut self, flow: &Flow, work: Work, places: usize) -> usize {
        let mut at = ROOT;
        self.nodes[at].work += work;
        self.nodes[at].places += places;
        for level in flow.levels() {
            let child = self.child(at, level.key);
            let now = self.nodes[at].virtual_time;
            let node = &mut self.nodes[child];
            if node.work.rows == 0 {
                node.share = u64::from(level.share.get());
                node.start = node.start.max(now);
                self.nodes[at].active += u64::from(level.share.get());
                self.idle -= 1;
            }
            let node = &mut self.nodes[child];
            node.work += work;
            node.places += places;
            at = child;
        }
        at
    }

    /// Returns the flow `key` within another, which may be new and is idle then.
    fn child(&mut self, parent: usize, key: u64) -> usize {
        let (nodes, free, idle) = (&mut self.nodes, &mut self.free, &mut self.idle);
        *self.index.entry((parent, key)).or_insert_with(|| {
            *idle += 1;
            let node = Node {
                parent,
                ..Node::default()
            };
            match free.pop() {
                Some(at) => {
                    nodes[at] = node;
                    at
                }
                None => {
                    nodes.push(node);
                    nodes.len() - 1
                }
            }
        })
    }

    /// Takes rows and places from a flow; with `is_last`, one of its calls has no row left.
    fn close(&mut self, flow: usize, work: Work, places: usize, is_last: bool) {
        self.nodes[flow].active -= u64::from(is_last);
        let mut at = flow;
        loop {
            let node = &mut self.nodes[at];
            node.work = node.work.minus(work);
            node.places -= places;
            if at == ROOT {
                break;
            }
            let (parent, share, is_idle) = (node.parent, node.share, node.work.rows == 0);
            if is_idle {
                self.nodes[parent].active -= share;
                self.idle += 1;
            }
            at = parent;
        }
        self.forget();
    }

    /// Forgets flows without work: all of them when nothing waits at all, else when they are many.
    fn forget(&mut self) {
        if self.nodes[ROOT].work.rows == 0 {
            self.nodes.truncate(1);
            self.nodes[ROOT] = Node::default();
            self.index.clear();
            self.free.clear();
            self.idle = 0;
            self.largest_part = 0;
        } else if self.idle > IDLE_FLOWS_MAX {
            let (nodes, free) = (&mut self.nodes, &mut self.free);
            // All flows within an idle one are idle, too.
            self.index.retain(|_, node| {
                let is_idle = nodes[*node].work.rows == 0;
                if is_idle {
                    nodes[*node] = Node::default();
                    free.push(*node);
                }
                !is_idle
            });
            self.idle = 0;
        }
    }

    /// Takes note that a call gets `tokens` tokens as a part: moves its start tag and those of its
    /// flows, and the virtual times above them. These are not behind the tag of what is released
    /// from a backlog: that there is room for it means that nobody who is behind has more. Who is
    /// alone is never behind them, since there is no one who had more.
    fn charge(&mut self, call: CallId, tokens: u64, part: Work, from_backlog: bool) {
        let Some(waiting) = self.calls.get_mut(&call) else {
            return;
        };
        self.largest_part = self.largest_part.max(tokens);
        let moved = tokens.saturating_mul(TOKEN);
        let (mut at, mut share) = (waiting.flow, 1);
        let mut start = self.nodes[at].start_of(waiting.start, share);
        waiting.start = start + moved;
        let slack = self.slack(part);
        self.nodes[at].advance(start, share, moved, slack, from_backlog);
        while at != ROOT {
            let parent = self.nodes[at].parent;
            let before = self.nodes[at].start;
            share = self.nodes[at].share;
            start = self.nodes[parent].start_of(before, share);
            let after = start + moved / share.max(1);
            self.nodes[at].start = after;
            let siblings = &mut self.nodes[parent].started;
            if siblings.remove(&(before, Child::Flow(at))) {
                siblings.insert((after, Child::Flow(at)));
            }
            self.nodes[parent].advance(start, share, moved, slack, from_backlog);
            at = parent;
        }
    }

    /// Puts a call that has a backlog into the order of its flow, and the flow into that of its
    /// parent, and so on.
    fn link(&mut self, call: CallId) {
        let Some(waiting) = self.calls.get(&call) else {
            return;
        };
        if waiting.backlog().is_empty() {
            return;
        }
        let mut at = waiting.flow;
        let mut was_empty = self.nodes[at].is_unlinked();
        match waiting.released {
            0 => self.nodes[at].fresh.insert((waiting.first.due, call)),
            _ => self.nodes[at]
                .started
                .insert((waiting.start, Child::Call(call))),
        };
        while was_empty && at != ROOT {
            let (start, parent) = (self.nodes[at].start, self.nodes[at].parent);
            was_empty = self.nodes[parent].is_unlinked();
            self.nodes[parent].started.insert((start, Child::Flow(at)));
            at = parent;
        }
    }

    /// Takes a call out of the order of its flow; undoes [`FairQueue::link`].
    fn unlink(&mut self, call: CallId) {
        let Some(waiting) = self.calls.get(&call) else {
            return;
        };
        if waiting.backlog().is_empty() {
            return;
        }
        let mut at = waiting.flow;
        match waiting.released {
            0 => self.nodes[at].fresh.remove(&(waiting.first.due, call)),
            _ => self.nodes[at]
                .started
                .remove(&(waiting.start, Child::Call(call))),
        };
        while self.nodes[at].is_unlinked() && at != ROOT {
            let (start, parent) = (self.nodes[at].start, self.nodes[at].parent);
            self.nodes[parent].started.remove(&(start, Child::Flow(at)));
            at = parent;
        }
    }
}

fn sum(tokens: &[u32]) -> u64 {
    tokens.iter().map(|&tokens| u64::from(tokens)).sum()
}

/// Returns the number of rows, at least one, that make about a `part`: of the last, half may be
/// over.
pub(crate) fn part_of(tokens: &[u32], part: Work) -> usize {
    let mut total = 0;
    let fits = tokens.iter().take(part.rows).take_while(|&&tokens| {
        total += u64::from(tokens);
        total - u64::from(tokens / 2) <= part.tokens
    });
    fits.count().max(1).min(tokens.len())
}

#[cfg(test)]
mod tests;
