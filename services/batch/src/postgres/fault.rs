//! Errors of databases, by what they ask for.

use std::error::Error;
use std::io;

use tokio_postgres::error::{DbError, ErrorPosition, SqlState};

use crate::error::{BatchError, find};
use crate::waiting::is_nameless;

/// Meaning of an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// The server is away or busy, or a connection broke.
    Away(String),
    /// No machine has the name of the server.
    Nameless(String),
    /// The same request would be refused again.
    Refused(String),
    /// The end of the batch.
    Ended(BatchError),
}

impl From<tokio_postgres::Error> for Fault {
    fn from(error: tokio_postgres::Error) -> Self {
        let message = told(&error);
        match is_away(&error) {
            _ if is_nameless(&error) => Self::Nameless(message),
            true => Self::Away(message),
            false => Self::Refused(message),
        }
    }
}

impl From<BatchError> for Fault {
    fn from(error: BatchError) -> Self {
        Self::Ended(error)
    }
}

fn is_away(error: &tokio_postgres::Error) -> bool {
    if let Some(code) = error.code() {
        return is_passing(code);
    }
    if error.is_closed() {
        return true;
    }
    if find::<rustls::Error>(error).is_some() {
        return false;
    }
    find::<io::Error>(error).is_some_and(|error| {
        let kind = error.kind();
        kind != io::ErrorKind::InvalidData && kind != io::ErrorKind::InvalidInput
    })
}

/// Returns whether a state of a server passes by itself: shut down or started just now, too many
/// connections, a disk that is full, a deadlock, a session that was silent for too long.
fn is_passing(code: &SqlState) -> bool {
    let classes = ["08", "40", "53", "57", "58"];
    let class = code.code().get(..2).unwrap_or_default();
    let others = [
        SqlState::LOCK_NOT_AVAILABLE,
        SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
    ];
    classes.contains(&class) || others.contains(code)
}

/// Returns the reason of an error in words.
fn told(error: &tokio_postgres::Error) -> String {
    if let Some(found) = error.as_db_error() {
        return of_server(found);
    }
    let mut parts = vec![error.to_string()];
    let mut next = error.source();
    while let Some(cause) = next {
        let part = cause.to_string();
        if !parts.iter().any(|known| known.contains(&part)) {
            parts.push(part);
        }
        next = cause.source();
    }
    let mut told = parts.join(": ");
    for (part, hint) in [
        (
            "password missing",
            "; it is in PGPASSWORD, in ~/.pgpass or another file (PGPASSFILE, passfile=FILE)",
        ),
        (
            "server does not support TLS",
            "; sslmode=disable goes without",
        ),
    ] {
        if told.contains(part) {
            told.push_str(hint);
        }
    }
    told
}

/// Returns what a server says of an error.
fn of_server(error: &DbError) -> String {
    let mut told = error.message().to_owned();
    if let Some(ErrorPosition::Original(position)) = error.position() {
        told.push_str(&format!(" at character {position}"));
    }
    let more = [error.detail(), error.where_(), error.hint()];
    for more in more.into_iter().flatten() {
        told.push_str(&format!("; {more}"));
    }
    told.replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_passes_or_does_not() {
        for (code, expected) in [
            (SqlState::ADMIN_SHUTDOWN, true),
            (SqlState::CANNOT_CONNECT_NOW, true),
            (SqlState::TOO_MANY_CONNECTIONS, true),
            (SqlState::T_R_DEADLOCK_DETECTED, true),
            (SqlState::CONNECTION_FAILURE, true),
            (SqlState::LOCK_NOT_AVAILABLE, true),
            (SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT, true),
            (SqlState::INVALID_PASSWORD, false),
            (SqlState::UNDEFINED_TABLE, false),
            (SqlState::INSUFFICIENT_PRIVILEGE, false),
            (SqlState::DIVISION_BY_ZERO, false),
        ] {
            assert_eq!(is_passing(&code), expected, "{code:?}");
        }
    }
}
