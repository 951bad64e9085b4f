//! Makes the tables, and brings older ones up to date.

use std::time::Duration;

use moojo_session::StoreError;
use rusqlite::{Connection, Transaction, TransactionBehavior};

use crate::error::Failure;
use crate::lock::patiently;

/// What each version adds to the one before it; the first is version 1. One that was published never
/// changes. It leaves the store of the version before at work, so that processes can be replaced one
/// by one.
const VERSIONS: &[&str] = &[include_str!("../migrations/1.sql")];

/// "mjss": by this, `file` and we know what the file is.
const APPLICATION_ID: i32 = 0x6d6a_7373;

/// Why a store could not be opened.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The file is of a later version of this crate: this one does not know what is in it.
    #[error("the file has version {found}, and this crate knows versions up to {known}")]
    Newer {
        /// The version of the file.
        found: u32,
        /// The latest that this crate knows.
        known: u32,
    },
    /// The file is no SQLite database, or one whose beginning is damaged or encrypted. Nothing was
    /// written to it.
    #[error("the file is no SQLite database")]
    NoDatabase,
    /// The file is a database of something else. Nothing was written to it.
    #[error("the file is another program's database")]
    NotOurs,
    /// The file is where SQLite cannot have a write-ahead log: on a network, as a rule.
    #[error("SQLite cannot have a write-ahead log there: the file has to be on a local disk")]
    NoWal,
    /// `:memory:`, which would be a file of that name here.
    #[error("a session store is a file; for one in memory there is moojo_session::MemoryStore")]
    InMemory,
    /// A time limit is zero, or there is to be no reader.
    #[error("a setting is zero that must not be")]
    Zero,
    /// The file could not be opened, or the tables not be made.
    #[error("the file could not be opened")]
    Store(#[from] StoreError),
}

impl From<Failure> for OpenError {
    fn from(failure: Failure) -> Self {
        match failure.is_no_database() {
            true => Self::NoDatabase,
            false => Self::Store(failure.into_store_error()),
        }
    }
}

/// Brings the file to the latest version. Many processes may do so at once.
pub(crate) fn bring_up(db: &Connection, patience: Duration) -> Result<(), OpenError> {
    // Before anything is written: what belongs to another program stays as it is.
    let reading = db.unchecked_transaction().map_err(Failure::from)?;
    let found = version(db)?;
    reading.commit().map_err(Failure::from)?;
    ensure_wal(db, patience)?;
    if found as usize == VERSIONS.len() {
        return Ok(());
    }
    let writing = Transaction::new_unchecked(db, TransactionBehavior::Immediate);
    let writing = writing.map_err(Failure::from)?;
    // Somebody else may have done it since.
    let found = version(db)?;
    add_versions(db, found)?;
    writing.commit().map_err(Failure::from)?;
    Ok(())
}

fn add_versions(db: &Connection, found: u32) -> Result<(), Failure> {
    for sql in VERSIONS.iter().skip(found as usize) {
        db.execute_batch(sql)?;
    }
    db.pragma_update(None, "application_id", APPLICATION_ID)?;
    db.pragma_update(None, "user_version", VERSIONS.len() as i64)?;
    Ok(())
}

/// The version of the file; an empty one has version 0. It takes several looks, so it has to be
/// called in a transaction.
fn version(db: &Connection) -> Result<u32, OpenError> {
    let known = VERSIONS.len() as u32;
    match marks(db)? {
        (APPLICATION_ID, found, _) if found > known => Err(OpenError::Newer { found, known }),
        (APPLICATION_ID, found, _) => Ok(found),
        (0, 0, 0) => Ok(0),
        _ => Err(OpenError::NotOurs),
    }
}

/// Whose file it says that it is, its version, and how many tables and indexes are in it.
fn marks(db: &Connection) -> Result<(i32, u32, u32), Failure> {
    let application = db.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let found = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let tables = db.query_row("select count(*) from sqlite_schema", (), |row| row.get(0))?;
    Ok((application, found, tables))
}

/// A connection that is made later meets the file that the store was opened on, or none.
pub(crate) fn ensure_ours(db: &Connection) -> Result<(), Failure> {
    let application: i32 = db.pragma_query_value(None, "application_id", |row| row.get(0))?;
    if application == APPLICATION_ID {
        return Ok(());
    }
    Err(StoreError::refused("there is another file in the place of the store's").into())
}

fn ensure_wal(db: &Connection, patience: Duration) -> Result<(), OpenError> {
    // SQLite does not wait for others who change it.
    match patiently(patience, || Ok(set_wal(db)?))?.as_str() {
        "wal" => Ok(()),
        _ => Err(OpenError::NoWal),
    }
}

/// Gives the mode that the file is in by now. It is a property of the file.
fn set_wal(db: &Connection) -> rusqlite::Result<String> {
    let mode: String = db.pragma_query_value(None, "journal_mode", |row| row.get(0))?;
    if mode == "wal" {
        return Ok(mode);
    }
    db.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))
}
