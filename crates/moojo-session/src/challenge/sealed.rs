use std::borrow::Cow;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::{Admission, Challenge, ChallengeStore, Quota, Revision};
use crate::store::{SealedPlace, SealedStore, StoreError};
use crate::user::UserId;

impl<S> SealedStore<S> {
    fn place_of_address(&self, challenge: &Challenge) -> SealedPlace {
        let (user, revision) = (challenge.user.as_str(), challenge.revision.to_be_bytes());
        self.place("moojo-session sealed address v1", &[user.as_bytes(), &revision])
    }

    fn sealed_challenge(&self, challenge: &Challenge) -> Result<Challenge, StoreError> {
        let sealed = self.seal(&challenge.address, &self.place_of_address(challenge))?;
        let address = sealed.unwrap_or_else(|| challenge.address.clone());
        Ok(Challenge { address, ..challenge.clone() })
    }

    /// The record that was found in the place of `user`.
    fn opened_challenge(&self, user: &UserId, kept: Challenge) -> Result<Challenge, StoreError> {
        if kept.user() != user {
            return Err(StoreError::corrupt("the login in the user's place is another user's"));
        }
        match self.open(&kept.address, &self.place_of_address(&kept))? {
            Some(address) => Ok(Challenge { address, ..kept }),
            None => Ok(kept),
        }
    }

    /// The key of a quota, in which a phone number may stand, as the backend sees it.
    fn quota_key<'a>(&self, key: &'a str) -> Cow<'a, str> {
        let hashed = self.hash(&self.place("moojo-session hashed quota v1", &[key.as_bytes()]));
        hashed.map_or(Cow::Borrowed(key), Cow::Owned)
    }
}

/// The phone number in a record is sealed anew with each writing. A quota is counted under a hash of
/// its key.
#[async_trait]
impl<S: ChallengeStore> ChallengeStore for SealedStore<S> {
    async fn load(&self, user: &UserId) -> Result<Option<Challenge>, StoreError> {
        self.inner().load(user).await?.map(|kept| self.opened_challenge(user, kept)).transpose()
    }

    async fn swap(
        &self,
        expected: Option<Revision>,
        next: &Challenge,
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        self.inner().swap(expected, &self.sealed_challenge(next)?, now).await
    }

    async fn remove(&self, user: &UserId, expected: Revision) -> Result<bool, StoreError> {
        self.inner().remove(user, expected).await
    }

    async fn admit(&self, quota: &Quota<'_>, now: DateTime<Utc>) -> Result<Admission, StoreError> {
        self.inner().admit(&Quota { key: &self.quota_key(quota.key), ..*quota }, now).await
    }

    async fn give_back(&self, quota: &Quota<'_>, now: DateTime<Utc>) -> Result<(), StoreError> {
        self.inner().give_back(&Quota { key: &self.quota_key(quota.key), ..*quota }, now).await
    }
}
