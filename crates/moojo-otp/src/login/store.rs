//! The challenge store as the flow uses it: with a time limit, and with changes that go on until
//! they meet a record that nobody else changes.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use moojo_session::{
    Admission, Chain, Challenge, ChallengeStore, Clock, Quota, Revision, StoreError, StoreLog,
    UserId,
};

use super::machine::Change;
use crate::phone::PhoneNumber;

/// How often a change is begun anew because others were faster.
pub(super) const MAX_ROUNDS: usize = 16;

pub(super) struct Challenges {
    store: Arc<dyn ChallengeStore>,
    clock: Arc<dyn Clock>,
    timeout: Duration,
    logs: Logs,
}

/// One for each kind of call: permissions differ, and one that works says nothing of another.
struct Logs {
    load: StoreLog,
    write: StoreLog,
    count: StoreLog,
}

/// The store's time is over.
#[derive(Debug, thiserror::Error)]
#[error("it took longer than {0:?}")]
struct TimedOut(Duration);

impl Challenges {
    pub(super) fn new(
        store: Arc<dyn ChallengeStore>,
        clock: Arc<dyn Clock>,
        timeout: Duration,
    ) -> Self {
        let logs = Logs {
            load: StoreLog::new("load a login under way"),
            write: StoreLog::new("write a login under way"),
            count: StoreLog::new("count sends"),
        };
        Self { store, clock, timeout, logs }
    }

    /// The user's record. One that no number can be read from, as a sealed one where there is no
    /// `SealedStore`, is nobody's to go on with: what was written over it would open for nobody.
    pub(super) async fn load(&self, user: &UserId) -> Result<Option<Challenge>, StoreError> {
        let read = async {
            let found = self.store.load(user).await?;
            let under_way = found.as_ref().filter(|found| self.clock.now() < found.lapses_at());
            let is_number = |kept: &str| PhoneNumber::from_kept(kept).is_some();
            if under_way.is_some_and(|found| !is_number(found.expose_address())) {
                let why = "the address is no phone number: it may be sealed";
                return Err(StoreError::corrupt(why));
            }
            Ok(found)
        };
        self.limited(&self.logs.load, read).await
    }

    pub(super) async fn swap(
        &self,
        expected: Option<Revision>,
        next: &Challenge,
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        self.limited(&self.logs.write, self.store.swap(expected, next, now)).await
    }

    pub(super) async fn remove(
        &self,
        user: &UserId,
        expected: Revision,
    ) -> Result<bool, StoreError> {
        self.limited(&self.logs.write, self.store.remove(user, expected)).await
    }

    pub(super) async fn admit(
        &self,
        quota: &Quota<'_>,
        now: DateTime<Utc>,
    ) -> Result<Admission, StoreError> {
        self.limited(&self.logs.count, self.store.admit(quota, now)).await
    }

    /// If this fails, the use stays counted, which is no error of a call. Says whether it did not.
    pub(super) async fn give_back(&self, quota: &Quota<'_>, now: DateTime<Utc>) -> bool {
        let given_back = self.limited(&self.logs.count, self.store.give_back(quota, now)).await;
        if let Err(error) = &given_back {
            tracing::debug!(error = %Chain(error), "a use that was given back stays counted");
        }
        given_back.is_ok()
    }

    /// Makes `change` of the record that is `known`, or of what others have made of it meanwhile.
    /// Gives what was written.
    ///
    /// What cannot be recorded is lost, and the record stays as it was before a call of Moojo: as
    /// one whose outcome is unknown. That is safe, so it is no error of the call.
    pub(super) async fn settle(
        &self,
        known: &Challenge,
        change: impl Fn(&Challenge) -> Change,
    ) -> Option<Challenge> {
        let settled = self.try_settle(known, change).await;
        settled.unwrap_or_else(|error| {
            tracing::debug!(error = %Chain(&error), "the outcome of a call could not be recorded");
            None
        })
    }

    async fn try_settle(
        &self,
        known: &Challenge,
        change: impl Fn(&Challenge) -> Change,
    ) -> Result<Option<Challenge>, StoreError> {
        let user = known.user();
        let mut current = known.clone();
        for _ in 0..MAX_ROUNDS {
            let now = self.clock.now();
            let revision = current.revision();
            match change(&current) {
                Change::Keep => return Ok(None),
                Change::Write(next) => {
                    if self.swap(Some(revision), &next, now).await? {
                        return Ok(Some(next));
                    }
                }
                Change::Remove => {
                    if self.remove(user, revision).await? {
                        return Ok(None);
                    }
                }
            }
            match self.load(user).await? {
                Some(changed) => current = changed,
                None => return Ok(None),
            }
        }
        Ok(None)
    }

    async fn limited<T>(
        &self,
        log: &StoreLog,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let outcome = tokio::select! {
            biased;
            outcome = call => outcome,
            () = self.clock.sleep(self.timeout) => {
                Err(StoreError::timed_out(TimedOut(self.timeout)))
            }
        };
        log.note(&outcome);
        outcome
    }
}
