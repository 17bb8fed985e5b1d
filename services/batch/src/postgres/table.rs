//! A table of answers as the folder of a batch. Answers are its rows; all else of a folder, small
//! files, is in a table beside it. A unit is written in one transaction: its record there, which
//! only one worker can write, and its rows.

use std::collections::BTreeSet;
use std::io::{self, Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use tokio_postgres::Row;

use super::catalog::{self, value};
use super::commit::{Commit, commit};
use super::copy::TableColumns;
use super::declare::created;
use super::fit::fit;
use super::name::{BYTES_MAX, TableName};
use super::server::Server;
use super::state::{self, LOCK, OwnNote, State};
use crate::binding::ROW;
use crate::columns::Node;
use crate::error::BatchError;
use crate::files::noting::{self, ALIVE};
use crate::files::{
    About, Note, NoteText, OwnPaths, Place, Record, Staged, UnitPaths, Unwritten, json, parsed,
    stage_here, sweep_here,
};

/// The beginning of the names of files of this machine.
const STAGED: &str = "motet-batch";

/// A table of answers.
#[derive(Debug)]
pub(crate) struct Table {
    /// The address of the table, without a password: the path of the folder.
    address: String,
    table: TableName,
    state: State,
    /// The same database over a connection of its own, for transactions.
    commits: Server,
    /// The columns that are written.
    columns: OnceLock<TableColumns>,
}

impl Table {
    pub(super) fn new(address: String, table: TableName, server: Server, commits: Server) -> Self {
        Self {
            address,
            state: State {
                table: table.state().quoted(),
                server,
            },
            table,
            commits,
            columns: OnceLock::new(),
        }
    }

    /// Returns the address of the table, without a password.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Returns the path of a file within the folder.
    fn relative(&self, path: &Path) -> Result<String, BatchError> {
        let path = path.to_string_lossy();
        let rest = path.strip_prefix(&self.address);
        rest.map(|rest| rest.trim_matches('/').to_owned())
            .ok_or_else(|| BatchError::cannot(format!("{path} is not in {}", self.address)))
    }

    /// Returns the beginning of the paths of files in a folder.
    fn inside(&self, folder: &Path) -> Result<String, BatchError> {
        let folder = self.relative(folder)?;
        Ok(match folder.is_empty() {
            true => folder,
            false => format!("{folder}/"),
        })
    }

    fn get<'r, T: tokio_postgres::types::FromSql<'r>>(
        &self,
        row: &'r Row,
        at: usize,
    ) -> Result<T, BatchError> {
        value(&self.state.server, row, at)
    }

    /// Writes a small file. Returns whether it was written.
    fn put(&self, path: &Path, bytes: Vec<u8>, replaces: bool) -> Result<bool, BatchError> {
        let put = self
            .state
            .clone()
            .put(self.relative(path)?, bytes, replaces);
        self.state.server.waiting().until(put)
    }

    /// Returns whether it has rows of a batch.
    fn has_rows(&self) -> Result<bool, BatchError> {
        let columns = catalog::columns(&self.state.server, &self.table)?;
        if !columns.iter().any(|column| column.name == ROW) {
            return Ok(false);
        }
        let table = self.table.quoted();
        let text = format!("SELECT {ROW} FROM {table} WHERE {ROW} IS NOT NULL LIMIT 1");
        Ok(!self.state.rows(text, Vec::new())?.is_empty())
    }

    /// Returns the error of these mistakes, where there are some.
    fn refused(&self, what: &str, mistakes: &[String]) -> Result<(), BatchError> {
        if mistakes.is_empty() {
            return Ok(());
        }
        let mut message = format!("{}: {what}:", self.address);
        for mistake in mistakes {
            message.push_str("\n  ");
            message.push_str(mistake);
        }
        Err(BatchError::cannot(message))
    }
}

impl Place for Table {
    fn about(&self, path: &Path) -> Result<Option<About>, BatchError> {
        let bytes = self.bytes(path)?;
        Ok(bytes.map(|bytes| About {
            bytes: bytes.len() as u64,
            version: None,
        }))
    }

    fn reader(&self, path: &Path, _: Option<&str>, from: u64) -> io::Result<Box<dyn Read + Send>> {
        let bytes = self.bytes(path).map_err(io::Error::other)?;
        let bytes = bytes.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        let mut reader = Cursor::new(bytes);
        reader.set_position(from);
        Ok(Box::new(reader))
    }

    fn bytes(&self, path: &Path) -> Result<Option<Vec<u8>>, BatchError> {
        let mut found = self.state.files("path = $1", self.relative(path)?)?;
        Ok(found.pop().map(|(_, bytes)| bytes))
    }

    fn names(&self, folder: &Path) -> Result<BTreeSet<String>, BatchError> {
        let inside = self.inside(folder)?;
        let table = &self.state.table;
        let text = format!("SELECT path FROM {table} WHERE starts_with(path, $1)");
        let mut names = BTreeSet::new();
        for row in self.state.rows(text, vec![inside.clone()])? {
            let path: String = self.get(&row, 0)?;
            let name = path.strip_prefix(&inside).unwrap_or_default();
            if !name.contains('/') {
                names.insert(name.to_owned());
            }
        }
        if inside.is_empty() && self.has_rows()? {
            names.insert("part-00000.rows".to_owned());
        }
        Ok(names)
    }

    fn matching(&self, pattern: &str) -> Result<Vec<PathBuf>, BatchError> {
        let message = format!("{pattern} is no pattern: a table has no files");
        Err(BatchError::cannot(message))
    }

    fn make(&self, _: &Path) -> Result<(), BatchError> {
        let (server, mut mistakes) = (&self.state.server, Vec::new());
        let rights = ["SELECT", "INSERT"];
        catalog::check(server, &self.table, &rights, &mut mistakes)?;
        let rights = ["SELECT", "INSERT", "UPDATE", "DELETE"];
        let is_there = catalog::check(server, &self.table.state(), &rights, &mut mistakes)?;
        self.refused("answers cannot go to the table", &mistakes)?;
        match is_there {
            true => Ok(()),
            false => self.state.make(),
        }
    }

    fn create(&self, _: &Path, path: &Path, bytes: &[u8]) -> Result<bool, BatchError> {
        self.put(path, bytes.to_vec(), false)
    }

    fn stage(&self, _: &Path, name: &str) -> Result<Box<dyn Staged>, BatchError> {
        stage_here(&format!("{STAGED}.{name}"))
    }

    fn rename(&self, mut staged: Box<dyn Staged>, to: &Path) -> Result<(), BatchError> {
        staged.finish()?;
        let bytes = state::read(staged.path(), to)?;
        self.put(to, bytes, true).map(drop)
    }

    fn is_written(&self, unit: &UnitPaths) -> Result<bool, BatchError> {
        let text = format!("SELECT 1 FROM {} WHERE path = $1", self.state.table);
        let record = self.relative(&unit.record)?;
        Ok(!self.state.rows(text, vec![record])?.is_empty())
    }

    fn records(&self, units: &[UnitPaths]) -> Result<Vec<Option<Record>>, BatchError> {
        let mut records = vec![None; units.len()];
        let Some(folder) = units.first().and_then(|unit| unit.record.parent()) else {
            return Ok(records);
        };
        let found = self
            .state
            .files("starts_with(path, $1)", self.inside(folder)?)?;
        for (record, unit) in records.iter_mut().zip(units) {
            let path = self.relative(&unit.record)?;
            let at = found.binary_search_by(|(name, _)| name.as_str().cmp(&path));
            if let Ok(at) = at {
                *record = Some(parsed(&unit.record, &found[at].1)?);
            }
        }
        Ok(records)
    }

    fn commit(&self, _: &OwnPaths, unit: Unwritten) -> Result<bool, BatchError> {
        let Unwritten {
            paths,
            mut part,
            errors,
            record,
        } = unit;
        part.finish()?;
        let errors = match errors {
            None => None,
            Some(mut errors) => {
                errors.finish()?;
                let bytes = state::read(errors.path(), &paths.errors)?;
                Some((self.relative(&paths.errors)?, bytes))
            }
        };
        let record = json(&paths.record, &record)?;
        let columns = self.columns.get().map(TableColumns::names);
        let columns = columns.unwrap_or_default();
        let made = Commit {
            copy: format!("COPY {} ({columns}) FROM STDIN", self.table.quoted()),
            state: self.state.table.clone(),
            record: (self.relative(&paths.record)?, record),
            errors,
            part: part.path().to_owned(),
        };
        commit(&self.commits, made)
    }

    fn declare(
        &self,
        columns: &[(String, Node)],
        has_gaps: bool,
    ) -> Result<TableColumns, BatchError> {
        let server = &self.state.server;
        let long = columns.iter().filter(|(name, _)| name.len() > BYTES_MAX);
        let long = long
            .map(|(name, _)| format!("column `{name}`: its name has more than {BYTES_MAX} bytes"));
        let unfit = "answers do not fit the table";
        self.refused(unfit, &long.collect::<Vec<_>>())?;
        let mut there = catalog::columns(server, &self.table)?;
        if there.is_empty() {
            let has_vectors = catalog::has_vectors(server)?;
            let made = created(&self.table, columns, has_vectors);
            self.state.run(format!("{LOCK}; {made}"))?;
            there = catalog::columns(server, &self.table)?;
        }
        match fit(&there, columns, has_gaps) {
            Ok(found) => Ok(self.columns.get_or_init(|| found).clone()),
            Err(mistakes) => {
                self.refused(unfit, &mistakes)?;
                Ok(TableColumns::default())
            }
        }
    }

    fn rows_from(&self, firsts: &[u64]) -> Result<Option<Vec<u64>>, BatchError> {
        let starts: Vec<String> = firsts.iter().map(u64::to_string).collect();
        let text = format!(
            "SELECT width_bucket({ROW}::bigint, '{{{}}}'::bigint[]), count(*) FROM {} \
             WHERE {ROW} IS NOT NULL GROUP BY 1",
            starts.join(","),
            self.table.quoted()
        );
        let mut found = vec![0; firsts.len()];
        for row in self.state.rows(text, Vec::new())? {
            let (bucket, count): (i32, i64) = (self.get(&row, 0)?, self.get(&row, 1)?);
            let unit = usize::try_from(bucket - 1).ok();
            if let Some(found) = unit.and_then(|unit| found.get_mut(unit)) {
                *found = count.unsigned_abs();
            }
        }
        Ok(Some(found))
    }

    fn note(&self, temporary: &Path, text: NoteText) -> Result<Box<dyn Send>, BatchError> {
        let path = format!("{}{}", self.inside(temporary)?, noting::name());
        let state = self.state.clone();
        let waiting = state.server.waiting().clone();
        noting::begin(&waiting, OwnNote { state, path }, text)
    }

    fn notes(&self, temporary: &Path) -> Result<Vec<Note>, BatchError> {
        let inside = self.inside(temporary)?;
        let text = format!(
            "SELECT path, bytes, noted > now() - interval '{} seconds' FROM {} \
             WHERE starts_with(path, $1) ORDER BY path",
            ALIVE.as_secs(),
            self.state.table
        );
        let mut notes = Vec::new();
        for row in self.state.rows(text, vec![inside.clone()])? {
            let path: String = self.get(&row, 0)?;
            let name = path.strip_prefix(&inside).unwrap_or_default();
            if let Some(process) = noting::process(name) {
                notes.push(Note {
                    process: process.to_owned(),
                    text: self.get(&row, 1)?,
                    is_alive: self.get(&row, 2)?,
                });
            }
        }
        Ok(notes)
    }

    fn sweep(&self, temporary: &Path, is_over: bool) -> Result<(), BatchError> {
        sweep_here(STAGED)?;
        let old = match is_over {
            true => String::new(),
            false => format!(
                " AND noted < now() - interval '{} seconds'",
                ALIVE.as_secs()
            ),
        };
        let text = format!(
            "DELETE FROM {} WHERE starts_with(path, $1){old}",
            self.state.table
        );
        self.state
            .rows(text, vec![self.inside(temporary)?])
            .map(drop)
    }
}
