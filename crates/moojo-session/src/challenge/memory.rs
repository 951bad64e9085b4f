use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::Mutex;

use super::{Admission, Challenge, ChallengeStore, Quota, Revision};
use crate::store::StoreError;
use crate::user::UserId;

/// Logins under way in the memory of this process. Clones are the same store.
///
/// It holds at most [`MemoryChallengeStore::MAX_RECORDS`] logins and as many counted keys; what
/// has lapsed makes room, and when nothing has, a new login is refused.
#[derive(Clone, Default)]
pub struct MemoryChallengeStore(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    challenges: HashMap<UserId, Challenge>,
    /// For each key, when the uses that were granted fall out of the window; oldest first.
    uses: HashMap<String, VecDeque<DateTime<Utc>>>,
    /// When the maps are next cleared of what has lapsed, in entries.
    clear_at: usize,
    /// The second in which they were last cleared: when they are full, once in each.
    cleared_at: Option<i64>,
}

impl MemoryChallengeStore {
    /// How many logins may be under way at once.
    pub const MAX_RECORDS: usize = 1 << 20;

    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }
}

impl State {
    /// Clears out what has lapsed each time the maps have doubled, and refuses to grow without end.
    fn make_room(&mut self, now: DateTime<Utc>) -> Result<(), StoreError> {
        let len = self.challenges.len().max(self.uses.len());
        if len < self.clear_at.max(64) {
            return Ok(());
        }
        let full = || StoreError::refused("too many logins are under way");
        if len >= MemoryChallengeStore::MAX_RECORDS && self.cleared_at == Some(now.timestamp()) {
            return Err(full());
        }
        self.cleared_at = Some(now.timestamp());
        self.challenges.retain(|_, challenge| now < challenge.lapses_at());
        self.uses.retain(|_, ends| ends.back().is_some_and(|end| now < *end));
        let left = self.challenges.len().max(self.uses.len());
        self.clear_at = (left * 2).min(MemoryChallengeStore::MAX_RECORDS);
        if left >= MemoryChallengeStore::MAX_RECORDS {
            return Err(full());
        }
        Ok(())
    }
}

#[async_trait]
impl ChallengeStore for MemoryChallengeStore {
    async fn load(&self, user: &UserId) -> Result<Option<Challenge>, StoreError> {
        Ok(self.0.lock().challenges.get(user).cloned())
    }

    async fn swap(
        &self,
        expected: Option<Revision>,
        next: &Challenge,
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        let mut state = self.0.lock();
        if state.challenges.get(next.user()).map(Challenge::revision) != expected {
            return Ok(false);
        }
        if !state.challenges.contains_key(next.user()) {
            state.make_room(now)?;
        }
        state.challenges.insert(next.user().clone(), next.clone());
        Ok(true)
    }

    async fn remove(&self, user: &UserId, expected: Revision) -> Result<bool, StoreError> {
        let mut state = self.0.lock();
        let same = state.challenges.get(user).is_some_and(|c| c.revision() == expected);
        Ok(same && state.challenges.remove(user).is_some())
    }

    async fn admit(&self, quota: &Quota<'_>, now: DateTime<Utc>) -> Result<Admission, StoreError> {
        let mut state = self.0.lock();
        if !state.uses.contains_key(quota.key) {
            state.make_room(now)?;
        }
        let window = TimeDelta::from_std(quota.window).map_err(StoreError::refused)?;
        let end = now.checked_add_signed(window).unwrap_or(DateTime::<Utc>::MAX_UTC);
        // A use that ends still later was counted before the clock was set back.
        let last = end.checked_add_signed(window).unwrap_or(DateTime::<Utc>::MAX_UTC);
        let ends = state.uses.entry(quota.key.to_owned()).or_default();
        while ends.front().is_some_and(|end| *end <= now || last < *end) {
            ends.pop_front();
        }
        if ends.len() < quota.limit as usize {
            ends.push_back(end);
            return Ok(Admission::Granted);
        }
        Ok(Admission::Refused { until: ends.front().copied().unwrap_or(end) })
    }

    async fn give_back(&self, quota: &Quota<'_>, _: DateTime<Utc>) -> Result<(), StoreError> {
        if let Some(ends) = self.0.lock().uses.get_mut(quota.key) {
            ends.pop_back();
        }
        Ok(())
    }
}

impl fmt::Debug for MemoryChallengeStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryChallengeStore")
            .field("challenges", &self.0.lock().challenges.len())
            .finish_non_exhaustive()
    }
}
