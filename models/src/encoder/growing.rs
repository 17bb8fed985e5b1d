//! A table with a row for each position, as long as the longest row of tokens so far. A model may
//! take rows of 100,000 tokens and more, which few ever have.

use std::sync::{Arc, PoisonError, RwLock};

/// Positions of the first table.
const FIRST: usize = 512;

/// A table that grows.
#[derive(Debug)]
pub(super) struct Growing<T> {
    /// Most positions that are ever asked for.
    most: usize,
    /// Number of positions, and the table of them.
    table: RwLock<(usize, Arc<T>)>,
}

impl<T> Growing<T> {
    /// Returns a table for rows of at most `most` tokens; `make` makes one for a number of
    /// positions.
    pub(super) fn new<E>(most: usize, make: impl FnOnce(usize) -> Result<T, E>) -> Result<Self, E> {
        let first = FIRST.min(most);
        let table = RwLock::new((first, Arc::new(make(first)?)));
        Ok(Self { most, table })
    }

    /// Returns the table with a row for each of `positions` positions, made anew by `make` if it is
    /// shorter: twice as long as asked for, so that it seldom happens.
    pub(super) fn of<E>(
        &self,
        positions: usize,
        make: impl FnOnce(usize) -> Result<T, E>,
    ) -> Result<Arc<T>, E> {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        if positions <= table.0 {
            return Ok(table.1.clone());
        }
        drop(table);
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        if positions > table.0 {
            let longer = (2 * positions).min(self.most).max(positions);
            *table = (longer, Arc::new(make(longer)?));
        }
        Ok(table.1.clone())
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    #[test]
    fn a_table_grows_with_the_longest_row_up_to_the_limit() {
        let make = |positions| Ok::<_, Infallible>(positions);
        let Ok(table) = Growing::new(3000, make);
        for (positions, expected) in [(1, 512), (512, 512), (600, 1200), (4, 1200), (2000, 3000)] {
            let Ok(found) = table.of(positions, make);
            assert_eq!(*found, expected, "{positions}");
        }
        let Ok(short) = Growing::new(40, make);
        let Ok(found) = short.of(40, make);
        assert_eq!(*found, 40);
    }
}
