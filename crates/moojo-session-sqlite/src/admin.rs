//! Looking through the sessions.

use chrono::DateTime;
use moojo_session::{
    Page, PageToken, Session, SessionAdmin, SessionId, SessionInfo, StoreError, UserId, async_trait,
};
use rusqlite::{Connection, Row};

use crate::error::Failure;
use crate::log;
use crate::store::SqliteStore;
use crate::times::nanos;

const LIST: &str = "
    select user, id, issued_at, expires_at from sessions
    where user > ?1 and expires_at > ?2 order by user limit ?3";

const COUNT: &str = "select count(*) from sessions where expires_at > ?1";

// A session that was saved since the beginning has a later number, and stays.
const REMOVE_BATCH: &str = "
    delete from sessions where rowid in (
        select rowid from sessions where user > ?1 and seq <= ?2 order by user limit ?3)
    returning user, expires_at";

/// The most sessions on one page.
const MAX_PAGE: usize = 10_000;
/// How many sessions go in one transaction: others wait for it.
const REMOVED_AT_ONCE: usize = 1000;

/// These may take ten times as long as other calls.
#[async_trait]
impl SessionAdmin for SqliteStore {
    /// In the order of users, by their bytes; at most 10,000.
    async fn list(&self, after: Option<&PageToken>, limit: usize) -> Result<Page, StoreError> {
        let limit = limit.clamp(1, MAX_PAGE);
        // No user id is empty.
        let after = after.map_or_else(String::new, |after| after.as_str().to_owned());
        let now = nanos(self.now());
        let list = move |db: &Connection| {
            let mut sql = db.prepare_cached(LIST)?;
            // One more, to see whether there is one.
            let rows = sql.query_and_then((&after, now, limit as i64 + 1), info)?;
            rows.collect::<Result<Vec<_>, Failure>>()
        };
        let mut sessions = self.reads().long_call(list).await?;
        let more = sessions.len() > limit;
        sessions.truncate(limit);
        let last = sessions.last().filter(|_| more);
        let next = last.map(|last| PageToken::new(last.user.as_str()));
        Ok(Page { sessions, next })
    }

    /// It looks at each, in an index that holds their ends.
    async fn count(&self) -> Result<u64, StoreError> {
        let now = nanos(self.now());
        let count = move |db: &Connection| {
            Ok(db.prepare_cached(COUNT)?.query_row((now,), |row| row.get::<_, i64>(0))?)
        };
        self.reads().long_call(count).await.map(i64::unsigned_abs)
    }

    /// In transactions of 1000 sessions. The feed tells of each of these as `Lagged`.
    async fn remove_all(&self) -> Result<u64, StoreError> {
        let beginning = self.writes().long_call(log::last).await?;
        let (mut after, mut removed) = (String::new(), 0);
        loop {
            let (from, now) = (after, nanos(self.now()));
            let remove = move |db: &Connection| remove_batch(db, &from, beginning, now);
            let Some(batch) = self.writes().long_call(remove).await? else { return Ok(removed) };
            (after, removed) = (batch.last, removed + batch.live);
        }
    }

    async fn replace_if_current(&self, session: &Session) -> Result<bool, StoreError> {
        self.replace(session).await
    }
}

struct Batch {
    last: String,
    live: u64,
}

fn remove_batch(
    db: &Connection,
    after: &str,
    beginning: i64,
    now: i64,
) -> Result<Option<Batch>, Failure> {
    let mut sql = db.prepare_cached(REMOVE_BATCH)?;
    let mut rows = sql.query((after, beginning, REMOVED_AT_ONCE as i64))?;
    let mut batch: Option<Batch> = None;
    // They come in no particular order.
    while let Some(row) = rows.next()? {
        let (user, live) = (row.get::<_, String>(0)?, u64::from(now < row.get::<_, i64>(1)?));
        batch = Some(match batch {
            Some(Batch { last, live: others }) => {
                Batch { last: last.max(user), live: others + live }
            }
            None => Batch { last: user, live },
        });
    }
    if batch.is_some() {
        log::all_in_doubt(db)?;
    }
    Ok(batch)
}

fn info(row: &Row<'_>) -> Result<SessionInfo, Failure> {
    let user: String = row.get(0)?;
    Ok(SessionInfo {
        user: UserId::new(user).map_err(StoreError::corrupt)?,
        id: SessionId::from_bytes(row.get(1)?),
        issued_at: DateTime::from_timestamp_nanos(row.get(2)?),
        expires_at: DateTime::from_timestamp_nanos(row.get(3)?),
    })
}
