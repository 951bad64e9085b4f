//! A login that is saved in several attempts, and what happens to the user meanwhile.

mod common;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use common::{At, TestStore, fresh, session, setup, turns, user};
use futures_util::FutureExt;
use moojo_session::{
    AccessToken, Arrived, Clock, Error, ManualClock, MemoryStore, ReauthReason, Session, SessionId,
    SessionManager, SessionStore, StoreError, UserId, async_trait,
};
use tokio::sync::Semaphore;

/// A session of alice, issued now.
fn login(token: &str, clock: &ManualClock) -> Session {
    let token = AccessToken::new(token).unwrap();
    let session = Session::builder(user("alice"), token).issued_at(clock.now());
    session.expires_at(clock.now() + TimeDelta::hours(2)).build().unwrap()
}

/// Two processes, and a store that takes nothing for now.
fn away() -> ([SessionManager; 2], TestStore, ManualClock) {
    let (here, store, clock) = setup();
    let there = SessionManager::builder(store.clone()).clock(clock.clone()).build();
    store.fail(true);
    ([here, there], store, clock)
}

/// Takes sessions late.
#[derive(Debug, Clone)]
struct Late {
    memory: MemoryStore,
    gate: Arc<Semaphore>,
}

#[async_trait]
impl SessionStore for Late {
    async fn load(&self, user: &UserId) -> Result<Option<Session>, StoreError> {
        self.memory.load(user).await
    }

    async fn save(&self, session: &Session) -> Result<(), StoreError> {
        self.gate.acquire().await.unwrap().forget();
        self.memory.save(session).await
    }

    async fn remove(&self, user: &UserId) -> Result<bool, StoreError> {
        self.memory.remove(user).await
    }

    async fn remove_if_current(&self, user: &UserId, id: SessionId) -> Result<bool, StoreError> {
        self.memory.remove_if_current(user, id).await
    }
}

async fn in_store(store: &TestStore) -> Option<Session> {
    store.memory().load(&user("alice")).await.unwrap()
}

async fn is_revoked(sessions: &SessionManager, alice: &UserId) -> bool {
    let Err(Error::ReauthRequired(signal)) = sessions.get(alice).await else { return false };
    signal.reason() == ReauthReason::Revoked
}

#[tokio::test]
async fn rule_6_what_the_store_did_not_take_is_saved_when_it_is_back() {
    let ([here, there], store, clock) = away();
    let earlier = login("earlier", &clock);
    clock.advance(Duration::from_secs(1));
    let arrival = here.arrival(login("one", &clock));
    assert!(matches!(arrival.save().await, Err(Error::Store(_))));
    // So often that loads are not even tried for a while.
    for _ in 0..20 {
        assert!(matches!(arrival.save_again().await, Err(Error::Store(_))));
    }
    store.fail(false);
    there.insert(earlier).await.unwrap();
    assert_eq!(arrival.save_again().await.unwrap(), Arrived::Saved);
    let found = here.get(&user("alice")).await.unwrap();
    assert_eq!(found.access_token().expose_secret(), "one");
    assert_eq!(in_store(&store).await, Some(found));
}

#[tokio::test]
async fn a_login_that_was_issued_later_stays_whichever_process_made_it() {
    for process in [0, 1] {
        let (processes, store, clock) = away();
        let arrival = processes[0].arrival(login("one", &clock));
        arrival.save().await.unwrap_err();
        store.fail(false);
        clock.advance(Duration::from_secs(1));
        let later = login("later", &clock);
        processes[process].insert(later.clone()).await.unwrap();
        assert_eq!(arrival.save_again().await.unwrap(), Arrived::Overtaken(later.clone()));
        assert_eq!(in_store(&store).await.as_ref(), Some(&later));
        for process in &processes {
            assert_eq!(process.get(&user("alice")).await.unwrap(), later);
        }
    }
}

#[tokio::test]
async fn a_call_that_waits_gets_the_login_that_was_issued_later() {
    let ([here, there], store, clock) = away();
    let arrival = here.arrival(login("one", &clock));
    arrival.save().await.unwrap_err();
    store.fail(false);
    let waiting = {
        let here = here.clone();
        async move { here.wait(&user("alice"), Duration::from_secs(300)).await }
    };
    let waiting = tokio::spawn(waiting);
    turns().await;
    clock.advance(Duration::from_secs(1));
    let later = login("later", &clock);
    there.insert(later.clone()).await.unwrap();
    arrival.save_again().await.unwrap();
    // There is no feed, and time stands still.
    assert_eq!(waiting.await.unwrap().unwrap(), later);
    turns().await;
    assert_eq!(here.reauth_queue().len(), 0);
}

#[tokio::test]
async fn a_revocation_stands_even_if_the_store_did_not_take_it_either() {
    for taken in [false, true] {
        let ([here, _], store, clock) = away();
        let arrival = here.arrival(login("one", &clock));
        arrival.save().await.unwrap_err();
        store.fail(!taken);
        assert_eq!(here.revoke(&user("alice")).await.is_ok(), taken);
        store.fail(false);
        assert_eq!(arrival.save_again().await.unwrap(), Arrived::Revoked);
        assert_eq!(arrival.save_again().await.unwrap(), Arrived::Revoked);
        assert_eq!(in_store(&store).await, None);
        assert!(here.get(&user("alice")).await.is_err());
    }
}

#[tokio::test]
async fn a_revocation_while_it_is_saved_stands() {
    let (_, store, clock) = setup();
    let late = Late { memory: store.memory().clone(), gate: Arc::new(Semaphore::new(0)) };
    let here = SessionManager::builder(late.clone()).clock(clock.clone()).build();
    let alice = user("alice");
    let arrival = here.arrival(login("one", &clock));
    let mut saving = pin!(arrival.save());
    assert!(saving.as_mut().now_or_never().is_none());
    here.revoke(&alice).await.unwrap();
    late.gate.add_permits(1);
    assert_eq!(saving.await.unwrap(), Arrived::Revoked);
    assert_eq!(in_store(&store).await, None);
    assert!(is_revoked(&here, &alice).await);
}

#[tokio::test]
async fn who_could_not_be_logged_out_again_is_so_at_the_next_try() {
    let (here, store, clock) = setup();
    let alice = user("alice");
    let gate = store.hold_next(At::Save);
    let arrival = here.arrival(login("one", &clock));
    let mut saving = pin!(arrival.save());
    assert!(saving.as_mut().now_or_never().is_none());
    here.revoke(&alice).await.unwrap();
    // The store takes it, and is away when it is to be taken back.
    store.fail(true);
    gate.open.add_permits(1);
    assert!(matches!(saving.await, Err(Error::Store(_))));
    assert!(in_store(&store).await.is_some());
    store.fail(false);
    assert_eq!(arrival.save_again().await.unwrap(), Arrived::Revoked);
    assert_eq!(in_store(&store).await, None);
    assert!(is_revoked(&here, &alice).await);
}

/// As a worker does, whose request is answered by what is taken back.
#[tokio::test]
async fn rule_10_what_is_taken_back_goes_though_nobody_waits_for_it() {
    let (here, store, clock) = setup();
    let [saved, taken] = [At::Save, At::Remove].map(|at| store.hold_next(at));
    let arrival = here.arrival(login("one", &clock));
    let mut saving = Box::pin(arrival.save());
    assert!(saving.as_mut().now_or_never().is_none());
    here.revoke(&user("alice")).await.unwrap();
    saved.open.add_permits(1);
    assert!(saving.as_mut().now_or_never().is_none());
    drop(saving);
    assert!(in_store(&store).await.is_some());
    taken.open.add_permits(1);
    turns().await;
    assert_eq!(in_store(&store).await, None);
    assert!(is_revoked(&here, &user("alice")).await);
}

#[tokio::test]
async fn what_is_taken_back_is_not_used_once_the_revocation_is_over() {
    let (here, store, clock) = setup();
    let alice = user("alice");
    let [saved, removed, taken] = [At::Save, At::Removed, At::Remove].map(|at| store.hold_next(at));
    let saving = tokio::spawn({
        let arrival = here.arrival(login("one", &clock));
        async move { arrival.save().await }
    });
    saved.arrived.notified().await;
    let revoking = tokio::spawn({
        let (here, alice) = (here.clone(), alice.clone());
        async move { here.revoke(&alice).await }
    });
    removed.arrived.notified().await;
    // The store takes it after the revocation.
    saved.open.add_permits(1);
    taken.arrived.notified().await;
    removed.open.add_permits(1);
    revoking.await.unwrap().unwrap();
    let call = tokio::spawn({
        let (here, alice) = (here.clone(), alice.clone());
        async move { is_revoked(&here, &alice).await }
    });
    turns().await;
    taken.open.add_permits(1);
    assert_eq!(saving.await.unwrap().unwrap(), Arrived::Revoked);
    assert!(call.await.unwrap(), "nobody is given it meanwhile");
}

#[tokio::test]
async fn a_login_after_the_revocation_stays() {
    let ([here, there], store, clock) = away();
    let arrival = here.arrival(login("one", &clock));
    arrival.save().await.unwrap_err();
    store.fail(false);
    here.revoke(&user("alice")).await.unwrap();
    clock.advance(Duration::from_secs(1));
    let later = login("later", &clock);
    there.insert(later.clone()).await.unwrap();
    assert_eq!(arrival.save_again().await.unwrap(), Arrived::Overtaken(later.clone()));
    assert_eq!(here.get(&user("alice")).await.unwrap(), later);
}

#[tokio::test]
async fn who_was_revoked_before_arrives() {
    let (here, _, clock) = setup();
    let alice = user("alice");
    here.revoke(&alice).await.unwrap();
    let one = login("one", &clock);
    assert_eq!(here.arrival(one.clone()).save().await.unwrap(), Arrived::Saved);
    assert_eq!(here.get(&alice).await.unwrap(), one);
}

#[tokio::test]
async fn what_nobody_can_read_is_no_later_login() {
    let (here, store, clock) = setup();
    let later = clock.now() + TimeDelta::hours(2);
    store.forge(&user("alice"), session(&user("bob"), "forged", later));
    let one = fresh(&user("alice"), "one", &clock);
    assert_eq!(here.arrival(one.clone()).save_again().await.unwrap(), Arrived::Saved);
    assert_eq!(in_store(&store).await, Some(one));
}
