//! An input that was found.

use std::path::Path;

use motet_rows::Port;

use super::InputFormat;
use crate::database::{is_database, shown};
use crate::error::BatchError;
use crate::files::{Files, InputFile};
#[cfg(feature = "postgres")]
use crate::postgres::Query;
use crate::settings::QueryText;

/// An input that was found.
#[derive(Debug, Clone)]
pub(crate) enum Origin {
    /// A file of a format.
    File(InputFile, InputFormat),
    /// A query of a database.
    #[cfg(feature = "postgres")]
    Query(Query),
}

impl Origin {
    /// Returns the input at the address of a database, if that is what the names are.
    ///
    /// # Errors
    /// An address beside others; a query without an address, or the other way round; a query that
    /// is no input.
    pub(crate) fn of_query(
        files: &Files,
        names: &[String],
        query: Option<&QueryText>,
    ) -> Result<Option<Self>, BatchError> {
        let address = names.iter().find(|name| {
            let name = Path::new(name);
            is_database(name) && !files.is_in_table(name)
        });
        match (address, query) {
            (None, None) => Ok(None),
            (None, Some(_)) => Err(BatchError::cannot(
                "--query is for an input such as postgres://USER@HOST/DATABASE",
            )),
            (Some(_), _) if names.len() > 1 => Err(BatchError::cannot(
                "a query is an input by itself: name no other beside its database",
            )),
            (Some(address), None) => Err(BatchError::cannot(format!(
                "{}: say the rows with --query, such as --query 'TABLE tickets', and --order-by",
                shown(address)
            ))),
            (Some(address), Some(query)) => Self::asked(files, address, query).map(Some),
        }
    }

    #[cfg(feature = "postgres")]
    fn asked(files: &Files, address: &str, query: &QueryText) -> Result<Self, BatchError> {
        files.postgres().query(address, query).map(Self::Query)
    }

    #[cfg(not(feature = "postgres"))]
    fn asked(_: &Files, address: &str, _: &QueryText) -> Result<Self, BatchError> {
        let (name, absent) = (shown(address), crate::database::ABSENT);
        Err(BatchError::cannot(format!("{name}: {absent}")))
    }

    /// Returns its name in a plan.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::File(file, _) => file.path().to_string_lossy().into_owned(),
            #[cfg(feature = "postgres")]
            Self::Query(query) => query.name(),
        }
    }

    /// Returns its format.
    pub(crate) const fn format(&self) -> InputFormat {
        match self {
            Self::File(_, format) => *format,
            #[cfg(feature = "postgres")]
            Self::Query(_) => InputFormat::Postgres,
        }
    }

    /// Returns the names of its columns, where they are known without its rows.
    pub(crate) fn described(&self) -> Vec<String> {
        match self {
            Self::File(..) => Vec::new(),
            #[cfg(feature = "postgres")]
            Self::Query(query) => query.types().into_iter().map(|c| c.name).collect(),
        }
    }

    /// Returns the mistakes of inputs that are fed by columns of other types.
    #[cfg_attr(
        not(feature = "postgres"),
        expect(unused_variables, reason = "of queries")
    )]
    pub(crate) fn misfits(&self, ports: &[Port], map: &[(String, String)]) -> Vec<String> {
        match self {
            Self::File(..) => Vec::new(),
            #[cfg(feature = "postgres")]
            Self::Query(query) => query.mistakes(ports, map),
        }
    }
}
