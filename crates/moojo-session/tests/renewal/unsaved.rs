//! What was renewed and the store does not take.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chrono::TimeDelta;
use moojo_session::{
    ChangeStream, Error, ManualClock, ReauthReason, Session, SessionId, SessionStore, StoreError,
    UserId, async_trait,
};
use tokio::sync::Semaphore;

use crate::common::hook::{Hook, builder, two_hours};
use crate::common::{TestStore, start, user};
use crate::{MINUTE, ending_in, reason};

/// A store that does not take sessions, or takes its time for removals.
#[derive(Debug, Clone)]
pub(crate) struct Stubborn {
    pub(crate) memory: TestStore,
    takes: Arc<AtomicBool>,
    pub(crate) removals: Arc<Semaphore>,
}

impl Stubborn {
    pub(crate) fn new(memory: TestStore) -> Self {
        let removals = Arc::new(Semaphore::new(1_000_000));
        Self { memory, takes: Arc::new(AtomicBool::new(true)), removals }
    }
}

#[async_trait]
impl SessionStore for Stubborn {
    async fn load(&self, user: &UserId) -> Result<Option<Session>, StoreError> {
        self.memory.load(user).await
    }

    async fn save(&self, session: &Session) -> Result<(), StoreError> {
        if !self.takes.load(Ordering::SeqCst) {
            return Err(StoreError::unavailable("it can only be read"));
        }
        self.memory.save(session).await
    }

    async fn remove(&self, user: &UserId) -> Result<bool, StoreError> {
        let removed = self.memory.remove(user).await;
        self.removals.acquire().await.unwrap().forget();
        removed
    }

    async fn remove_if_current(&self, user: &UserId, id: SessionId) -> Result<bool, StoreError> {
        self.memory.remove_if_current(user, id).await
    }

    fn changes(&self) -> ChangeStream {
        ChangeStream::none()
    }
}

#[tokio::test]
async fn rule_6_a_store_that_does_not_take_the_renewed_session_prompts_nobody() {
    let clock = ManualClock::new(start());
    let store = Stubborn::new(TestStore::new(&clock));
    let hook = Hook::new(&clock, two_hours());
    let sessions = builder(&store, &clock, &hook).build();
    let [alice, bob] = ["alice", "bob"].map(user);
    sessions.insert(ending_in(&bob, 30 * MINUTE, &clock)).await.unwrap();
    store.takes.store(false, Ordering::SeqCst);
    for _ in 0..2 {
        assert!(matches!(sessions.get(&alice).await, Err(Error::Store(_))));
        let outcome = sessions.ensure_valid_for(&bob, 45 * MINUTE).await;
        assert!(matches!(outcome, Err(Error::Store(_))));
        assert!(sessions.get(&bob).await.is_ok());
    }
    assert!(sessions.reauth_queue().is_empty());
    store.takes.store(true, Ordering::SeqCst);
    assert!(sessions.get(&alice).await.is_ok());
    assert!(sessions.ensure_valid_for(&bob, 45 * MINUTE).await.is_ok());
}

#[tokio::test]
async fn a_renewed_session_that_the_store_did_not_take_is_kept_and_not_made_again() {
    let clock = ManualClock::new(start());
    let store = Stubborn::new(TestStore::new(&clock));
    let hook = Hook::new(&clock, two_hours());
    let sessions = builder(&store, &clock, &hook).build();
    let alice = user("alice");
    store.takes.store(false, Ordering::SeqCst);
    for _ in 0..100 {
        assert!(matches!(sessions.get(&alice).await, Err(Error::Store(_))));
    }
    assert_eq!(hook.calls(), 1, "each is a login at Moojo");
    store.takes.store(true, Ordering::SeqCst);
    let session = sessions.get(&alice).await.unwrap();
    assert_eq!(session.access_token().expose_secret(), "renewed-0");

    // Unless it has ended, or the user was logged out.
    sessions.reject(&session).await.unwrap();
    store.takes.store(false, Ordering::SeqCst);
    assert!(matches!(sessions.get(&alice).await, Err(Error::Store(_))));
    clock.advance(120 * MINUTE);
    store.takes.store(true, Ordering::SeqCst);
    let session = sessions.get(&alice).await.unwrap();
    assert_eq!(session.access_token().expose_secret(), "renewed-2");
    sessions.reject(&session).await.unwrap();
    store.takes.store(false, Ordering::SeqCst);
    assert!(matches!(sessions.get(&alice).await, Err(Error::Store(_))));
    store.takes.store(true, Ordering::SeqCst);
    sessions.revoke(&alice).await.unwrap();
    assert_eq!(reason(sessions.get(&alice).await), ReauthReason::Revoked);
}

#[tokio::test]
async fn rule_4_what_was_renewed_and_not_saved_ages_by_both_clocks() {
    let clock = ManualClock::new(start());
    let store = Stubborn::new(TestStore::new(&clock));
    let hook = Hook::new(&clock, two_hours());
    let sessions = builder(&store, &clock, &hook).build();
    let [alice, bob] = ["alice", "bob"].map(user);
    store.takes.store(false, Ordering::SeqCst);
    for user in [&alice, &bob] {
        assert!(matches!(sessions.get(user).await, Err(Error::Store(_))));
    }
    // The wall clock is set back meanwhile.
    let age = |minutes: u32| {
        clock.advance(minutes * MINUTE);
        clock.jump_wall(-TimeDelta::minutes(minutes.into()));
    };
    age(90);
    store.takes.store(true, Ordering::SeqCst);
    assert_eq!(sessions.get(&alice).await.unwrap().access_token().expose_secret(), "renewed-0");
    age(30);
    for user in [&alice, &bob] {
        let session = sessions.get(user).await.unwrap();
        assert!(!["renewed-0", "renewed-1"].contains(&session.access_token().expose_secret()));
    }
    assert_eq!(hook.calls(), 4);
}
