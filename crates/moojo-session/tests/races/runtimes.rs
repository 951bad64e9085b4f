//! Runtimes that come and go, or stand still.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use futures_util::FutureExt;
use moojo_session::{Error, ManualClock, MemoryStore, SessionManager, SessionStore};
use tokio::runtime::{Builder, Runtime};

use crate::common::queue::soon;
use crate::common::{TestStore, fresh, setup, start, turns, user};

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_time().build().unwrap()
}

#[test]
fn rule_10_outside_of_a_runtime_a_load_panics_and_locks_nobody_out() {
    let (sessions, _, _) = setup();
    // The store has no feed: that is known from now on.
    runtime().block_on(async {
        let _ = sessions.get(&user("bob")).await;
    });
    let (over, is_over) = mpsc::channel::<()>();
    let loads = std::thread::spawn(move || {
        let _over = over;
        let load = || sessions.get(&user("alice")).now_or_never();
        assert!(catch_unwind(AssertUnwindSafe(load)).is_err());
    });
    let waited = is_over.recv_timeout(Duration::from_secs(20));
    assert_ne!(waited, Err(RecvTimeoutError::Timeout), "the slot is locked by who holds it");
    loads.join().unwrap();
}

#[test]
fn a_manager_outlives_its_runtime() {
    let clock = ManualClock::new(start());
    let store = MemoryStore::builder().clock(clock.clone()).build();
    let manager = || SessionManager::builder(store.clone()).clock(clock.clone()).build();
    let (here, there) = (manager(), manager());
    let alice = user("alice");
    runtime().block_on(async {
        here.insert(fresh(&alice, "one", &clock)).await.unwrap();
        there.get(&alice).await.unwrap();
    });
    runtime().block_on(async {
        here.revoke(&alice).await.unwrap();
        // `there` listened on the other runtime, and has noticed that it does not any more.
        assert!(there.get(&alice).await.is_err());
    });
}

#[test]
fn rule_10_followers_survive_the_runtime_of_their_leader() {
    let (sessions, store, clock) = setup();
    let alice = user("alice");
    let gate = store.gate();
    let leaders = runtime();
    leaders.block_on(async {
        store.memory().save(&fresh(&alice, "one", &clock)).await.unwrap();
        assert!(sessions.get(&alice).now_or_never().is_none());
        gate.arrived.notified().await;
    });
    let got = runtime().block_on(async {
        let follower = tokio::spawn({
            let (sessions, alice) = (sessions.clone(), alice.clone());
            async move { sessions.get(&alice).await }
        });
        turns().await;
        std::thread::spawn(move || drop(leaders)).join().unwrap();
        store.no_gate();
        soon(follower).await.unwrap()
    });
    assert!(got.is_ok(), "{got:?}");
}

#[test]
fn rule_10_followers_do_not_wait_for_a_runtime_that_stands_still() {
    let clock = ManualClock::new(start());
    let store = TestStore::new(&clock);
    let limit = Duration::from_millis(200);
    let sessions = SessionManager::builder(store.clone()).clock(clock.clone()).store_timeout(limit);
    let sessions = sessions.build();
    let alice = user("alice");
    let gate = store.gate();
    let stands_still = runtime();
    stands_still.block_on(async {
        assert!(sessions.get(&alice).now_or_never().is_none());
        gate.arrived.notified().await;
    });
    store.no_gate();
    let wait = sessions.wait(&alice, Duration::from_millis(100));
    assert!(runtime().block_on(soon(wait)).is_err(), "nobody is logged in");
}

#[test]
fn rule_11_a_load_that_was_given_up_tells_nothing_when_it_comes_to_life_again() {
    let clock = ManualClock::new(start());
    let store = TestStore::new(&clock);
    let limit = Duration::from_millis(50);
    let sessions = SessionManager::builder(store.clone()).clock(clock.clone()).store_timeout(limit);
    let sessions = sessions.build();
    let alice = user("alice");
    let gate = store.gate();
    let (stalling, going_on) = (runtime(), runtime());
    stalling.block_on(async {
        store.memory().save(&fresh(&alice, "old", &clock)).await.unwrap();
        // Reads the old session, and is on its way back with it when the runtime stands still.
        assert!(sessions.get(&alice).now_or_never().is_none());
        gate.arrived.notified().await;
    });
    let new = fresh(&alice, "new", &clock);
    going_on.block_on(async {
        let given_up = sessions.get(&alice).await;
        assert!(matches!(given_up, Err(Error::Store(_))), "{given_up:?}");
        sessions.insert(new.clone()).await.unwrap();
    });
    store.no_gate();
    stalling.block_on(turns());
    let found = going_on.block_on(sessions.get(&alice)).unwrap();
    assert_eq!(found, new);
}
