//! Letters that wait for their transaction.

use std::collections::BTreeMap;

use tokio::sync::oneshot;

use super::records::Place;
use super::state::State;
use crate::broker::{StoreError, Stored};
use crate::core::Mark;
use crate::message::Parcel;

/// Outcome of a letter.
pub(super) type Outcome = Result<Stored, StoreError>;

/// A letter that is to be stored.
#[derive(Debug)]
pub(super) struct Letter {
    pub(super) place: Place,
    pub(super) parcel: Parcel,
    pub(super) outcome: oneshot::Sender<Outcome>,
}

impl Letter {
    pub(super) fn ends(self, outcome: Outcome) {
        // Nobody waits for it where its partition was given up.
        let _ = self.outcome.send(outcome);
    }
}

/// A transaction: letters of messages, and the positions once these are done.
#[derive(Debug, Default)]
pub(super) struct Transaction {
    pub(super) letters: Vec<Letter>,
    pub(super) marks: Vec<(u32, Mark)>,
}

/// Letters that wait, by partition and turn, then by offset.
#[derive(Debug, Default)]
pub(super) struct Letters(BTreeMap<(u32, u64), BTreeMap<u64, Letter>>);

impl Letters {
    /// Takes a letter. One that waits already gives way to it.
    pub(super) fn add(&mut self, letter: Letter) {
        let Place {
            partition,
            offset,
            turn,
        } = letter.place;
        let of_partition = self.0.entry((partition, turn)).or_default();
        of_partition.insert(offset, letter);
    }

    /// Returns at most so many letters that can be stored now. Those that cannot be any more end.
    pub(super) fn next(&mut self, state: &State, note_most: usize, most: usize) -> Transaction {
        let mut transaction = Transaction::default();
        for ((partition, turn), letters) in &mut self.0 {
            let room = most.saturating_sub(transaction.letters.len());
            let offsets: Vec<u64> = letters.keys().copied().take(room).collect();
            let plan = state.with(*partition, *turn, |of| of.plan(&offsets, note_most));
            let Some(plan) = plan else {
                // The partition is another process's now.
                for letter in std::mem::take(letters).into_values() {
                    letter.ends(Err(StoreError::TakenBack));
                }
                continue;
            };
            let mut take = |offset: &u64| letters.remove(offset);
            for letter in plan.stuck.iter().filter_map(&mut take) {
                letter.ends(Err(StoreError::TakenBack));
            }
            for letter in plan.done.iter().filter_map(&mut take) {
                letter.ends(Ok(Stored::AndAcknowledged));
            }
            transaction
                .letters
                .extend(plan.stored.iter().filter_map(take));
            transaction
                .marks
                .extend(plan.mark.map(|mark| (*partition, mark)));
        }
        self.0.retain(|_, letters| !letters.is_empty());
        transaction
    }

    /// Ends all letters in the same way.
    pub(super) fn end_all(&mut self, outcome: &Outcome) {
        for letter in std::mem::take(&mut self.0)
            .into_values()
            .flat_map(BTreeMap::into_values)
        {
            letter.ends(outcome.clone());
        }
    }
}
