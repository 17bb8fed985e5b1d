//! The table beside one of answers: what a folder has beside its parts, as small files. No file is
//! there in part.

use std::path::Path;

use futures::future::BoxFuture;
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{ToSql, Type};

use super::catalog::value;
use super::server::Server;
use crate::error::BatchError;
use crate::files::noting::NotePlace;

/// Kept by those who make tables: two that make one at once would be in each other's way.
pub(super) const LOCK: &str = "SELECT pg_advisory_xact_lock(hashtext('motet batch'))";
/// Most bytes of a file. All of them are in memory for a moment.
const BYTES_MAX: u64 = 256 << 20;

/// The table of files.
#[derive(Debug, Clone)]
pub(super) struct State {
    /// Its name as an identifier of SQL.
    pub(super) table: String,
    pub(super) server: Server,
}

impl State {
    /// Makes the table.
    pub(super) fn make(&self) -> Result<(), BatchError> {
        self.run(format!(
            "{LOCK}; CREATE TABLE IF NOT EXISTS {} (path text COLLATE \"C\" PRIMARY KEY, \
             bytes bytea NOT NULL, writer text, noted timestamptz NOT NULL DEFAULT now())",
            self.table
        ))
    }

    /// Runs statements as one transaction.
    pub(super) fn run(&self, text: String) -> Result<(), BatchError> {
        self.server.until("written", move |client| {
            let text = text.clone();
            async move { Ok(client.batch_execute(&text).await?) }
        })
    }

    /// Returns what a statement with texts as parameters gives; nothing where its table is not
    /// there.
    pub(super) fn rows(&self, text: String, values: Vec<String>) -> Result<Vec<Row>, BatchError> {
        self.server.until("read", move |client| {
            let (text, values) = (text.clone(), values.clone());
            async move {
                let values = values
                    .iter()
                    .map(|v| (v as &(dyn ToSql + Sync), Type::TEXT));
                let values: Vec<_> = values.collect();
                match client.query_typed(&text, &values).await {
                    Err(error) if error.code() == Some(&SqlState::UNDEFINED_TABLE) => {
                        Ok(Vec::new())
                    }
                    found => Ok(found?),
                }
            }
        })
    }

    /// Returns the files that fit a condition with one parameter, by path.
    pub(super) fn files(
        &self,
        condition: &str,
        parameter: String,
    ) -> Result<Vec<(String, Vec<u8>)>, BatchError> {
        let table = &self.table;
        let text = format!("SELECT path, bytes FROM {table} WHERE {condition} ORDER BY path");
        let rows = self.rows(text, vec![parameter])?;
        let file = |row: &Row| Ok((value(&self.server, row, 0)?, value(&self.server, row, 1)?));
        rows.iter().map(file).collect()
    }

    /// Writes a file. Returns whether it was written: where it does not replace, another one in its
    /// place stays.
    pub(super) async fn put(
        self,
        path: String,
        bytes: Vec<u8>,
        replaces: bool,
    ) -> Result<bool, BatchError> {
        let conflict = match replaces {
            true => "UPDATE SET bytes = excluded.bytes, noted = excluded.noted",
            // One with the same bytes may be this one, whose answer was lost.
            false => "UPDATE SET path = f.path WHERE f.bytes = excluded.bytes",
        };
        let text = format!(
            "INSERT INTO {} AS f (path, bytes) VALUES ($1, $2) ON CONFLICT (path) DO {conflict}",
            self.table
        );
        let put = self.server.ask("written", move |client| {
            let (text, path, bytes) = (text.clone(), path.clone(), bytes.clone());
            async move {
                let values: [(&(dyn ToSql + Sync), Type); 2] =
                    [(&path, Type::TEXT), (&bytes, Type::BYTEA)];
                Ok(client.execute_typed(&text, &values).await? == 1)
            }
        });
        put.await
    }

    /// Removes a file.
    async fn remove(self, path: String) -> Result<(), BatchError> {
        let text = format!("DELETE FROM {} WHERE path = $1", self.table);
        let removed = self.server.ask("written", move |client| {
            let (text, path) = (text.clone(), path.clone());
            async move {
                let values: [(&(dyn ToSql + Sync), Type); 1] = [(&path, Type::TEXT)];
                Ok(client.execute_typed(&text, &values).await?)
            }
        });
        removed.await.map(drop)
    }
}

/// The file with the note of this worker.
pub(super) struct OwnNote {
    pub(super) state: State,
    pub(super) path: String,
}

impl NotePlace for OwnNote {
    fn put(&self, text: Vec<u8>) -> BoxFuture<'_, Result<(), BatchError>> {
        let put = self.state.clone().put(self.path.clone(), text, true);
        Box::pin(async move { put.await.map(drop) })
    }

    fn remove(&self) -> BoxFuture<'_, Result<(), BatchError>> {
        Box::pin(self.state.clone().remove(self.path.clone()))
    }
}

/// Reads a file of this machine, to be written as `path`.
///
/// # Errors
/// One that is larger than a table's files may be.
pub(super) fn read(file: &Path, path: &Path) -> Result<Vec<u8>, BatchError> {
    let unread = |error| BatchError::reading(file, &error);
    let bytes = std::fs::metadata(file).map_err(unread)?.len();
    if bytes > BYTES_MAX {
        return Err(BatchError::cannot(format!(
            "{} has {} MiB, and a table keeps {} MiB at most: use a smaller --unit, or a file in \
             the place of standard input",
            path.display(),
            bytes >> 20,
            BYTES_MAX >> 20
        )));
    }
    std::fs::read(file).map_err(unread)
}
