//! Looking through the sessions.

use moojo_session::{
    Page, PageToken, Session, SessionAdmin, SessionId, SessionInfo, StoreError, UserId, async_trait,
};
use tokio_postgres::Row;

use crate::column;
use crate::feed::Notice;
use crate::sessions;
use crate::store::PostgresStore;

const LIST: &str = "
    select user_id, session_id, expires_at, body from {schema}.sessions
    where user_id > $1 and expires_at > $2
    order by user_id limit $3";

const COUNT: &str = "select count(*) from {schema}.sessions where expires_at > $1";

const BEGINNING: &str = "select clock_timestamp()";

// Rows are locked in the order of users, so that two of these do not wait for each other. A session
// that was saved since the beginning stays, also if that happens while its row is waited for.
const REMOVE_BATCH: &str = "
    with batch as (
        select user_id from {schema}.sessions
        where user_id > $1 and saved_at <= $2
        order by user_id limit $3 for update),
    removed as (
        delete from {schema}.sessions as s using batch
        where s.user_id = batch.user_id
        returning s.user_id, s.expires_at)
    select max(user_id), count(*) filter (where expires_at > $4), pg_notify({channel}, $5)
    from removed having count(*) > 0";

impl PostgresStore {
    /// The most sessions on one page.
    const MAX_PAGE: usize = 10_000;
    /// How many sessions go in one transaction.
    const REMOVED_AT_ONCE: i64 = 2000;
}

/// These run on a connection of their own and may take ten times as long as others, so that nobody
/// waits behind them.
#[async_trait]
impl SessionAdmin for PostgresStore {
    /// In the order of users, by their bytes; at most 10,000.
    async fn list(&self, after: Option<&PageToken>, limit: usize) -> Result<Page, StoreError> {
        let limit = limit.clamp(1, Self::MAX_PAGE);
        // No user id is empty.
        let after = after.map_or("", PageToken::as_str);
        // One more, to see whether there is one.
        let parameters: [crate::Parameter<'_>; 3] = [&after, &self.now(), &(limit as i64 + 1)];
        let rows = self.upkeep().read(LIST, &parameters).await?;
        let shown = &rows[..rows.len().min(limit)];
        let sessions = shown.iter().map(info).collect::<Result<Vec<_>, _>>()?;
        let last = sessions.last().filter(|_| rows.len() > limit);
        let next = last.map(|last| PageToken::new(last.user.as_str()));
        Ok(Page { sessions, next })
    }

    /// It looks at each.
    async fn count(&self) -> Result<u64, StoreError> {
        let rows = self.upkeep().read(COUNT, &[&self.now()]).await?;
        let count: i64 = rows.first().map_or(Ok(0), |row| column(row, 0))?;
        Ok(count.unsigned_abs())
    }

    /// In transactions of 2000 sessions. The feed tells of each of these as `Lagged`.
    async fn remove_all(&self) -> Result<u64, StoreError> {
        let rows = self.upkeep().read(BEGINNING, &[]).await?;
        let Some(row) = rows.first() else { return Ok(0) };
        let beginning: chrono::DateTime<chrono::Utc> = column(row, 0)?;
        let notice = Notice::all_in_doubt();
        let (mut after, mut removed) = (String::new(), 0);
        loop {
            let parameters: [crate::Parameter<'_>; 5] =
                [&after, &beginning, &Self::REMOVED_AT_ONCE, &self.now(), &notice.as_str()];
            let rows = self.upkeep().write(REMOVE_BATCH, &parameters).await?;
            let Some(row) = rows.first() else { return Ok(removed) };
            after = column(row, 0)?;
            removed += column::<i64>(row, 1)?.unsigned_abs();
        }
    }

    async fn replace_if_current(&self, session: &Session) -> Result<bool, StoreError> {
        sessions::replace(self, session).await
    }
}

/// The row's session. If its record cannot be read, what stands beside it, so that it can be found
/// and removed.
fn info(row: &Row) -> Result<SessionInfo, StoreError> {
    let user = UserId::new(column::<&str>(row, 0)?).map_err(StoreError::corrupt)?;
    if let Ok(session) = sessions::read(row, &user, 1, 3) {
        return Ok(SessionInfo::from(&session));
    }
    let id: [u8; 16] = column::<&[u8]>(row, 1)?.try_into().map_err(StoreError::corrupt)?;
    let expires_at = column(row, 2)?;
    let issued_at = expires_at - Session::DOCUMENTED_LIFE;
    Ok(SessionInfo { user, id: SessionId::from_bytes(id), issued_at, expires_at })
}
