//! Logins under way: what was sent to whom, and how often a code was tried.
//!
//! The record of a login is a value with pure transitions; a [`ChallengeStore`] keeps it. What
//! decides between two who act at the same time is [`ChallengeStore::swap`]: it writes only over
//! the revision that was read. Redis does that in one script, SQL in one `UPDATE … WHERE revision`.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::store::StoreError;
use crate::user::UserId;

#[cfg(feature = "serde")]
mod exposed;
mod memory;
mod record;
#[cfg(feature = "sealed")]
mod sealed;

#[cfg(feature = "serde")]
pub use exposed::ExposedChallenge;
pub use memory::MemoryChallengeStore;
pub use record::{Challenge, ChallengeState, Revision};

/// Keeps the login under way of each user, and counts what was sent.
///
/// # What an implementation promises
///
/// - Each method is one atomic step in the backend, seen by every process once it has returned.
/// - A user has at most one record; the user is part of the key.
/// - A record is there until it is removed, or until [`Challenge::lapses_at`] at least: from then on
///   it may be gone. While it is there it is given out, and counts in [`swap`](Self::swap), whatever
///   the caller's clock says. So nobody whose clock is ahead writes over a login that others are in,
///   and whoever loads a record looks whether it has lapsed.
/// - The address in a record and in a quota's key is a phone number: it stands in no log, and
///   in no error and none of its sources: they are logged.
#[async_trait]
pub trait ChallengeStore: fmt::Debug + Send + Sync + 'static {
    /// The user's record, if there is one, which may have lapsed.
    async fn load(&self, user: &UserId) -> Result<Option<Challenge>, StoreError>;

    /// Writes `next` as the record of its user, if the record that is there has the revision
    /// `expected`; `None` expects none. Says whether it wrote. The caller's `now` and
    /// [`Challenge::lapses_at`] give the time for which a store has to keep it.
    async fn swap(
        &self,
        expected: Option<Revision>,
        next: &Challenge,
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError>;

    /// Removes the user's record if it has the revision `expected`. Says whether it did.
    async fn remove(&self, user: &UserId, expected: Revision) -> Result<bool, StoreError>;

    /// Counts one use of a quota at the time `now`, if there is any left.
    async fn admit(&self, quota: &Quota<'_>, now: DateTime<Utc>) -> Result<Admission, StoreError>;

    /// Gives back the latest use of a quota that is still counted at the time `now`: what it was
    /// granted for did not happen. Without any it does nothing.
    async fn give_back(&self, quota: &Quota<'_>, now: DateTime<Utc>) -> Result<(), StoreError>;
}

#[async_trait]
impl<S: ChallengeStore + ?Sized> ChallengeStore for Arc<S> {
    async fn load(&self, user: &UserId) -> Result<Option<Challenge>, StoreError> {
        (**self).load(user).await
    }

    async fn swap(
        &self,
        expected: Option<Revision>,
        next: &Challenge,
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        (**self).swap(expected, next, now).await
    }

    async fn remove(&self, user: &UserId, expected: Revision) -> Result<bool, StoreError> {
        (**self).remove(user, expected).await
    }

    async fn admit(&self, quota: &Quota<'_>, now: DateTime<Utc>) -> Result<Admission, StoreError> {
        (**self).admit(quota, now).await
    }

    async fn give_back(&self, quota: &Quota<'_>, now: DateTime<Utc>) -> Result<(), StoreError> {
        (**self).give_back(quota, now).await
    }
}

/// So many uses of a key in any window of this length.
#[derive(Clone, Copy)]
pub struct Quota<'a> {
    /// What is counted, with a prefix that says what for: `sends:+15559876543`.
    pub key: &'a str,
    /// How many uses there are in a window.
    pub limit: u32,
    /// The length of the sliding window.
    pub window: Duration,
}

impl fmt::Debug for Quota<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Quota")
            .field("limit", &self.limit)
            .field("window", &self.window)
            .finish_non_exhaustive()
    }
}

/// What [`ChallengeStore::admit`] says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// There was one left, and it is counted.
    Granted,
    /// There is none left, and nothing was counted.
    Refused {
        /// When the oldest use falls out of the window.
        until: DateTime<Utc>,
    },
}
