//! Logins under way.

use chrono::{DateTime, Utc};
use moojo_session::{
    Admission, Challenge, ChallengeStore, ExposedChallenge, Quota, Revision, StoreError, UserId,
    async_trait,
};
use tokio_postgres::Row;
use zeroize::Zeroizing;

use crate::column;
use crate::hidden::Hidden;
use crate::quotas;
use crate::store::PostgresStore;
use crate::times::micros_left;

const LOAD: &str = "select revision, body from {schema}.challenges where user_id = $1";

const FIRST: &str = "
    insert into {schema}.challenges (user_id, revision, keep_until, body)
    values ($1, $2, statement_timestamp() + $3::bigint * interval '1 microsecond', $4)
    on conflict (user_id) do nothing
    returning 1";

const NEXT: &str = "
    update {schema}.challenges set
        revision = $2, body = $4,
        keep_until = statement_timestamp() + $3::bigint * interval '1 microsecond'
    where user_id = $1 and revision = $5
    returning 1";

const REMOVE: &str = "
    delete from {schema}.challenges where user_id = $1 and revision = $2 returning 1";

#[async_trait]
impl ChallengeStore for PostgresStore {
    async fn load(&self, user: &UserId) -> Result<Option<Challenge>, StoreError> {
        let rows = self.reads().read(LOAD, &[&user.as_str()]).await?;
        rows.first().map(|row| read(row, user)).transpose()
    }

    async fn swap(
        &self,
        expected: Option<Revision>,
        next: &Challenge,
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        let user = next.user().as_str();
        let revision = number(next.revision()).ok_or_else(too_large)?;
        let left = micros_left(next.lapses_at() - now);
        let body = written(next)?;
        let link = self.writes(user);
        let parameters: [crate::Parameter<'_>; 4] =
            [&user, &revision, &left, &Hidden(body.as_str())];
        let rows = match expected.map(number) {
            None => link.write(FIRST, &parameters).await?,
            Some(Some(expected)) => {
                let [user, revision, left, body] = parameters;
                link.write(NEXT, &[user, revision, left, body, &expected]).await?
            }
            // No record has such a revision.
            Some(None) => return Ok(false),
        };
        Ok(!rows.is_empty())
    }

    async fn remove(&self, user: &UserId, expected: Revision) -> Result<bool, StoreError> {
        let Some(expected) = number(expected) else { return Ok(false) };
        let parameters: [crate::Parameter<'_>; 2] = [&user.as_str(), &expected];
        let rows = self.writes(user.as_str()).write(REMOVE, &parameters).await?;
        Ok(!rows.is_empty())
    }

    async fn admit(&self, quota: &Quota<'_>, now: DateTime<Utc>) -> Result<Admission, StoreError> {
        quotas::admit(self, quota, now).await
    }

    async fn give_back(&self, quota: &Quota<'_>, now: DateTime<Utc>) -> Result<(), StoreError> {
        quotas::give_back(self, quota, now).await
    }
}

/// The login in a row, which has to be this user's (rule 1), and to be found by its revision.
fn read(row: &Row, user: &UserId) -> Result<Challenge, StoreError> {
    let body: &str = column(row, 1)?;
    // serde's message can hold values, so it is not passed on (rule 13).
    let record: ExposedChallenge = serde_json::from_str(body)
        .map_err(|_| StoreError::corrupt("a login that is not as it was written"))?;
    let challenge = Challenge::try_from(record)?;
    if challenge.user() != user {
        return Err(StoreError::corrupt("another user's login stands in the user's place"));
    }
    if number(challenge.revision()) != Some(column(row, 0)?) {
        return Err(StoreError::corrupt("a login has another revision than its row"));
    }
    Ok(challenge)
}

fn written(challenge: &Challenge) -> Result<Zeroizing<String>, StoreError> {
    serde_json::to_string(&ExposedChallenge::from(challenge))
        .map(Zeroizing::new)
        .map_err(|_| StoreError::refused("the login cannot be written as JSON"))
}

fn number(revision: Revision) -> Option<i64> {
    i64::try_from(revision).ok()
}

fn too_large() -> StoreError {
    StoreError::refused("a revision has to be below 2^63")
}
