//! What a person said in one process, who has logged in through another since, while nothing was heard.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::queue::{MINUTE, claim, soon, wait};
use common::{TestStore, fresh, start, turns, user};
use moojo_session::{
    Change, ChangeStream, DeclineReason, LeaseStore, ManualClock, MemoryLeaseStore, Session,
    SessionId, SessionManager, SessionStore, StoreError, UserId, async_trait,
};

#[tokio::test]
async fn rule_11_a_login_that_the_feed_did_not_tell_of_ends_a_decline() {
    let clock = ManualClock::new(start());
    let store = TestStore::new(&clock);
    let leases = MemoryLeaseStore::with_clock(clock.clone());
    let tell = store.told();
    let builder =
        SessionManager::builder(store.clone()).clock(clock.clone()).leases(leases.clone());
    let sessions = builder.build();
    let alice = user("alice");
    let call = wait(&sessions, &alice, None);
    turns().await;
    let held = claim(&sessions.reauth_queue()).await;
    held.decline(DeclineReason::NotNow, 24 * 60 * MINUTE).unwrap();
    assert!(soon(call).await.unwrap().is_err());

    tell.send(Change::Disconnected).unwrap();
    turns().await;
    // She logs in through another process. At first the store does not say so.
    store.memory().save(&fresh(&alice, "login", &clock)).await.unwrap();
    leases.clear(&alice).await.unwrap();
    store.fail(true);
    tell.send(Change::Lagged).unwrap();
    turns().await;
    store.fail(false);
    clock.advance(MINUTE);
    turns().await;
    clock.advance(180 * MINUTE);
    turns().await;
    let call = wait(&sessions, &alice, None);
    turns().await;
    assert!(!call.is_finished(), "what she said before counts: {:?}", call.await);
    clock.advance(Duration::from_secs(1));
    assert_eq!(claim(&sessions.reauth_queue()).await.request().user(), &alice);
}

/// A store of which the part that alice is in can be away.
#[derive(Debug, Clone)]
struct Parted(TestStore, Arc<AtomicBool>);

#[async_trait]
impl SessionStore for Parted {
    async fn load(&self, user: &UserId) -> Result<Option<Session>, StoreError> {
        if user.as_str() == "alice" && self.1.load(Ordering::SeqCst) {
            return Err(StoreError::unavailable("this part is down"));
        }
        self.0.load(user).await
    }

    async fn save(&self, session: &Session) -> Result<(), StoreError> {
        self.0.save(session).await
    }

    async fn remove(&self, user: &UserId) -> Result<bool, StoreError> {
        self.0.remove(user).await
    }

    async fn remove_if_current(&self, user: &UserId, id: SessionId) -> Result<bool, StoreError> {
        self.0.remove_if_current(user, id).await
    }

    fn changes(&self) -> ChangeStream {
        self.0.changes()
    }
}

#[tokio::test]
async fn rule_11_one_who_cannot_be_looked_up_keeps_nobody_else_declined() {
    let clock = ManualClock::new(start());
    let store = Parted(TestStore::new(&clock), Arc::default());
    let tell = store.0.told();
    let sessions = SessionManager::builder(store.clone()).clock(clock.clone()).build();
    let [alice, bob] = ["alice", "bob"].map(user);
    for user in [&alice, &bob] {
        let call = wait(&sessions, user, None);
        turns().await;
        let held = claim(&sessions.reauth_queue()).await;
        held.decline(DeclineReason::NotNow, 24 * 60 * MINUTE).unwrap();
        assert!(soon(call).await.unwrap().is_err());
    }
    tell.send(Change::Disconnected).unwrap();
    turns().await;
    // Both log in through another process, and the part that alice is in goes away for long.
    for user in [&alice, &bob] {
        store.0.memory().save(&fresh(user, "login", &clock)).await.unwrap();
    }
    store.1.store(true, Ordering::SeqCst);
    tell.send(Change::Lagged).unwrap();
    for _ in 0..3 {
        turns().await;
        clock.advance(MINUTE);
    }
    turns().await;
    // When it is back, their sessions have come and gone.
    store.1.store(false, Ordering::SeqCst);
    clock.advance(180 * MINUTE);
    turns().await;
    let call = wait(&sessions, &bob, None);
    turns().await;
    assert!(!call.is_finished(), "what he said before counts: {:?}", call.await);
}
