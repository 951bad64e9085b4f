//! Silent renewal that meets logins, revocations and outages, here and in other processes.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use moojo_session::{
    Clock, Error, ManualClock, Session, SessionManager, SessionStore, UserId, Wait,
};
use tokio::task::JoinHandle;

use crate::common::hook::{Does, Hook};
use crate::common::queue::{MINUTE, soon};
use crate::common::{At, TestStore, fresh, session, start, turns, user};

struct World {
    /// The first one renews.
    here: SessionManager,
    there: SessionManager,
    store: TestStore,
    clock: ManualClock,
    hook: Hook,
}

impl World {
    fn new() -> Self {
        Self::with_feed(true)
    }

    fn with_feed(has_feed: bool) -> Self {
        let clock = ManualClock::new(start());
        let (store, hook) = (TestStore::new(&clock), Hook::new(&clock, Does::Nothing));
        hook.shut();
        if has_feed {
            store.has_feed();
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
    world.hook.does(Does::Gives(session(&alice, "renewed", world.after(10))));
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
    world.hook.does(Does::Gives(session(&alice, "renewed", world.after(10))));
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
    world.hook.does(Does::Gives(session(&alice, "renewed", world.after(60))));
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
    world.hook.does(Does::Gives(fresh(&alice, "renewed", &world.clock)));
    world.hook.open();
    let save = world.store.hold_next(At::Save);
    let call = tokio::spawn({
        let (here, alice) = (world.here.clone(), alice.clone());
        async move { here.get(&alice).await }
    });
    save.arrived.notified().await;
    world.here.revoke(&alice).await.unwrap();
    save.open.add_permits(1);
    let _ = soon(call).await.unwrap();
    turns().await;
    assert_eq!(world.store.memory().load(&alice).await.unwrap(), None, "logged in again");
    assert!(world.here.get(&alice).await.is_err());
}

#[tokio::test]
async fn a_revocation_stands_though_what_was_renewed_is_loaded_before_its_save_answers() {
    let world = World::new();
    let alice = user("alice");
    world.here.insert(session(&alice, "old", world.after(30))).await.unwrap();
    world.hook.does(Does::Gives(fresh(&alice, "renewed", &world.clock)));
    world.hook.open();
    let [save, saved] = [At::Save, At::Saved].map(|at| world.store.hold_next(at));
    let call = world.ensure(&alice);
    save.arrived.notified().await;
    world.here.revoke(&alice).await.unwrap();
    save.open.add_permits(1);
    saved.arrived.notified().await;
    let _ = world.here.get(&alice).await;
    saved.open.add_permits(1);
    assert!(soon(call).await.unwrap().is_err());
    turns().await;
    assert_eq!(world.store.memory().load(&alice).await.unwrap(), None, "logged in again");
    assert!(world.here.get(&alice).await.is_err());
}

#[tokio::test]
async fn a_revocation_stands_though_a_call_comes_while_what_was_renewed_is_removed() {
    let world = World::new();
    let alice = user("alice");
    world.here.insert(session(&alice, "old", world.after(30))).await.unwrap();
    world.hook.does(Does::Gives(fresh(&alice, "renewed", &world.clock)));
    world.hook.open();
    let [save, saved] = [At::Save, At::Saved].map(|at| world.store.hold_next(at));
    let call = world.ensure(&alice);
    save.arrived.notified().await;
    world.here.revoke(&alice).await.unwrap();
    let removed = world.store.hold_next(At::Removed);
    world.hook.does(Does::Gives(fresh(&alice, "again", &world.clock)));
    save.open.add_permits(1);
    saved.arrived.notified().await;
    assert!(world.here.get(&alice).await.is_err(), "it is not for use");
    saved.open.add_permits(1);
    soon(removed.arrived.notified()).await;
    assert!(world.here.get(&alice).await.is_err(), "it is not renewed again");
    removed.open.add_permits(1);
    assert!(soon(call).await.unwrap().is_err());
    turns().await;
    assert_eq!(world.store.memory().load(&alice).await.unwrap(), None, "logged in again");
}

#[tokio::test]
async fn a_second_revocation_while_what_was_renewed_is_saved_stands_too() {
    let world = World::new();
    let alice = user("alice");
    world.here.insert(session(&alice, "old", world.after(30))).await.unwrap();
    world.hook.does(Does::Gives(fresh(&alice, "renewed", &world.clock)));
    world.hook.0.gate.add_permits(1);
    let save = world.store.hold_next(At::Save);
    let first = world.ensure(&alice);
    save.arrived.notified().await;
    world.here.revoke(&alice).await.unwrap();
    // She logs in, and is to be renewed again; then she is logged out again.
    world.here.insert(session(&alice, "login", world.after(30))).await.unwrap();
    world.hook.0.arrived.notified().await;
    let second = world.ensure(&alice);
    world.hook.0.arrived.notified().await;
    world.here.revoke(&alice).await.unwrap();
    save.open.add_permits(1);
    world.hook.open();
    let _ = (soon(first).await, soon(second).await);
    turns().await;
    assert_eq!(world.store.memory().load(&alice).await.unwrap(), None, "logged in again");
    assert!(world.here.get(&alice).await.is_err());
}

#[tokio::test]
async fn rule_6_a_renewal_displaces_no_login_that_comes_while_it_looks() {
    let world = World::new();
    let alice = user("alice");
    let gate = world.store.gate();
    let call = tokio::spawn({
        let (here, alice) = (world.here.clone(), alice.clone());
        async move { here.get(&alice).await }
    });
    world.hook.does(Does::Gives(session(&alice, "renewed", world.after(10))));
    world.hook.open();
    gate.arrived.notified().await;
    gate.open.add_permits(1);
    // It has looked, and found nothing; nobody has told it so yet.
    gate.arrived.notified().await;
    let login = fresh(&alice, "login", &world.clock);
    world.here.insert(login.clone()).await.unwrap();
    world.store.no_gate();
    assert_eq!(soon(call).await.unwrap().unwrap(), login);
    let there_is = world.store.memory().load(&alice).await.unwrap();
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
    world.hook.does(Does::Gives(renewed.clone()));
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
    world.hook.does(Does::Gives(renewed.clone()));
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
    world.store.read_only(true);
    world.hook.does(Does::Gives(fresh(&alice, "renewed", &world.clock)));
    world.clock.advance(Duration::from_secs(31));
    let again = session(&alice, "short", world.after(39));
    world.store.memory().save(&again).await.unwrap();
    turns().await;
    assert!(!call.is_finished(), "{:?}", call.await);
    world.store.read_only(false);
    let login = fresh(&alice, "login", &world.clock);
    world.there.insert(login.clone()).await.unwrap();
    assert_eq!(soon(call).await.unwrap().unwrap(), login);
}
