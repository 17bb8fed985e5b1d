//! A unit written: its record, its rows with errors and its answers, all or none.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::SinkExt;
use tokio_postgres::Client;
use tokio_postgres::types::{ToSql, Type};

use super::fault::Fault;
use super::server::Server;
use crate::error::BatchError;

/// Bytes that are sent at once.
const PIECE: usize = 256 << 10;

/// A unit that is to be written.
#[derive(Debug, Clone)]
pub(super) struct Commit {
    /// The statement that takes its answers.
    pub(super) copy: String,
    /// The table of files, as an identifier of SQL.
    pub(super) state: String,
    /// Path and text of its record.
    pub(super) record: (String, Vec<u8>),
    /// Path and text of its rows with errors.
    pub(super) errors: Option<(String, Vec<u8>)>,
    /// The file with its answers, as the text of COPY, the number of a row first.
    pub(super) part: PathBuf,
}

/// Writes a unit. Returns `false` where another worker did so before.
pub(super) fn commit(server: &Server, unit: Commit) -> Result<bool, BatchError> {
    // Tells this worker's record from another one's, where the answer to a commit is lost.
    let writer = format!("{:016x}", fastrand::u64(..));
    server.until("written", move |client| {
        let (unit, writer) = (unit.clone(), writer.clone());
        async move {
            client.batch_execute("BEGIN").await?;
            let written = write(&client, &unit, &writer).await;
            let end = match &written {
                Ok(Written::Now) => "COMMIT",
                _ => "ROLLBACK",
            };
            let ended = client.batch_execute(end).await;
            let written = written?;
            ended?;
            Ok(written != Written::ByAnother)
        }
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Written {
    Now,
    /// By an earlier try of this worker.
    Before,
    ByAnother,
}

async fn write(client: &Arc<Client>, unit: &Commit, writer: &str) -> Result<Written, Fault> {
    // Another worker that is writing the record is waited for.
    let state = &unit.state;
    let text = format!(
        "INSERT INTO {state} (path, bytes, writer) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING"
    );
    let (path, bytes) = &unit.record;
    let values: [(&(dyn ToSql + Sync), Type); 3] = [
        (path, Type::TEXT),
        (bytes, Type::BYTEA),
        (&writer, Type::TEXT),
    ];
    if client.execute_typed(&text, &values).await? == 0 {
        let text = format!("SELECT 1 FROM {state} WHERE path = $1 AND writer = $2");
        let values: [(&(dyn ToSql + Sync), Type); 2] = [(path, Type::TEXT), (&writer, Type::TEXT)];
        let own = client.query_typed(&text, &values).await?;
        return Ok(match own.is_empty() {
            true => Written::ByAnother,
            false => Written::Before,
        });
    }
    if let Some((path, bytes)) = &unit.errors {
        let text = format!("INSERT INTO {state} (path, bytes) VALUES ($1, $2)");
        let values: [(&(dyn ToSql + Sync), Type); 2] = [(path, Type::TEXT), (bytes, Type::BYTEA)];
        client.execute_typed(&text, &values).await?;
    }
    let copied = copy(client, unit).await;
    copied.map_err(|failed| match failed {
        Failed::Fault(fault) => fault,
        Failed::Server(error) => {
            let row = error
                .as_db_error()
                .and_then(|error| line_of(error.where_()?))
                .and_then(|line| number(&unit.part, line));
            match (Fault::from(error), row) {
                (Fault::Refused(why), Some(row)) => Fault::Refused(format!(
                    "{why}; it is the row with motet_row {row}; once the table takes it, the same \
                     command goes on"
                )),
                (fault, _) => fault,
            }
        }
    })?;
    Ok(Written::Now)
}

enum Failed {
    Fault(Fault),
    Server(tokio_postgres::Error),
}

impl From<tokio_postgres::Error> for Failed {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Server(error)
    }
}

async fn copy(client: &Arc<Client>, unit: &Commit) -> Result<(), Failed> {
    let unread = |error: std::io::Error| {
        Failed::Fault(Fault::Ended(BatchError::reading(&unit.part, &error)))
    };
    let mut file = File::open(&unit.part).map_err(unread)?;
    let mut sink = std::pin::pin!(client.copy_in::<_, Bytes>(&unit.copy).await?);
    loop {
        let mut piece = BytesMut::zeroed(PIECE);
        let read = file.read(&mut piece).map_err(unread)?;
        if read == 0 {
            break;
        }
        piece.truncate(read);
        sink.send(piece.freeze()).await?;
    }
    sink.finish().await?;
    Ok(())
}

/// Returns the line of which the context of an error is, such as `COPY answers, line 7, column id`.
/// Servers that speak other languages tell none.
fn line_of(context: &str) -> Option<usize> {
    let (_, rest) = context.strip_prefix("COPY ")?.split_once(", line ")?;
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}

/// Returns the number of the row in a line, counted from 1.
fn number(part: &Path, line: usize) -> Option<u64> {
    let lines = BufReader::new(File::open(part).ok()?).lines();
    let line = lines.map_while(Result::ok).nth(line.checked_sub(1)?)?;
    line.split('\t').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_context_of_an_error_has_a_line() {
        for (context, expected) in [
            ("COPY a, line 7, column id: \"x\"", Some(7)),
            ("COPY a, line 12: \"x\"", Some(12)),
            ("COPY a, line 3", Some(3)),
            ("SQL statement \"SELECT 1\"", None),
            ("COPY a, Zeile 3", None),
        ] {
            assert_eq!(line_of(context), expected, "{context}");
        }
    }
}
