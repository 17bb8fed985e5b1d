//! Rows of queries of Postgres, and tables of answers.
//!
//! * `address`: the address of a database; `passwords`: its password; `tls`: TLS of connections.
//! * `fault`: errors by what they ask for: another try, or nothing.
//! * `server`: a database as requests see it.
//! * `columns`: columns by the types that the server describes; `values`: values as JSON.
//! * `query`: a query that was described; `rows`: its rows, page by page; `units`: a plan of them,
//!   and those of a unit.
//! * `table`: a table of answers as the folder of a batch, by its `name`; `state`: the table of
//!   small files beside it.
//! * `catalog`: what the server says of a table; `declare`: one that is made; `fit`: one that is
//!   there; `copy`: rows as they are sent; `commit`: a unit, all or none.

mod address;
mod catalog;
mod columns;
mod commit;
mod copy;
mod declare;
mod fault;
mod fit;
mod name;
mod passwords;
mod query;
mod rows;
mod server;
mod state;
mod table;
mod tls;
mod units;
mod values;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

pub(crate) use columns::ColumnType;
pub(crate) use copy::TableColumns;
pub(crate) use query::Query;
pub(crate) use table::Table;
pub(crate) use units::{UnitRows, scan};

use self::address::Address;
use self::name::TableName;
use self::server::Server;
use crate::error::BatchError;
use crate::settings::QueryText;
use crate::waiting::Requests;

/// Databases, as they are reached. Clones share what runs their requests.
#[derive(Debug, Clone)]
pub(crate) struct Servers {
    retry_for: Duration,
    requests: Arc<Requests>,
    tables: Arc<Mutex<Vec<Arc<Table>>>>,
}

impl Servers {
    /// Returns means of reaching databases. One that is away is asked again for `retry_for`.
    pub(crate) fn new(retry_for: Duration, requests: Arc<Requests>) -> Self {
        Self {
            retry_for,
            requests,
            tables: Arc::default(),
        }
    }

    /// Returns the table that has a file, if it was asked for before.
    pub(crate) fn known(&self, path: &Path) -> Option<Arc<Table>> {
        let path = path.to_str().unwrap_or_default();
        let tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        let has = |table: &&Arc<Table>| {
            let rest = path.strip_prefix(table.address());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        tables.iter().find(has).cloned()
    }

    /// Returns the table at an address, or that has a file.
    ///
    /// # Errors
    /// An address that is none, or names no table.
    pub(crate) fn table(&self, path: &Path) -> Result<Arc<Table>, BatchError> {
        if let Some(known) = self.known(path) {
            return Ok(known);
        }
        let address = Address::parse(&path.to_string_lossy())?;
        let database = address.name();
        let Some((name, table)) = address.of_table().zip(address.table.as_deref()) else {
            return Err(BatchError::cannot(format!(
                "{database} names no table for the answers: write {database}?table=NAME"
            )));
        };
        let table = TableName::parse(table)
            .map_err(|reason| BatchError::cannot(format!("{database}: {reason}")))?;
        if let Some(known) = self.known(Path::new(&name)) {
            return Ok(known);
        }
        let server = Server::new(address, false, self.retry_for, self.requests.waiting()?)?;
        let commits = server.beside();
        let made = Arc::new(Table::new(name, table, server, commits));
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        tables.push(made.clone());
        Ok(made)
    }

    /// Asks a database for what a query is.
    ///
    /// # Errors
    /// An address that is none; a database that cannot be asked; every mistake of the query.
    pub(crate) fn query(&self, address: &str, asked: &QueryText) -> Result<Query, BatchError> {
        let address = Address::parse(address)?;
        if address.table.is_some() {
            let name = address.name();
            return Err(BatchError::cannot(format!(
                "{name}: rows come by --query, such as --query 'TABLE tickets'; `table` is for \
                 answers"
            )));
        }
        let server = Server::new(address, true, self.retry_for, self.requests.waiting()?)?;
        Query::find(server, asked)
    }
}
