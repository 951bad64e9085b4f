//! The sessions themselves.

use moojo_session::{
    ChangeStream, Session, SessionId, SessionStore, StoreError, UserId, async_trait,
};
use tokio_postgres::Row;

use crate::column;
use crate::feed::Notice;
use crate::hidden::Hidden;
use crate::store::PostgresStore;
use crate::times::micros_left;

// Each of these tells of itself in its own transaction: what is told has happened, and what has
// happened is told.

const SAVE: &str = "
    with saved as (
        insert into {schema}.sessions as s
            (user_id, session_id, expires_at, saved_at, keep_until, body)
        values ($1, $2, $3, statement_timestamp(),
            greatest($3, statement_timestamp() + $4::bigint * interval '1 microsecond'), $5)
        on conflict (user_id) do update set
            session_id = excluded.session_id, expires_at = excluded.expires_at,
            saved_at = excluded.saved_at, keep_until = excluded.keep_until, body = excluded.body
        returning 1)
    select pg_notify({channel}, $6) from saved";

const REMOVE: &str = "
    with removed as (
        delete from {schema}.sessions where user_id = $1 returning expires_at)
    select expires_at > $2, pg_notify({channel}, $3) from removed";

const REMOVE_IF_CURRENT: &str = "
    with removed as (
        delete from {schema}.sessions where user_id = $1 and session_id = $4 returning expires_at)
    select expires_at > $2, pg_notify({channel}, $3) from removed";

// A session that is sealed anew is the same login: nobody is told.
const REPLACE: &str = "
    update {schema}.sessions set
        expires_at = $3, body = $5,
        keep_until = greatest($3, statement_timestamp() + $4::bigint * interval '1 microsecond')
    where user_id = $1 and session_id = $2
    returning 1";

#[async_trait]
impl SessionStore for PostgresStore {
    async fn load(&self, user: &UserId) -> Result<Option<Session>, StoreError> {
        let session = self.loads().load(user).await?;
        Ok(session.filter(|session| !session.has_expired_at(self.now())))
    }

    async fn save(&self, session: &Session) -> Result<(), StoreError> {
        let (user, id) = (session.user(), session.id().to_bytes());
        let left = micros_left(session.expires_at() - self.now());
        let body = session.to_exposed_bytes();
        let notice = Notice::saved(session);
        self.writes(user.as_str())
            .write(
                SAVE,
                &[
                    &user.as_str(),
                    &id.as_slice(),
                    &session.expires_at(),
                    &left,
                    &Hidden(body.as_slice()),
                    &notice.as_str(),
                ],
            )
            .await
            .map(drop)
    }

    async fn remove(&self, user: &UserId) -> Result<bool, StoreError> {
        let notice = Notice::removed(user);
        let link = self.writes(user.as_str());
        was_live(&link.write(REMOVE, &[&user.as_str(), &self.now(), &notice.as_str()]).await?)
    }

    async fn remove_if_current(&self, user: &UserId, id: SessionId) -> Result<bool, StoreError> {
        let (notice, id) = (Notice::removed(user), id.to_bytes());
        let parameters: [crate::Parameter<'_>; 4] =
            [&user.as_str(), &self.now(), &notice.as_str(), &id.as_slice()];
        was_live(&self.writes(user.as_str()).write(REMOVE_IF_CURRENT, &parameters).await?)
    }

    fn changes(&self) -> ChangeStream {
        self.feed()
    }
}

/// Writes over the session with this id; see `SessionAdmin`.
pub(crate) async fn replace(store: &PostgresStore, session: &Session) -> Result<bool, StoreError> {
    let (user, id) = (session.user(), session.id().to_bytes());
    let left = micros_left(session.expires_at() - store.now());
    let body = session.to_exposed_bytes();
    let parameters: [crate::Parameter<'_>; 5] =
        [&user.as_str(), &id.as_slice(), &session.expires_at(), &left, &Hidden(body.as_slice())];
    let rows = store.writes(user.as_str()).write(REPLACE, &parameters).await?;
    Ok(!rows.is_empty())
}

/// The session in a row, which has to be this user's (rule 1), and to be found by its id.
pub(crate) fn read(
    row: &Row,
    user: &UserId,
    id_column: usize,
    body_column: usize,
) -> Result<Session, StoreError> {
    let body: &[u8] = column(row, body_column)?;
    let id: &[u8] = column(row, id_column)?;
    let session = Session::from_exposed_bytes(body).map_err(StoreError::corrupt)?;
    if session.user() != user {
        return Err(StoreError::corrupt("another user's session stands in the user's place"));
    }
    if session.id().to_bytes() != id {
        return Err(StoreError::corrupt("a session has another id than its row"));
    }
    Ok(session)
}

fn was_live(rows: &[Row]) -> Result<bool, StoreError> {
    rows.first().map_or(Ok(false), |row| column(row, 0))
}
