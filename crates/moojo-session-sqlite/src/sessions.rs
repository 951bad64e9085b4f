//! The sessions themselves.

use moojo_session::{
    ChangeStream, Session, SessionId, SessionStore, StoreError, UserId, async_trait,
};
use rusqlite::{Connection, OptionalExtension};

use crate::error::Failure;
use crate::store::SqliteStore;
use crate::times::nanos;
use crate::{log, record};

const LOAD: &str = "select id, body from sessions where user = ?1";

const SAVE: &str = "
    insert into sessions (user, id, issued_at, expires_at, seq, body)
    values (?1, ?2, ?3, ?4, ?5, ?6)
    on conflict (user) do update set
        id = excluded.id, issued_at = excluded.issued_at, expires_at = excluded.expires_at,
        seq = excluded.seq, body = excluded.body";

const REMOVE: &str = "
    delete from sessions where user = ?1 and id = coalesce(?2, id) returning expires_at";

// A session that is sealed anew is the same login: nobody is told.
const REPLACE: &str = "
    update sessions set issued_at = ?3, expires_at = ?4, body = ?5 where user = ?1 and id = ?2";

#[async_trait]
impl SessionStore for SqliteStore {
    async fn load(&self, user: &UserId) -> Result<Option<Session>, StoreError> {
        let session = self.reads().look_up(user, load).await?;
        Ok(session.filter(|session| !session.has_expired_at(self.now())))
    }

    async fn save(&self, session: &Session) -> Result<(), StoreError> {
        let body = session.to_exposed_bytes();
        let session = session.clone();
        let save = move |db: &Connection| {
            let seq = log::saved(db, &session)?;
            let (id, issued_at, expires_at) = columns(&session);
            db.prepare_cached(SAVE)?.execute((
                session.user().as_str(),
                id,
                issued_at,
                expires_at,
                seq,
                body.as_slice(),
            ))?;
            Ok(())
        };
        self.writes().call(save).await
    }

    async fn remove(&self, user: &UserId) -> Result<bool, StoreError> {
        self.remove_where(user, None).await
    }

    async fn remove_if_current(&self, user: &UserId, id: SessionId) -> Result<bool, StoreError> {
        self.remove_where(user, Some(id.to_bytes())).await
    }

    fn changes(&self) -> ChangeStream {
        self.feed().changes()
    }
}

impl SqliteStore {
    /// Removes the user's session if it has this id, or any. Says whether it did and it was live.
    async fn remove_where(&self, user: &UserId, id: Option<[u8; 16]>) -> Result<bool, StoreError> {
        let (user, now) = (user.clone(), nanos(self.now()));
        let remove = move |db: &Connection| {
            let mut sql = db.prepare_cached(REMOVE)?;
            let removed = sql.query_row((user.as_str(), id), |row| row.get::<_, i64>(0));
            let Some(expires_at) = removed.optional()? else { return Ok(false) };
            log::removed(db, &user)?;
            Ok(now < expires_at)
        };
        self.writes().call(remove).await
    }

    /// Writes over the session with this id; see `SessionAdmin`.
    pub(crate) async fn replace(&self, session: &Session) -> Result<bool, StoreError> {
        let body = session.to_exposed_bytes();
        let session = session.clone();
        let replace = move |db: &Connection| {
            let (id, issued_at, expires_at) = columns(&session);
            let user = session.user().as_str();
            let mut sql = db.prepare_cached(REPLACE)?;
            Ok(sql.execute((user, id, issued_at, expires_at, body.as_slice()))? > 0)
        };
        self.writes().call(replace).await
    }
}

/// The user's session, which may have ended. It has to be this user's (rule 1), and the one that its
/// row is found by.
fn load(db: &Connection, user: &UserId) -> Result<Option<Session>, Failure> {
    let mut sql = db.prepare_cached(LOAD)?;
    let mut rows = sql.query((user.as_str(),))?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let id: [u8; 16] = row.get(0)?;
    // Read where it stands: there is no copy to overwrite.
    let body = row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?;
    let session = record::read_session(body, user)?;
    if session.id().to_bytes() == id {
        return Ok(Some(session));
    }
    Err(StoreError::corrupt("a session has another id than its row").into())
}

fn columns(session: &Session) -> ([u8; 16], i64, i64) {
    (session.id().to_bytes(), nanos(session.issued_at()), nanos(session.expires_at()))
}
