//! Rows of a query, page by page: each page begins after the last key of the one before it, so that
//! nothing is held open at the server, and a connection that broke costs one page.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;

use futures::TryStreamExt;
use motet_rows::{Code, Failure, Row};
use serde_json::Map;
use sha2::{Digest as _, Sha256};
use tokio_postgres::Client;
use tokio_postgres::types::{FromSql, Type};

use super::fault::Fault;
use super::query::Query;
use super::values::value;
use crate::error::BatchError;
use crate::input::{InputRow, Place, ROW_BYTES_MAX};

/// Rows of a first page.
const FIRST_ROWS: usize = 200;
/// Most rows of a page.
const ROWS_MAX: usize = 10_000;
/// Bytes that a page should have.
const BYTES: usize = 4 << 20;
/// Bytes at which a page is cut.
const BYTES_MAX: usize = 12 << 20;

/// Rows of a query in the order of their keys.
pub(crate) struct QueryRows {
    query: Query,
    /// Key after which the rest begins.
    after: Option<String>,
    /// The last key.
    to: Option<String>,
    page: VecDeque<QueryRow>,
    is_over: bool,
    /// Rows and bytes so far.
    read: (usize, usize),
}

/// A row as the server sent it.
pub(crate) struct QueryRow {
    key: String,
    row: tokio_postgres::Row,
}

impl QueryRows {
    /// Returns the rows with keys after one and up to another.
    pub(super) fn new(query: Query, after: Option<String>, to: Option<String>) -> Self {
        Self {
            query,
            after,
            to,
            page: VecDeque::new(),
            is_over: false,
            read: (0, 0),
        }
    }

    /// Returns the query.
    pub(super) const fn query(&self) -> &Query {
        &self.query
    }

    /// Returns the next row.
    ///
    /// # Errors
    /// A database that cannot be read; two rows with one key.
    pub(crate) fn next(&mut self) -> Result<Option<QueryRow>, BatchError> {
        if self.page.is_empty() && !self.is_over {
            self.next_page()?;
        }
        Ok(self.page.pop_front())
    }

    /// Returns the next row as one of the input, `number` of which come before it.
    ///
    /// # Errors
    /// As those of [`next`](Self::next).
    pub(crate) fn next_input(&mut self, number: u64) -> Result<Option<InputRow>, BatchError> {
        let row = self.next()?;
        Ok(row.map(|row| row.input(&self.query, number)))
    }

    fn next_page(&mut self) -> Result<(), BatchError> {
        let limit = match self.read {
            (0, _) => FIRST_ROWS,
            (rows, bytes) => (BYTES / (bytes / rows).max(1)).clamp(2, ROWS_MAX),
        };
        // One more than a page: the row after it tells whether a key comes twice.
        let text = self
            .query
            .page(self.after.is_some(), self.to.is_some(), limit + 1);
        let bounds: Vec<String> = [&self.after, &self.to]
            .into_iter()
            .flatten()
            .cloned()
            .collect();
        let (rows, is_cut) = self.query.server().until("read", move |client| {
            let (text, bounds) = (text.clone(), bounds.clone());
            async move { fetch(&client, &text, bounds).await }
        })?;
        let mut page = Vec::with_capacity(rows.len());
        for row in rows {
            let key: String = row.try_get(0).map_err(|error| {
                BatchError::cannot(format!("{}: a key: {error}", self.query.name()))
            })?;
            page.push(QueryRow { key, row });
        }
        if let Some([twice, _]) = page.array_windows().find(|[a, b]| a.key == b.key) {
            return Err(BatchError::cannot(format!(
                "{}: `{}` is no key: two rows have {}",
                self.query.name(),
                self.query.key().name,
                twice.key
            )));
        }
        self.is_over = !is_cut && page.len() <= limit;
        if !self.is_over {
            page.pop();
        }
        for row in &page {
            self.read.0 += 1;
            self.read.1 += row.bytes();
        }
        if let Some(last) = page.last() {
            self.after = Some(last.key.clone());
        }
        self.page = page.into();
        Ok(())
    }
}

/// Returns the rows of a page, and whether it was cut.
async fn fetch(
    client: &Arc<Client>,
    text: &str,
    bounds: Vec<String>,
) -> Result<(Vec<tokio_postgres::Row>, bool), Fault> {
    let bounds = bounds.into_iter().map(|bound| (bound, Type::TEXT));
    let bounds: Vec<(String, Type)> = bounds.collect();
    let mut stream = pin!(client.query_typed_raw(text, bounds).await?);
    let (mut rows, mut bytes) = (Vec::new(), 0);
    while let Some(row) = stream.try_next().await? {
        bytes += row.raw_size_bytes();
        rows.push(row);
        if bytes >= BYTES_MAX && rows.len() > 1 {
            return Ok((rows, true));
        }
    }
    Ok((rows, false))
}

/// The bytes of a value, of any type.
struct Raw<'r>(&'r [u8]);

impl<'r> FromSql<'r> for Raw<'r> {
    fn from_sql(_: &Type, raw: &'r [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self(raw))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

impl QueryRow {
    /// Returns its key as a text.
    pub(super) fn key(&self) -> &str {
        &self.key
    }

    /// Returns its size.
    pub(super) fn bytes(&self) -> usize {
        self.row.raw_size_bytes()
    }

    /// Returns the bytes of a column of the query.
    fn raw(&self, column: usize) -> Option<&[u8]> {
        let found: Result<Option<Raw<'_>>, _> = self.row.try_get(column + 1);
        found.ok().flatten().map(|raw| raw.0)
    }

    /// Adds all of it to a digest.
    pub(super) fn digest(&self, columns: usize, digest: &mut Sha256) {
        for column in 0..columns {
            match self.raw(column) {
                None => digest.update(u64::MAX.to_be_bytes()),
                Some(bytes) => {
                    digest.update((bytes.len() as u64).to_be_bytes());
                    digest.update(bytes);
                }
            }
        }
    }

    /// Returns it as a row of the input, `number` of which come before it.
    pub(super) fn input(&self, query: &Query, number: u64) -> InputRow {
        let bytes = self.bytes();
        let mut values = Map::new();
        let mut reasons = Vec::new();
        if bytes > ROW_BYTES_MAX {
            reasons.push(format!("it has more than {ROW_BYTES_MAX} bytes"));
        } else {
            for (at, column) in query.columns().iter().enumerate() {
                match value(column, self.raw(at)) {
                    Ok(value) => drop(values.insert(column.name.clone(), value)),
                    Err(reason) => reasons.push(reason),
                }
            }
        }
        let row = match reasons.is_empty() {
            true => Ok(Row {
                values,
                is_cells: false,
            }),
            false => {
                let (key, reasons) = (&query.key().name, reasons.join("; "));
                let message = format!("the row with `{key}` {}: {reasons}", self.key);
                Err((values, Failure::new(Code::InvalidArgument, message)))
            }
        };
        InputRow {
            place: Place::of_row(number),
            bytes,
            row,
        }
    }
}
