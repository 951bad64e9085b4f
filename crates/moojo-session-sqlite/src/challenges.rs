//! Logins under way.

use chrono::{DateTime, Utc};
use moojo_session::{
    Admission, Challenge, ChallengeStore, Quota, Revision, StoreError, UserId, async_trait,
};
use rusqlite::Connection;

use crate::error::Failure;
use crate::store::SqliteStore;
use crate::times::{nanos, span_left};
use crate::{quotas, record};

const LOAD: &str = "select revision, body from challenges where user = ?1";

const FIRST: &str = "
    insert into challenges (user, revision, keep_until, body) values (?1, ?2, ?3, ?4)
    on conflict (user) do nothing";

const NEXT: &str = "
    update challenges set revision = ?2, keep_until = ?3, body = ?4
    where user = ?1 and revision = ?5";

const REMOVE: &str = "delete from challenges where user = ?1 and revision = ?2";

#[async_trait]
impl ChallengeStore for SqliteStore {
    async fn load(&self, user: &UserId) -> Result<Option<Challenge>, StoreError> {
        self.reads().look_up(user, load).await
    }

    async fn swap(
        &self,
        expected: Option<Revision>,
        next: &Challenge,
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        let user = next.user().clone();
        let revision = number(next.revision())
            .ok_or_else(|| StoreError::refused("a revision has to be below 2^63"))?;
        // No record has a revision that does not fit.
        let Some(expected) = expected.map_or(Some(None), |expected| number(expected).map(Some))
        else {
            return Ok(false);
        };
        let keep_until = nanos(self.now()).saturating_add(span_left(next.lapses_at() - now));
        let body = record::challenge(next)?;
        let swap = move |db: &Connection| {
            let (user, body) = (user.as_str(), body.as_str());
            let written = match expected {
                None => db.prepare_cached(FIRST)?.execute((user, revision, keep_until, body))?,
                Some(expected) => db
                    .prepare_cached(NEXT)?
                    .execute((user, revision, keep_until, body, expected))?,
            };
            Ok(written > 0)
        };
        self.writes().call(swap).await
    }

    async fn remove(&self, user: &UserId, expected: Revision) -> Result<bool, StoreError> {
        let Some(expected) = number(expected) else { return Ok(false) };
        let user = user.clone();
        let remove = move |db: &Connection| {
            Ok(db.prepare_cached(REMOVE)?.execute((user.as_str(), expected))? > 0)
        };
        self.writes().call(remove).await
    }

    async fn admit(&self, quota: &Quota<'_>, now: DateTime<Utc>) -> Result<Admission, StoreError> {
        quotas::admit(self, quota, now).await
    }

    async fn give_back(&self, quota: &Quota<'_>, now: DateTime<Utc>) -> Result<(), StoreError> {
        quotas::give_back(self, quota, now).await
    }
}

/// The user's login. It has to be this user's (rule 1), and the one that its row is found by.
fn load(db: &Connection, user: &UserId) -> Result<Option<Challenge>, Failure> {
    let mut sql = db.prepare_cached(LOAD)?;
    let mut rows = sql.query((user.as_str(),))?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let revision: i64 = row.get(0)?;
    let body = row.get_ref(1)?.as_str().map_err(rusqlite::Error::from)?;
    let challenge = record::read_challenge(body, user)?;
    if number(challenge.revision()) == Some(revision) {
        return Ok(Some(challenge));
    }
    Err(StoreError::corrupt("a login has another revision than its row").into())
}

fn number(revision: Revision) -> Option<i64> {
    i64::try_from(revision).ok()
}
