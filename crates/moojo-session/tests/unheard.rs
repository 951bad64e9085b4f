//! Logins in other processes that nobody has told this one of: it looks before it says that somebody has
//! to log in.

mod common;

use std::time::Duration;

use chrono::TimeDelta;
use common::queue::{MINUTE, claim, soon};
use common::{TestStore, fresh, session, start, turns, user};
use moojo_session::{
    Change, Clock, Error, ManualClock, ReauthReason, Reauthenticate, Session, SessionId,
    SessionManager, SessionStore, StoreError, UserId, Wait, async_trait,
};

const WANTED: Duration = Duration::from_secs(45 * 60);

/// A process that has a session of alice which ends in half an hour.
async fn process(settings: impl FnOnce(&TestStore)) -> (SessionManager, TestStore, ManualClock) {
    let clock = ManualClock::new(start());
    let store = TestStore::new(&clock);
    settings(&store);
    let sessions = SessionManager::builder(store.clone()).clock(clock.clone()).build();
    let short = session(&user("alice"), "short", clock.now() + TimeDelta::minutes(30));
    sessions.insert(short).await.unwrap();
    (sessions, store, clock)
}

#[tokio::test]
async fn rule_11_before_a_session_is_said_to_end_too_soon_the_store_is_looked_at() {
    let (sessions, store, clock) = process(|_| ()).await;
    let alice = user("alice");
    let login = fresh(&alice, "login", &clock);
    store.memory().save(&login).await.unwrap();
    assert_eq!(sessions.ensure_valid_for(&alice, WANTED).await.unwrap(), login);
    assert!(sessions.reauth_queue().is_empty());

    let (sessions, store, clock) = process(|_| ()).await;
    let login = fresh(&alice, "login", &clock);
    store.memory().save(&login).await.unwrap();
    let wait = Wait::up_to(MINUTE).valid_for(WANTED);
    assert_eq!(soon(sessions.wait_with(&alice, &wait)).await.unwrap(), login);
    assert!(sessions.reauth_queue().is_empty());

    // It was removed there: that is why she has to log in.
    let (sessions, store, _) = process(|_| ()).await;
    store.memory().remove(&alice).await.unwrap();
    let Err(Error::ReauthRequired(signal)) = sessions.ensure_valid_for(&alice, WANTED).await else {
        panic!("there is none");
    };
    assert_eq!(signal.reason(), ReauthReason::Missing);
    assert_eq!(sessions.reauth_queue().len(), 1);
}

#[tokio::test]
async fn rule_11_who_has_waited_for_a_longer_session_in_vain_looks_at_the_store_again() {
    let (sessions, store, clock) = process(|_| ()).await;
    let alice = user("alice");
    let call = tokio::spawn({
        let (sessions, alice) = (sessions.clone(), alice.clone());
        let wait = Wait::up_to(MINUTE).valid_for(WANTED);
        async move { sessions.wait_with(&alice, &wait).await }
    });
    turns().await;
    assert_eq!(sessions.reauth_queue().len(), 1, "it waits");
    let login = fresh(&alice, "login", &clock);
    store.memory().save(&login).await.unwrap();
    clock.advance(MINUTE);
    assert_eq!(soon(call).await.unwrap().unwrap(), login);
    assert!(sessions.reauth_queue().is_empty());
}

#[tokio::test]
async fn rule_7_nobody_is_asked_for_a_longer_session_who_has_one_that_was_not_told_of() {
    let (sessions, store, clock) = process(|_| ()).await;
    let (queue, alice) = (sessions.reauth_queue(), user("alice"));
    assert!(sessions.ensure_valid_for(&alice, WANTED).await.is_err());
    let login = fresh(&alice, "login", &clock);
    store.memory().save(&login).await.unwrap();
    assert!(queue.try_next().await.is_none(), "a false prompt");
    assert!(queue.is_empty());
    assert_eq!(sessions.get(&alice).await.unwrap(), login);
}

#[tokio::test]
async fn rule_6_while_the_store_is_away_nobody_knows_whether_a_session_ends_too_soon() {
    let mut tell = None;
    let (sessions, store, clock) = process(|store| tell = Some(store.told())).await;
    let (tell, alice) = (tell.unwrap(), user("alice"));
    // She logs in through another process, unheard.
    tell.send(Change::Disconnected).unwrap();
    turns().await;
    let login = fresh(&alice, "login", &clock);
    store.memory().save(&login).await.unwrap();
    store.fail(true);
    for outcome in [
        sessions.ensure_valid_for(&alice, WANTED).await,
        soon(sessions.wait_with(&alice, &Wait::up_to(MINUTE).valid_for(WANTED))).await,
    ] {
        assert!(matches!(outcome, Err(Error::Store(_))), "{outcome:?}");
    }
    assert!(sessions.reauth_queue().is_empty());
    assert!(sessions.get(&alice).await.is_ok(), "what is in memory stays in use");
    store.fail(false);
    tell.send(Change::Lagged).unwrap();
    turns().await;
    assert_eq!(sessions.ensure_valid_for(&alice, WANTED).await.unwrap(), login);
}

/// What it has is another session at each look, as it is in copies of a store that lag behind each other.
#[derive(Debug)]
struct Restless(ManualClock);

#[async_trait]
impl SessionStore for Restless {
    async fn load(&self, user: &UserId) -> Result<Option<Session>, StoreError> {
        let half_an_hour = self.0.now() + TimeDelta::minutes(30);
        Ok(Some(session(user, "short", half_an_hour)))
    }

    async fn save(&self, _: &Session) -> Result<(), StoreError> {
        Ok(())
    }

    async fn remove(&self, _: &UserId) -> Result<bool, StoreError> {
        Ok(false)
    }

    async fn remove_if_current(&self, _: &UserId, _: SessionId) -> Result<bool, StoreError> {
        Ok(false)
    }
}

#[tokio::test]
async fn rule_10_a_store_that_never_says_the_same_twice_keeps_nobody_past_the_time() {
    let clock = ManualClock::new(start());
    let sessions = SessionManager::builder(Restless(clock.clone())).clock(clock.clone()).build();
    let call = tokio::spawn({
        let wait = Wait::up_to(MINUTE).valid_for(WANTED);
        let sessions = sessions.clone();
        async move { sessions.wait_with(&user("alice"), &wait).await }
    });
    turns().await;
    assert_eq!(sessions.reauth_queue().len(), 1, "it waits");
    clock.advance(MINUTE);
    turns().await;
    assert!(call.is_finished());
    let Err(Error::ReauthRequired(signal)) = call.await.unwrap() else { panic!("none came") };
    assert_eq!(signal.waited(), Some(MINUTE));
}

/// Gives a session of an hour, but for the first time.
#[derive(Debug)]
struct Hook(ManualClock, std::sync::atomic::AtomicBool);

#[async_trait]
impl Reauthenticate for Hook {
    async fn reauthenticate(
        &self,
        user: &UserId,
        _: ReauthReason,
    ) -> Result<Option<Session>, Box<dyn std::error::Error + Send + Sync>> {
        let is_later = self.1.swap(true, std::sync::atomic::Ordering::SeqCst);
        let hour = self.0.now() + TimeDelta::hours(1);
        Ok(is_later.then(|| session(user, "renewed", hour)))
    }
}

#[tokio::test]
async fn rule_7_nobody_is_asked_if_a_renewal_comes_across_a_session_that_is_good_for_so_long() {
    let clock = ManualClock::new(start());
    let store = TestStore::new(&clock);
    // It hears, and is told late.
    let _tell = store.told();
    let builder = SessionManager::builder(store.clone()).clock(clock.clone());
    let sessions = builder.reauthenticate(Hook(clock.clone(), Default::default())).build();
    let (queue, alice) = (sessions.reauth_queue(), user("alice"));
    let short = session(&alice, "short", clock.now() + TimeDelta::minutes(30));
    sessions.insert(short).await.unwrap();
    assert!(sessions.ensure_valid_for(&alice, WANTED).await.is_err());
    drop(claim(&queue).await);
    clock.advance(MINUTE);
    store.memory().save(&fresh(&alice, "login", &clock)).await.unwrap();
    assert!(queue.try_next().await.is_none(), "a false prompt");
    assert!(queue.is_empty());
}
