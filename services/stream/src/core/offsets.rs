//! The position of a partition whose messages end in any order.
//!
//! A broker that keeps one number for a partition knows that everything before it is done. Messages
//! that end before earlier ones are behind it: they are in a note beside the number, where the
//! broker keeps notes, or their letters wait for the earlier ones.

use std::collections::BTreeSet;
use std::fmt::Write;

/// The word that notes begin with.
const NOTE: &str = "motet1";

/// A position as a broker keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// The first offset that is not done.
    pub position: u64,
    /// The offsets from there on that are not done although later ones are; a text.
    pub note: String,
}

/// Kinds of offsets that arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// It was not delivered before, as far as is known.
    New,
    /// It was delivered before, and has not ended.
    Before,
    /// It has ended.
    Done,
}

/// Fates of letters that wait, by the offsets of their messages.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// These are stored now, together with the mark.
    pub stored: Vec<u64>,
    /// The mark once they are; `None` without any.
    pub mark: Option<Mark>,
    /// These were stored before.
    pub done: Vec<u64>,
    /// These cannot be stored here: an earlier message was given back.
    pub stuck: Vec<u64>,
}

/// The offsets of a partition that were delivered, and those that have ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Offsets {
    /// Offsets that have not ended: delivered ones, and those that an earlier process left.
    open: BTreeSet<u64>,
    /// Those of them that were not delivered since.
    left: BTreeSet<u64>,
    /// Those of them that were given back: they do not end here.
    returned: BTreeSet<u64>,
    /// The position that was there at first.
    first: u64,
    /// One beyond the greatest offset that has ended.
    done_to: u64,
    /// One beyond the greatest offset that was delivered or has ended.
    next: u64,
}

impl Offsets {
    /// Returns what an earlier process left: its position and its note. A note of others is as
    /// none.
    pub fn resume(position: u64, note: &str) -> Self {
        let (open, done_to) = read(position, note).unwrap_or_default();
        Self {
            left: open.clone(),
            open,
            returned: BTreeSet::new(),
            first: position,
            done_to: done_to.max(position),
            next: done_to.max(position),
        }
    }

    /// Returns the offset after all that were delivered.
    pub const fn next(&self) -> u64 {
        self.next
    }

    /// Takes note of an offset that the broker delivers; they come in their order.
    pub fn arrives(&mut self, offset: u64) -> Seen {
        if offset < self.first {
            // The partition is another one now, or its broker lost some of it.
            *self = Self::resume(offset, "");
        }
        // Those that were passed over are no more.
        let later = self.left.split_off(&offset);
        for gone in std::mem::replace(&mut self.left, later) {
            self.open.remove(&gone);
        }
        let was_left = self.left.remove(&offset);
        if offset < self.next && !self.open.contains(&offset) {
            return Seen::Done;
        }
        let seen = match was_left || offset < self.next {
            true => Seen::Before,
            false => Seen::New,
        };
        self.open.insert(offset);
        self.returned.remove(&offset);
        self.next = self.next.max(offset + 1);
        seen
    }

    /// Returns whether an offset has ended.
    fn is_done(&self, offset: u64) -> bool {
        offset < self.next && !self.open.contains(&offset)
    }

    /// Takes note that these ended, and that the broker keeps the mark of that.
    pub fn end(&mut self, offsets: &[u64]) {
        for offset in offsets {
            self.open.remove(offset);
            self.done_to = self.done_to.max(offset + 1);
        }
    }

    /// Takes note that a message was given back: it does not end here.
    pub fn give_back(&mut self, offset: u64) {
        if self.open.contains(&offset) {
            self.returned.insert(offset);
        }
    }

    /// Returns what becomes of letters of these offsets, which are sorted. Notes have at most
    /// `note_most` bytes beside their first word; with 0 nothing ends before what is earlier.
    pub fn plan(&self, waiting: &[u64], note_most: usize) -> Plan {
        let mut plan = Plan::default();
        for offset in waiting {
            let of = match (self.is_done(*offset), self.is_stuck(*offset, note_most)) {
                (true, _) => &mut plan.done,
                (_, true) => &mut plan.stuck,
                _ => &mut plan.stored,
            };
            of.push(*offset);
        }
        match self.ready(&plan.stored, note_most) {
            Some((count, mark)) => {
                plan.stored.truncate(count);
                plan.mark = Some(mark);
            }
            None => plan.stored.clear(),
        }
        plan
    }

    /// Returns how many of these offsets can end now, and the mark of that.
    fn ready(&self, ending: &[u64], note_most: usize) -> Option<(usize, Mark)> {
        let fits = |count: usize| {
            let ending = &ending[..count];
            let is_open = |offset: &u64| ending.binary_search(offset).is_err();
            let open = self.open.iter().copied().filter(is_open);
            let done_to = ending.last().map_or(0, |last| last + 1).max(self.done_to);
            let mark = mark(open, done_to, self.next);
            (mark.note.len() - NOTE.len() <= note_most).then_some(mark)
        };
        // With one more, a note is longer or as long, unless it is of an offset within.
        let (mut count, mut found) = (ending.len(), None);
        if count > 0 {
            found = fits(count);
        }
        if found.is_some() {
            return found.map(|mark| (count, mark));
        }
        let (mut low, mut high) = (0, count);
        while low + 1 < high {
            count = low.midpoint(high);
            match fits(count) {
                Some(mark) => {
                    found = Some(mark);
                    low = count;
                }
                None => high = count,
            }
        }
        found.map(|mark| (low, mark))
    }

    /// Returns whether an offset cannot end here any more: an earlier one was given back, and a
    /// note cannot say so.
    fn is_stuck(&self, offset: u64, note_most: usize) -> bool {
        if self.returned.range(..offset).next().is_none() {
            return false;
        }
        let mark = mark(self.returned.iter().copied(), offset + 1, self.next);
        mark.note.len() - NOTE.len() > note_most
    }
}

/// Returns the mark of these open offsets, in their order.
fn mark(mut open: impl Iterator<Item = u64>, done_to: u64, next: u64) -> Mark {
    let position = open.next().unwrap_or(next);
    let mut note = NOTE.to_owned();
    if position < done_to {
        let mut last = position;
        let _ = write!(note, " {}", done_to - position);
        for offset in open.take_while(|offset| *offset < done_to) {
            let _ = write!(note, " {}", offset - last);
            last = offset;
        }
    }
    Mark { position, note }
}

/// Returns the open offsets of a note, and one beyond the greatest that has ended.
fn read(position: u64, note: &str) -> Option<(BTreeSet<u64>, u64)> {
    let mut words = note.split(' ');
    if words.next() != Some(NOTE) {
        return None;
    }
    let Some(done) = words.next() else {
        return Some((BTreeSet::new(), position));
    };
    let done_to = position.checked_add(done.parse().ok()?)?;
    let (mut open, mut last) = (BTreeSet::from([position]), position);
    for word in words {
        last = last.checked_add(word.parse().ok()?)?;
        open.insert(last);
    }
    (last < done_to).then_some((open, done_to))
}

#[cfg(test)]
mod tests;
