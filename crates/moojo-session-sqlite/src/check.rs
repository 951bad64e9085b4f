use moojo_session::StoreError;
use rusqlite::{Connection, MAIN_DB, ffi};

use crate::error::Failure;
use crate::store::SqliteStore;

/// Each of them is read.
const TABLES: &str = "
    select (select count(*) from (select 1 from sessions limit 1))
        + (select count(*) from (select 1 from challenges limit 1))
        + (select count(*) from (select 1 from quotas limit 1))
        + (select count(*) from (select 1 from leases limit 1))
        + (select count(*) from (select 1 from changes limit 1))";

impl SqliteStore {
    /// Whether the file is in its place, has the tables and may be written: for a readiness check, or
    /// for the start of a program.
    ///
    /// It is read by a thread of the store, within the time limit of a call, and nothing is written:
    /// whether the disk is full, or another process keeps the file locked, it does not say. It can be
    /// dropped at any time.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("sessions.db");
    /// use moojo_session::{Chain, StoreErrorKind};
    /// use moojo_session_sqlite::SqliteStore;
    ///
    /// let store = SqliteStore::builder(path).open().await?;
    /// match store.check().await {
    ///     Ok(()) => println!("ready"),
    ///     Err(error) if error.kind() == StoreErrorKind::Refused => return Err(error.into()),
    ///     Err(error) => println!("not yet: {}", Chain(&error)),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// A [`StoreError`], as any other call: [`Refused`](moojo_session::StoreErrorKind::Refused) for a
    /// file that may not be written, [`Unavailable`](moojo_session::StoreErrorKind::Unavailable) for
    /// one that has gone or lacks a table.
    pub async fn check(&self) -> Result<(), StoreError> {
        self.reads().call(check).await
    }
}

fn check(db: &Connection) -> Result<(), Failure> {
    db.prepare_cached(TABLES)?.query_row((), |row| row.get::<_, i64>(0))?;
    if db.is_readonly(MAIN_DB)? {
        // As a write would have it. The connection is given up: another one may write, once the file is
        // put right.
        let code = ffi::Error::new(ffi::SQLITE_READONLY);
        return Err(rusqlite::Error::SqliteFailure(code, None).into());
    }
    Ok(())
}
