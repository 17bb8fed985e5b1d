//! Messages that follow one another.

use std::collections::{BTreeMap, HashMap};

use super::message::MessageId;
use super::position::Position;

/// Identity of a lane, which its messages have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum LaneId {
    /// Messages of a key in a partition. A key in several partitions has an order in each.
    Key(u32, u64),
    /// Messages of a partition.
    Partition(u32),
}

/// One lane: at most one of its messages runs.
#[derive(Debug, Default)]
struct Lane {
    running: Option<MessageId>,
    /// The others, by their places in the source.
    waiting: BTreeMap<Position, MessageId>,
}

/// All lanes that have a message.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    lanes: HashMap<LaneId, Lane>,
}

impl Lanes {
    /// Adds a message, and returns `true` if it may run: nothing of its lane does.
    pub(super) fn enter(&mut self, lane: LaneId, position: Position, id: MessageId) -> bool {
        let lane = self.lanes.entry(lane).or_default();
        if lane.running.is_none() {
            lane.running = Some(id);
            return true;
        }
        lane.waiting.insert(position, id);
        false
    }

    /// Ends a message that ran, and returns the one that may run now.
    pub(super) fn leave(&mut self, id: LaneId, ended: MessageId) -> Option<MessageId> {
        let lane = self.lanes.get_mut(&id)?;
        debug_assert_eq!(lane.running, Some(ended), "only one that runs can end");
        lane.running = lane.waiting.pop_first().map(|(_, next)| next);
        if lane.running.is_none() {
            self.lanes.remove(&id);
        }
        self.lanes.get(&id)?.running
    }

    /// Returns whether a message is the one of its lane that may run.
    pub(super) fn is_running(&self, lane: LaneId, id: MessageId) -> bool {
        let lane = self.lanes.get(&lane);
        lane.is_some_and(|lane| lane.running == Some(id))
    }

    /// Forgets the lanes of a partition.
    pub(super) fn forget(&mut self, partition: u32) {
        self.lanes.retain(|lane, _| match lane {
            LaneId::Key(of, _) | LaneId::Partition(of) => *of != partition,
        });
    }

    /// Takes a message out that waits.
    pub(super) fn remove_waiting(&mut self, lane: LaneId, position: Position) {
        if let Some(lane) = self.lanes.get_mut(&lane) {
            lane.waiting.remove(&position);
        }
    }
}
