//! The changes that are kept in the file for other processes. They are written in the transaction
//! of what they tell of.

use moojo_session::{Session, UserId};
use rusqlite::Connection;

use crate::error::Failure;

/// How many changes stay for those who read behind.
const KEPT: i64 = 16_384;
/// Every so many changes, those that are too many are deleted.
const EVERY: i64 = 1024;

/// The user has this session. Gives the number of the change.
pub(crate) fn saved(db: &Connection, session: &Session) -> Result<i64, Failure> {
    db.prepare_cached("insert into changes (user, id) values (?1, ?2)")?
        .execute((session.user().as_str(), session.id().to_bytes()))?;
    Ok(db.last_insert_rowid())
}

/// The user has no session any more.
pub(crate) fn removed(db: &Connection, user: &UserId) -> Result<(), Failure> {
    db.prepare_cached("insert into changes (user) values (?1)")?.execute((user.as_str(),))?;
    Ok(())
}

/// So much has changed that everything is in doubt.
pub(crate) fn all_in_doubt(db: &Connection) -> Result<(), Failure> {
    db.prepare_cached("insert into changes default values")?.execute(())?;
    Ok(())
}

/// The number of the latest change; 0 if there was none yet.
pub(crate) fn last(db: &Connection) -> Result<i64, Failure> {
    let sql = "select coalesce(max(seq), 0) from changes";
    Ok(db.prepare_cached(sql)?.query_row((), |row| row.get(0))?)
}

/// Deletes old changes, if there are many too many. Gives the number of the latest.
pub(crate) fn prune(db: &Connection) -> Result<i64, Failure> {
    let last = last(db)?;
    let first: i64 = db
        .prepare_cached("select coalesce(min(seq), 0) from changes")?
        .query_row((), |row| row.get(0))?;
    if last - first >= KEPT + EVERY {
        db.prepare_cached("delete from changes where seq <= ?1")?.execute((last - KEPT,))?;
    }
    Ok(last)
}
