//! Units of the rows of a query, by their keys.

use sha2::{Digest as _, Sha256};

use super::query::Query;
use super::rows::QueryRows;
use crate::error::BatchError;
use crate::files::Digest;
use crate::hash::hex;
use crate::input::{InputFormat, InputRow, Place};
use crate::plan::{Input, Keys, PlannedQuery, Unit};

/// Reads all rows of a query once, and divides them into units.
///
/// # Errors
/// A database that cannot be read; a key that is none.
pub(crate) fn scan(
    query: &Query,
    index: usize,
    unit: u64,
) -> Result<(Input, Vec<Unit>), BatchError> {
    query.check_key()?;
    let columns = query.columns().len();
    let mut rows = query.rows();
    let mut units: Vec<Unit> = Vec::new();
    let (mut number, mut bytes) = (0, 0);
    let mut after: Option<String> = None;
    let mut digest = Sha256::new();
    let mut last: Option<String> = None;
    let mut in_unit = 0;
    loop {
        let row = rows.next()?;
        let is_full = in_unit == unit || row.is_none();
        if let Some(to) = last.take_if(|_| is_full) {
            units.push(Unit {
                input: index,
                first: number - in_unit,
                rows: in_unit,
                place: Place::of_row(number - in_unit),
                keys: Some(Keys {
                    after: after.replace(to.clone()),
                    to,
                    sha256: hex(std::mem::take(&mut digest)),
                }),
            });
            in_unit = 0;
        }
        let Some(row) = row else {
            break;
        };
        row.digest(columns, &mut digest);
        last = Some(row.key().to_owned());
        bytes += row.bytes() as u64;
        number += 1;
        in_unit += 1;
    }
    let input = Input {
        path: query.name(),
        format: InputFormat::Postgres,
        bytes,
        digest: Digest::Sha256(query.sha256()),
        rows: number,
        query: Some(PlannedQuery {
            key: query.key().name.clone(),
            columns: query.types(),
        }),
    };
    Ok((input, units))
}

/// The rows of a unit, which must be what they were when they were planned.
pub(crate) struct UnitRows {
    rows: QueryRows,
    keys: Keys,
    digest: Sha256,
    /// Rows that are left.
    left: u64,
}

impl UnitRows {
    /// Returns the rows of a unit of a query.
    pub(crate) fn new(query: &Query, rows: u64, keys: Keys) -> Self {
        let (after, to) = (keys.after.clone(), Some(keys.to.clone()));
        Self {
            rows: QueryRows::new(query.clone(), after, to),
            keys,
            digest: Sha256::new(),
            left: rows,
        }
    }

    /// Returns the next row, `number` of which come before it in the input. The last one comes
    /// after all of them were compared with the plan.
    ///
    /// # Errors
    /// A database that cannot be read; rows that are others than those planned.
    pub(crate) fn next(&mut self, number: u64) -> Result<InputRow, BatchError> {
        let Some(row) = self.rows.next()? else {
            return Err(self.changed());
        };
        let query = self.rows.query();
        row.digest(query.columns().len(), &mut self.digest);
        let input = row.input(query, number);
        self.left = self.left.saturating_sub(1);
        if self.left == 0 {
            let is_more = self.rows.next()?.is_some();
            if is_more || hex(self.digest.clone()) != self.keys.sha256 {
                return Err(self.changed());
            }
        }
        Ok(input)
    }

    fn changed(&self) -> BatchError {
        let query = self.rows.query();
        let key = &query.key().name;
        let keys = match &self.keys.after {
            Some(after) => format!("after {after} and up to {}", self.keys.to),
            None => format!("up to {}", self.keys.to),
        };
        BatchError::cannot(format!(
            "{} changed since it was planned: the rows with `{key}` {keys} are others; a batch \
             over what is there now goes into another folder",
            query.name()
        ))
    }
}
