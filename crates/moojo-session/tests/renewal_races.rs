//! Silent renewal that meets logins, revocations and outages, here and in other processes.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use common::queue::{MINUTE, soon};
use common::{TestStore, fresh, session, start, turns, user};
use moojo_session::{
    ChangeStream, Clock, Error, ManualClock, ReauthReason, Reauthenticate, Session, SessionId,
    SessionManager, SessionStore, StoreError, UserId, Wait, async_trait,
};
use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinHandle;

/// Gives what the test put there, once, when there is a permit.
#[derive(Debug, Clone)]
struct Hook(Arc<HookState>);

#[derive(Debug)]
struct HookState {
    gives: Mutex<Option<Session>>,
    arrived: Notify,
    gate: Semaphore,
}

impl Hook {
    fn new() -> Self {
        let (gives, arrived, gate) = (Mutex::default(), Notify::new(), Semaphore::new(0));
        Self(Arc::new(HookState { gives, arrived, gate }))
    }

    fn gives(&self, session: Session) {
        *self.0.gives.lock() = Some(session);
    }

    fn open(&self) {
        self.0.gate.add_permits(1_000_000);
    }
}

#[async_trait]
impl Reauthenticate for Hook {
    async fn reauthenticate(
        &self,
        _: &UserId,
        _: ReauthReason,
    ) -> Result<Option<Session>, Box<dyn std::error::Error + Send + Sync>> {
        self.0.arrived.notify_one();
        self.0.gate.acquire().await?.forget();
        Ok(self.0.gives.lock().take())
    }
}

/// A store on which saves can fail, and those of a token `renewed` can wait before they are made or
/// before they answer.
#[derive(Debug, Clone)]
struct Slow {
    store: TestStore,
    fails: Arc<AtomicBool>,
    before: Arc<Semaphore>,
    after: Arc<Semaphore>,
    arrived: Arc<Notify>,
    made: Arc<Notify>,
    /// Removals wait before they answer.
    removals: Arc<Semaphore>,
    removed: Arc<Notify>,
}

impl Slow {
    fn new(clock: &ManualClock) -> Self {
        let store = TestStore::new(clock);
        let open = || Arc::new(Semaphore::new(1_000_000));
        let [before, after, removals] = [open(), open(), open()];
        let (fails, arrived, made, removed) = Default::default();
        Self { store, fails, before, after, arrived, made, removals, removed }
    }
}

#[async_trait]
impl SessionStore for Slow {
    async fn load(&self, user: &UserId) -> Result<Option<Session>, StoreError> {
        self.store.load(user).await
    }

    async fn save(&self, session: &Session) -> Result<(), StoreError> {
        if self.fails.load(Ordering::SeqCst) {
            return Err(StoreError::unavailable("it can only be read"));
        }
        if session.access_token().expose_secret() != "renewed" {
            return self.store.save(session).await;
        }
        self.arrived.notify_one();
        self.before.acquire().await.unwrap().forget();
        let saved = self.store.save(session).await;
        self.made.notify_one();
        self.after.acquire().await.unwrap().forget();
        saved
    }

    async fn remove(&self, user: &UserId) -> Result<bool, StoreError> {
        self.store.remove(user).await
    }

    async fn remove_if_current(&self, user: &UserId, id: SessionId) -> Result<bool, StoreError> {
        let removed = self.store.remove_if_current(user, id).await;
        self.removed.notify_one();
        self.removals.acquire().await.unwrap().forget();
        removed
    }

    fn changes(&self) -> ChangeStream {
        self.store.changes()
    }
}

struct World {
    /// The first one renews.
    here: SessionManager,
    there: SessionManager,
    store: Slow,
    clock: ManualClock,
    hook: Hook,
}

impl World {
    fn new() -> Self {
        Self::with_feed(true)
    }

    fn with_feed(has_feed: bool) -> Self {
        let clock = ManualClock::new(start());
        let (store, hook) = (Slow::new(&clock), Hook::new());
        if has_feed {
            store.store.has_feed();
        }
        let builder = || SessionManager::builder(store.clone()).clock(clock.clone());
        let (here, there) = (builder().reauthenticate(hook.clone()).build(), builder().build());
        Self { here, there, store, clock, hook }
    }

    fn after(&self, minutes: i64) -> DateTime<Utc> {
        self.clock.now() + TimeDelta::minutes(minutes)
    }

    /// A call here that needs a session which is good for longer than the one that is there.
    fn ensure(&self, user: &UserId) -> JoinHandle<Result<Session, Error>> {
        let (here, user) = (self.here.clone(), user.clone());
        tokio::spawn(async move { here.ensure_valid_for(&user, 45 * MINUTE).await })
    }
}

#[tokio::test]
async fn rule_6_a_renewal_displaces_no_login_elsewhere_that_lives_longer() {
    let world = World::new();
    let alice = user("alice");
    let call = tokio::spawn({
        let (here, alice) = (world.here.clone(), alice.clone());
        async move { here.get(&alice).await }
    });
    world.hook.0.arrived.notified().await;
    let login = fresh(&alice, "login", &world.clock);
    world.there.insert(login.clone()).await.unwrap();
    turns().await;
    world.hook.gives(session(&alice, "renewed", world.after(10)));
    world.hook.open();
    assert_eq!(soon(call).await.unwrap().unwrap(), login);
    turns().await;
    assert_eq!(world.there.get(&alice).await.unwrap(), login, "she has to log in in 10 minutes");
}

#[tokio::test]
async fn rule_6_a_renewal_that_ends_sooner_leaves_the_session_that_is_there() {
    let world = World::new();
    let alice = user("alice");
    let there_is = session(&alice, "old", world.after(30));
    world.here.insert(there_is.clone()).await.unwrap();
    world.hook.gives(session(&alice, "renewed", world.after(10)));
    world.hook.open();
    assert!(world.here.ensure_valid_for(&alice, 45 * MINUTE).await.is_err());
    assert_eq!(world.here.get(&alice).await.unwrap(), there_is);
}

#[tokio::test]
async fn a_login_that_no_feed_told_of_is_used_once_a_renewal_has_come_across_it() {
    let world = World::with_feed(false);
    let alice = user("alice");
    world.here.insert(session(&alice, "old", world.after(30))).await.unwrap();
    let login = fresh(&alice, "login", &world.clock);
    world.there.insert(login.clone()).await.unwrap();
    world.hook.gives(session(&alice, "renewed", world.after(60)));
    world.hook.open();
    for _ in 0..2 {
        let valid = world.here.ensure_valid_for(&alice, 45 * MINUTE).await;
        assert_eq!(valid.unwrap(), login);
    }
    assert_eq!(world.here.get(&alice).await.unwrap(), login);
}

#[tokio::test]
async fn a_revocation_while_what_was_renewed_is_saved_stands() {
    let world = World::new();
    let alice = user("alice");
    world.hook.gives(fresh(&alice, "renewed", &world.clock));
    world.hook.open();
    world.store.before.forget_permits(1_000_000);
    let call = tokio::spawn({
        let (here, alice) = (world.here.clone(), alice.clone());
        async move { here.get(&alice).await }
    });
    world.store.arrived.notified().await;
    world.here.revoke(&alice).await.unwrap();
    world.store.before.add_permits(1_000_000);
    let _ = soon(call).await.unwrap();
    turns().await;
    assert_eq!(world.store.store.memory().load(&alice).await.unwrap(), None, "logged in again");
    assert!(world.here.get(&alice).await.is_err());
}

#[tokio::test]
async fn a_revocation_stands_though_what_was_renewed_is_loaded_before_its_save_answers() {
    let world = World::new();
    let alice = user("alice");
    world.here.insert(session(&alice, "old", world.after(30))).await.unwrap();
    world.hook.gives(fresh(&alice, "renewed", &world.clock));
    world.hook.open();
    world.store.before.forget_permits(1_000_000);
    world.store.after.forget_permits(1_000_000);
    let call = world.ensure(&alice);
    world.store.arrived.notified().await;
    world.here.revoke(&alice).await.unwrap();
    world.store.before.add_permits(1);
    world.store.made.notified().await;
    let _ = world.here.get(&alice).await;
    world.store.after.add_permits(1);
    assert!(soon(call).await.unwrap().is_err());
    turns().await;
    assert_eq!(world.store.store.memory().load(&alice).await.unwrap(), None, "logged in again");
    assert!(world.here.get(&alice).await.is_err());
}

#[tokio::test]
async fn a_revocation_stands_though_a_call_comes_while_what_was_renewed_is_removed() {
    let world = World::new();
    let alice = user("alice");
    world.here.insert(session(&alice, "old", world.after(30))).await.unwrap();
    world.hook.gives(fresh(&alice, "renewed", &world.clock));
    world.hook.open();
    for gate in [&world.store.before, &world.store.after, &world.store.removals] {
        gate.forget_permits(1_000_000);
    }
    let call = world.ensure(&alice);
    world.store.arrived.notified().await;
    world.here.revoke(&alice).await.unwrap();
    world.hook.gives(fresh(&alice, "again", &world.clock));
    world.store.before.add_permits(1);
    world.store.made.notified().await;
    assert!(world.here.get(&alice).await.is_err(), "it is not for use");
    world.store.after.add_permits(1);
    world.store.removed.notified().await;
    assert!(world.here.get(&alice).await.is_err(), "it is not renewed again");
    world.store.removals.add_permits(1);
    assert!(soon(call).await.unwrap().is_err());
    turns().await;
    assert_eq!(world.store.store.memory().load(&alice).await.unwrap(), None, "logged in again");
}

#[tokio::test]
async fn a_second_revocation_while_what_was_renewed_is_saved_stands_too() {
    let world = World::new();
    let alice = user("alice");
    world.here.insert(session(&alice, "old", world.after(30))).await.unwrap();
    world.hook.gives(fresh(&alice, "renewed", &world.clock));
    world.hook.0.gate.add_permits(1);
    world.store.before.forget_permits(1_000_000);
    let first = world.ensure(&alice);
    world.store.arrived.notified().await;
    world.here.revoke(&alice).await.unwrap();
    // She logs in, and is to be renewed again; then she is logged out again.
    world.here.insert(session(&alice, "login", world.after(30))).await.unwrap();
    world.hook.0.arrived.notified().await;
    let second = world.ensure(&alice);
    world.hook.0.arrived.notified().await;
    world.here.revoke(&alice).await.unwrap();
    world.store.before.add_permits(1);
    world.hook.open();
    let _ = (soon(first).await, soon(second).await);
    turns().await;
    assert_eq!(world.store.store.memory().load(&alice).await.unwrap(), None, "logged in again");
    assert!(world.here.get(&alice).await.is_err());
}

#[tokio::test]
async fn rule_6_a_renewal_displaces_no_login_that_comes_while_it_looks() {
    let world = World::new();
    let alice = user("alice");
    let gate = world.store.store.gate();
    let call = tokio::spawn({
        let (here, alice) = (world.here.clone(), alice.clone());
        async move { here.get(&alice).await }
    });
    world.hook.gives(session(&alice, "renewed", world.after(10)));
    world.hook.open();
    gate.arrived.notified().await;
    gate.open.add_permits(1);
    // It has looked, and found nothing; nobody has told it so yet.
    gate.arrived.notified().await;
    let login = fresh(&alice, "login", &world.clock);
    world.here.insert(login.clone()).await.unwrap();
    world.store.store.no_gate();
    assert_eq!(soon(call).await.unwrap().unwrap(), login);
    let there_is = world.store.store.memory().load(&alice).await.unwrap();
    assert_eq!(there_is, Some(login), "she has to log in in 10 minutes");
}

#[tokio::test]
async fn a_renewal_that_a_revocation_ended_is_no_reason_to_ask_who_has_logged_in_since() {
    let world = World::new();
    let alice = user("alice");
    world.here.insert(session(&alice, "old", world.after(30))).await.unwrap();
    let call = world.ensure(&alice);
    world.hook.0.arrived.notified().await;
    world.here.revoke(&alice).await.unwrap();
    let login = fresh(&alice, "login", &world.clock);
    world.here.insert(login.clone()).await.unwrap();
    // Only now it turns out that there was no way.
    world.hook.open();
    let _ = soon(call).await.unwrap();
    turns().await;
    let renewed = fresh(&alice, "renewed", &world.clock);
    world.hook.gives(renewed.clone());
    world.here.reject(&login).await.unwrap();
    assert_eq!(world.here.get(&alice).await.unwrap(), renewed);
}

/// As the documentation of `Reauthenticate` says: the hook has to know who has logged out.
#[tokio::test]
async fn what_another_process_has_revoked_is_missing_here_and_is_renewed() {
    let world = World::new();
    let alice = user("alice");
    world.here.insert(fresh(&alice, "login", &world.clock)).await.unwrap();
    world.there.revoke(&alice).await.unwrap();
    turns().await;
    let renewed = fresh(&alice, "renewed", &world.clock);
    world.hook.gives(renewed.clone());
    world.hook.open();
    assert_eq!(world.here.get(&alice).await.unwrap(), renewed);
}

#[tokio::test]
async fn rule_6_a_call_that_waits_goes_on_if_what_was_renewed_cannot_be_saved() {
    let world = World::new();
    let alice = user("alice");
    world.hook.open();
    world.here.insert(session(&alice, "old", world.after(40))).await.unwrap();
    let call = tokio::spawn({
        let (here, alice) = (world.here.clone(), alice.clone());
        let wait = Wait::up_to(20 * MINUTE).valid_for(60 * MINUTE);
        async move { here.wait_with(&alice, &wait).await }
    });
    turns().await;
    assert_eq!(world.here.reauth_queue().len(), 1, "the call waits");
    // The next time there is one, and the store takes nothing.
    world.store.fails.store(true, Ordering::SeqCst);
    world.hook.gives(fresh(&alice, "renewed", &world.clock));
    world.clock.advance(Duration::from_secs(31));
    world.there.revoke(&user("bob")).await.unwrap();
    let again = session(&alice, "short", world.after(39));
    world.store.store.memory().save(&again).await.unwrap();
    turns().await;
    assert!(!call.is_finished(), "{:?}", call.await);
    world.store.fails.store(false, Ordering::SeqCst);
    let login = fresh(&alice, "login", &world.clock);
    world.there.insert(login.clone()).await.unwrap();
    assert!(soon(call).await.unwrap().is_ok());
}
