//! What the log says of a store of logins that does some of what it is asked.

mod common;

use chrono::{DateTime, Utc};
use common::{Log, world, world_with};
use moojo_session::{
    Admission, Challenge, ChallengeStore, MemoryChallengeStore, MemoryStore, Quota, Revision,
    StoreError, UserId, async_trait,
};

/// A store that may be read, and counts, and takes no login.
#[derive(Debug)]
struct ReadOnly(MemoryChallengeStore);

#[async_trait]
impl ChallengeStore for ReadOnly {
    async fn load(&self, user: &UserId) -> Result<Option<Challenge>, StoreError> {
        self.0.load(user).await
    }

    async fn swap(
        &self,
        _: Option<Revision>,
        _: &Challenge,
        _: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        Err(StoreError::refused("no permission to write"))
    }

    async fn remove(&self, _: &UserId, _: Revision) -> Result<bool, StoreError> {
        Err(StoreError::refused("no permission to write"))
    }

    async fn admit(&self, quota: &Quota<'_>, now: DateTime<Utc>) -> Result<Admission, StoreError> {
        self.0.admit(quota, now).await
    }

    async fn give_back(&self, quota: &Quota<'_>, now: DateTime<Utc>) -> Result<(), StoreError> {
        self.0.give_back(quota, now).await
    }
}

/// That it can be read says nothing of whether it can be written.
#[tokio::test]
async fn a_store_that_takes_no_login_is_not_said_to_work_again() {
    let log = Log::default();
    let _guard = log.start();
    let store = ReadOnly(world().challenges);
    let world = world_with(MemoryStore::new(), |flow| flow.challenges(store));
    for _ in 0..3 {
        world.send().await.unwrap_err();
    }
    let text = log.text();
    let lines = |said: &str| text.lines().filter(|line| line.contains(said)).count();
    assert_eq!(lines("the session store works again"), 0, "{text}");
    assert_eq!(lines("WARN"), 1, "{text}");
    assert!(text.contains("refused: no permission to write"), "{text}");
}
