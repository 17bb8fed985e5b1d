//! Rows of queries of Postgres.
//!
//! * `address`: the address of a database; `passwords`: its password; `tls`: TLS of connections.
//! * `fault`: errors by what they ask for: another try, or nothing.
//! * `server`: a database as requests see it.
//! * `columns`: columns by the types that the server describes; `values`: values as JSON.
//! * `query`: a query that was described; `rows`: its rows, page by page; `units`: a plan of them,
//!   and those of a unit.

mod address;
mod columns;
mod fault;
mod passwords;
mod query;
mod rows;
mod server;
mod tls;
mod units;
mod values;

use std::sync::Arc;
use std::time::Duration;

pub(crate) use columns::ColumnType;
pub(crate) use query::Query;
pub(crate) use units::{UnitRows, scan};

use self::address::Address;
use self::server::Server;
use crate::error::BatchError;
use crate::settings::QueryText;
use crate::waiting::Requests;

/// Databases, as they are reached. Clones share what runs their requests.
#[derive(Debug, Clone)]
pub(crate) struct Servers {
    retry_for: Duration,
    requests: Arc<Requests>,
}

impl Servers {
    /// Returns means of reaching databases. One that is away is asked again for `retry_for`.
    pub(crate) const fn new(retry_for: Duration, requests: Arc<Requests>) -> Self {
        Self {
            retry_for,
            requests,
        }
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
