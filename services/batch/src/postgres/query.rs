//! A query whose rows are read by their key, page by page.

use std::sync::Arc;

use motet_rows::{Port, hint};
use sha2::{Digest as _, Sha256};

use super::columns::{Column, ColumnType, columns, declared, mistakes, quoted};
use super::fault::Fault;
use super::rows::QueryRows;
use super::server::Server;
use crate::error::BatchError;
use crate::hash::hex;
use crate::settings::QueryText;

/// Types of keys: those whose equal values have equal texts.
const KEYS: [&str; 9] = [
    "int2",
    "int4",
    "int8",
    "text",
    "varchar",
    "uuid",
    "date",
    "timestamp",
    "timestamptz",
];

/// A query of a database, with its columns as the server describes them. Clones are the same.
#[derive(Debug, Clone)]
pub(crate) struct Query(Arc<Described>);

#[derive(Debug)]
struct Described {
    server: Server,
    text: String,
    key: ColumnType,
    columns: Vec<Column>,
}

impl Query {
    /// Asks a database for the columns of a query.
    ///
    /// # Errors
    /// A database that cannot be asked; every mistake of the query.
    pub(super) fn find(server: Server, asked: &QueryText) -> Result<Self, BatchError> {
        let text = asked.text.trim().trim_end_matches(';').trim_end();
        let prepared = text.to_owned();
        let found = server.until("asked", move |client| {
            let text = prepared.clone();
            async move {
                let statement = client.prepare(&text).await?;
                let is_open = !statement.params().is_empty();
                let types = statement.columns().iter().map(|column| ColumnType {
                    name: column.name().to_owned(),
                    declared: declared(column.type_()),
                });
                let types: Vec<ColumnType> = types.collect();
                Ok((columns(&statement), types, is_open))
            }
        });
        let (columns, types, is_open) = found?;
        let mut mistakes = Vec::new();
        if is_open {
            mistakes.push("it has parameters such as $1: write their values".to_owned());
        }
        if types.is_empty() {
            mistakes.push("it has no columns: write a SELECT".to_owned());
        }
        let key = types.iter().find(|column| column.name == asked.key);
        match key {
            None if types.is_empty() => {}
            None => {
                let names: Vec<&str> = types.iter().map(|column| column.name.as_str()).collect();
                let hint = hint(&asked.key, &names);
                mistakes.push(format!("key `{}`: no such column; {hint}", asked.key));
            }
            Some(key) if !KEYS.contains(&key.declared.as_str()) => mistakes.push(format!(
                "key `{}`: is of type {}, and keys are {}",
                key.name,
                key.declared,
                motet_config::list_of(&KEYS)
            )),
            Some(_) => {}
        }
        let columns = columns.unwrap_or_else(|found| {
            mistakes.extend(found);
            Vec::new()
        });
        match (key, mistakes.is_empty()) {
            (Some(key), true) => Ok(Self(Arc::new(Described {
                text: text.to_owned(),
                key: key.clone(),
                columns,
                server,
            }))),
            _ => {
                let mut message = format!("{}: the query is no input:", server.name());
                for mistake in mistakes {
                    message.push_str("\n  ");
                    message.push_str(&mistake);
                }
                Err(BatchError::cannot(message))
            }
        }
    }

    /// Returns the name of its database.
    pub(crate) fn name(&self) -> String {
        self.0.server.name()
    }

    /// Returns its digest.
    pub(crate) fn sha256(&self) -> String {
        hex(Sha256::new_with_prefix(&self.0.text))
    }

    /// Returns the column that orders its rows.
    pub(crate) fn key(&self) -> &ColumnType {
        &self.0.key
    }

    /// Returns its columns with their types.
    pub(crate) fn types(&self) -> Vec<ColumnType> {
        self.0.columns.iter().map(Column::described).collect()
    }

    pub(super) fn columns(&self) -> &[Column] {
        &self.0.columns
    }

    pub(super) fn server(&self) -> &Server {
        &self.0.server
    }

    /// Returns the mistakes of inputs: columns that are not there, and those of other types.
    pub(crate) fn mistakes(&self, ports: &[Port], map: &[(String, String)]) -> Vec<String> {
        mistakes(&self.0.columns, ports, map)
    }

    /// Returns its rows from the first one on.
    pub(crate) fn rows(&self) -> QueryRows {
        QueryRows::new(self.clone(), None, None)
    }

    /// Counts the rows without a key.
    ///
    /// # Errors
    /// A database that cannot be asked; such rows.
    pub(super) fn check_key(&self) -> Result<(), BatchError> {
        let key = quoted(&self.0.key.name);
        let text = format!(
            "SELECT count(*) FROM (\n{}\n) AS q WHERE q.{key} IS NULL",
            self.0.text
        );
        let nulls = self.0.server.until("read", move |client| {
            let text = text.clone();
            async move {
                let row = client.query_one(&text, &[]).await?;
                let count: i64 = row.try_get(0).map_err(Fault::from)?;
                Ok(count)
            }
        })?;
        match nulls {
            0 => Ok(()),
            _ => Err(BatchError::cannot(format!(
                "{}: `{}` is no key: it is null in {nulls} rows",
                self.name(),
                self.0.key.name
            ))),
        }
    }

    /// Returns the text of a page: rows in the order of their keys, those after a first parameter
    /// and up to a last one, where there are such. The key comes first, as a text.
    pub(super) fn page(&self, is_after: bool, is_up_to: bool, limit: usize) -> String {
        let Described {
            text, key, columns, ..
        } = &*self.0;
        let (name, kind) = (quoted(&key.name), &key.declared);
        let mut page = format!("SELECT q.{name}::text");
        for column in columns {
            page.push_str(", ");
            page.push_str(&column.selected());
        }
        page.push_str(&format!(
            "\nFROM (\n{text}\n) AS q WHERE q.{name} IS NOT NULL"
        ));
        if is_after {
            page.push_str(&format!(" AND q.{name} > $1::text::{kind}"));
        }
        if is_up_to {
            let number = 1 + usize::from(is_after);
            page.push_str(&format!(" AND q.{name} <= ${number}::text::{kind}"));
        }
        page.push_str(&format!(" ORDER BY q.{name} LIMIT {limit}"));
        page
    }
}
