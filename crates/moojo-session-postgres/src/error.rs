//! What PostgreSQL's errors mean to a caller.

use std::error::Error;
use std::time::Duration;

use moojo_session::StoreError;
use tokio_postgres::error::DbError;

/// An error of the server or of the connection, as a caller may see it.
///
/// The server's errors can hold values of rows (in DETAIL, and in some messages), and so can their
/// `Debug`. None of them is passed on: the text here is made of what speaks of no row.
pub(crate) fn store_error(error: &tokio_postgres::Error) -> StoreError {
    match error.as_db_error() {
        Some(told) => told_by_server(told),
        None => StoreError::unavailable(chain(error)),
    }
}

/// Whether the connection is of no more use, although it is open.
pub(crate) fn spoils_connection(error: &tokio_postgres::Error) -> bool {
    // A plan that the new layout of a table does not fit, and a prepared statement that is not
    // there: something between us and the server changes servers.
    error.code().is_some_and(|code| matches!(code.code(), "0A000" | "26000"))
}

/// The call's time is over, after it was sent.
pub(crate) fn no_answer(limit: Duration) -> StoreError {
    StoreError::timed_out(format!("PostgreSQL gave no answer in {limit:?}"))
}

/// The call's time is over before there was a connection to send it by.
pub(crate) fn no_connection(limit: Duration) -> StoreError {
    StoreError::unavailable(format!("there was no connection to PostgreSQL in {limit:?}"))
}

fn told_by_server(told: &DbError) -> StoreError {
    let code = told.code().code();
    let mut text = format!("PostgreSQL says SQLSTATE {code}");
    if speaks_of_no_row(code) {
        text = format!("{text}: {}", told.message());
    }
    if matches!(code, "42P01" | "3F000") {
        text.push_str(" (was PostgresStore::migrate called?)");
    }
    match Kind::of(code) {
        Kind::Unavailable => StoreError::unavailable(text),
        Kind::TimedOut => StoreError::timed_out(text),
        Kind::Corrupt => StoreError::corrupt(text),
        Kind::Refused => StoreError::refused(text),
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Kind {
    Unavailable,
    TimedOut,
    Corrupt,
    Refused,
}

impl Kind {
    /// By PostgreSQL's appendix A, "Error Codes".
    fn of(code: &str) -> Self {
        match code {
            // Cancelled by statement_timeout, or gave up a lock by lock_timeout.
            "57014" | "55P03" => Self::TimedOut,
            // The disk is full, a limit of the server's configuration.
            "53100" | "53400" => Self::Refused,
            "XX001" | "XX002" => Self::Corrupt,
            _ => match class(code) {
                // What was sent breaks a rule or has no place: values, constraints, a read-only
                // transaction, who may log in, the database, the schema, permissions, sizes.
                "22" | "23" | "25" | "28" | "3D" | "3F" | "42" | "44" | "54" => Self::Refused,
                // Connections, shutdown and start, too many connections, a deadlock, the rest.
                _ => Self::Unavailable,
            },
        }
    }
}

/// Messages of these classes name tables, roles, databases and files, never values.
fn speaks_of_no_row(code: &str) -> bool {
    matches!(class(code), "08" | "25" | "28" | "3D" | "3F" | "42" | "53" | "55" | "57" | "58")
}

fn class(code: &str) -> &str {
    code.get(..2).unwrap_or_default()
}

/// The error and what is under it, where the server did not speak: sockets, TLS, the protocol.
fn chain(error: &tokio_postgres::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_the_kinds_that_callers_act_on() {
        let expected = [
            ("57P01", Kind::Unavailable),
            ("57P02", Kind::Unavailable),
            ("57P03", Kind::Unavailable),
            ("53300", Kind::Unavailable),
            ("08006", Kind::Unavailable),
            ("40P01", Kind::Unavailable),
            ("57014", Kind::TimedOut),
            ("55P03", Kind::TimedOut),
            ("53100", Kind::Refused),
            ("25006", Kind::Refused),
            ("42501", Kind::Refused),
            ("42P01", Kind::Refused),
            ("28P01", Kind::Refused),
            ("XX001", Kind::Corrupt),
        ];
        for (code, kind) in expected {
            assert_eq!(Kind::of(code), kind, "{code}");
        }
    }

    #[test]
    fn rule_13_messages_that_hold_values_are_not_passed_on() {
        for code in ["22P02", "22021", "23505", "23514", "54000", "XX000", ""] {
            assert!(!speaks_of_no_row(code), "{code}");
        }
    }
}
