//! The ledger of messages: those that were sent, and what has become of them.

use std::collections::BTreeMap;

/// The letters of a stream by the number of the message that each is of.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    letters: BTreeMap<usize, usize>,
    order: Vec<usize>,
}

impl Ledger {
    /// Takes note of a letter.
    pub(crate) fn add(&mut self, number: usize) {
        *self.letters.entry(number).or_default() += 1;
        self.order.push(number);
    }

    /// Returns the numbers in the order in which their letters were stored.
    pub(crate) fn order(&self) -> &[usize] {
        &self.order
    }

    /// Returns whether each of these numbers has a letter.
    #[cfg(feature = "kafka")]
    pub(crate) fn has_all(&self, numbers: impl IntoIterator<Item = usize>) -> bool {
        numbers
            .into_iter()
            .all(|number| self.letters.contains_key(&number))
    }

    /// Checks that each of these numbers has one letter, and others have none.
    pub(crate) fn is_exactly(&self, numbers: impl IntoIterator<Item = usize>) {
        let wanted: Vec<usize> = numbers.into_iter().collect();
        let lost: Vec<_> = wanted
            .iter()
            .filter(|n| !self.letters.contains_key(n))
            .collect();
        let doubled: Vec<_> = self
            .letters
            .iter()
            .filter(|(_, count)| **count > 1)
            .collect();
        let foreign: Vec<_> = self
            .letters
            .keys()
            .filter(|n| !wanted.contains(n))
            .collect();
        let found = (lost.len(), doubled.len(), foreign.len());
        assert_eq!(
            found,
            (0, 0, 0),
            "lost {lost:?}, doubled {doubled:?}, foreign {foreign:?}"
        );
    }
}
