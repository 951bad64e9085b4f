//! What SQLite's errors mean to a caller.

use std::panic::{AssertUnwindSafe, catch_unwind};

use moojo_session::StoreError;
use rusqlite::ErrorCode;
use rusqlite::ffi;

/// Why a call could not do its work.
#[derive(Debug)]
pub(crate) enum Failure {
    /// SQLite says so.
    Sqlite(rusqlite::Error),
    /// We do.
    Store(StoreError),
}

impl Failure {
    /// As a caller may see it. SQLite's own texts can hold what a trigger or a constraint says of a
    /// row, so none of them is passed on (rule 13).
    pub(crate) fn into_store_error(self) -> StoreError {
        let error = match self {
            Self::Store(error) => return error,
            Self::Sqlite(error) => error,
        };
        let Some(code) = code(&error) else {
            // What stands in a column is not what we write there.
            return StoreError::corrupt("SQLite gave something else than was asked for");
        };
        let text = format!(
            "SQLite says: {} ({})",
            ffi::code_to_str(code.extended_code),
            code.extended_code
        );
        match Kind::of(code.code) {
            Kind::Unavailable => StoreError::unavailable(text),
            Kind::Corrupt => StoreError::corrupt(text),
            Kind::Refused => StoreError::refused(text),
        }
    }

    /// Somebody else has the lock.
    pub(crate) fn is_busy(&self) -> bool {
        matches!(self.code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
    }

    /// The file is something else than a database.
    pub(crate) fn is_no_database(&self) -> bool {
        self.code() == Some(ErrorCode::NotADatabase)
    }

    /// Whether another connection might do what this one could not: the file may have been put
    /// right, moved or replaced since this one was opened.
    pub(crate) fn spoils_connection(&self) -> bool {
        matches!(
            self.code(),
            Some(
                ErrorCode::ReadOnly
                    | ErrorCode::SystemIoFailure
                    | ErrorCode::CannotOpen
                    | ErrorCode::DatabaseCorrupt
                    | ErrorCode::NotADatabase
                    | ErrorCode::FileLockingProtocolFailed
                    | ErrorCode::ApiMisuse
            )
        )
    }

    fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Sqlite(error) => code(error).map(|code| code.code),
            Self::Store(_) => None,
        }
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// What `work` gives. If it panics, which somebody's [`Clock`](moojo_session::Clock) may, that fails
/// and not the thread, without which the store is of no more use.
pub(crate) fn caught<T>(work: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(StoreError::unavailable("the work on the file panicked").into()))
}

fn code(error: &rusqlite::Error) -> Option<ffi::Error> {
    match error {
        rusqlite::Error::SqliteFailure(code, _)
        | rusqlite::Error::SqlInputError { error: code, .. } => Some(*code),
        _ => None,
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Kind {
    Unavailable,
    Corrupt,
    Refused,
}

impl Kind {
    fn of(code: ErrorCode) -> Self {
        match code {
            ErrorCode::DiskFull
            | ErrorCode::ReadOnly
            | ErrorCode::PermissionDenied
            | ErrorCode::AuthorizationForStatementDenied
            | ErrorCode::TooBig
            | ErrorCode::ConstraintViolation
            | ErrorCode::TypeMismatch => Self::Refused,
            ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => Self::Corrupt,
            // A lock, the disk, memory, and what nobody has thought of.
            _ => Self::Unavailable,
        }
    }
}

#[cfg(test)]
mod tests {
    use moojo_session::StoreErrorKind;

    use super::*;

    fn failure(code: i32) -> Failure {
        let said = Some("6c0350a0 of +15559876543".to_owned());
        Failure::Sqlite(rusqlite::Error::SqliteFailure(ffi::Error::new(code), said))
    }

    #[test]
    fn codes_have_the_kinds_that_callers_act_on() {
        let expected = [
            (ffi::SQLITE_FULL, StoreErrorKind::Refused),
            (ffi::SQLITE_READONLY, StoreErrorKind::Refused),
            (ffi::SQLITE_PERM, StoreErrorKind::Refused),
            (ffi::SQLITE_AUTH, StoreErrorKind::Refused),
            (ffi::SQLITE_TOOBIG, StoreErrorKind::Refused),
            (ffi::SQLITE_CONSTRAINT, StoreErrorKind::Refused),
            (ffi::SQLITE_BUSY, StoreErrorKind::Unavailable),
            (ffi::SQLITE_LOCKED, StoreErrorKind::Unavailable),
            (ffi::SQLITE_IOERR, StoreErrorKind::Unavailable),
            (ffi::SQLITE_IOERR_FSYNC, StoreErrorKind::Unavailable),
            (ffi::SQLITE_CANTOPEN, StoreErrorKind::Unavailable),
            (ffi::SQLITE_CORRUPT, StoreErrorKind::Corrupt),
            (ffi::SQLITE_NOTADB, StoreErrorKind::Corrupt),
        ];
        for (code, kind) in expected {
            assert_eq!(failure(code).into_store_error().kind(), kind, "{code}");
        }
    }

    #[test]
    fn rule_13_sqlites_own_text_is_not_passed_on() {
        for code in [ffi::SQLITE_CONSTRAINT, ffi::SQLITE_ERROR, ffi::SQLITE_CORRUPT] {
            let shown = format!("{:?}", failure(code).into_store_error());
            assert!(!shown.contains("6c0350a0") && !shown.contains("555"), "{shown}");
        }
    }
}
