//! Changes by others, told, late or not at all.

use std::time::Duration;

use moojo_session::{Change, ManualClock, MemoryStore, SessionManager, SessionStore};

use crate::common::queue::soon;
use crate::common::{TestStore, fresh, start, turns, user};

#[tokio::test]
async fn changes_by_others_are_seen_through_the_feed() {
    let clock = ManualClock::new(start());
    let store = MemoryStore::builder().clock(clock.clone()).build();
    let manager = || SessionManager::builder(store.clone()).clock(clock.clone()).build();
    let (here, there) = (manager(), manager());
    let alice = user("alice");
    let one = fresh(&alice, "one", &clock);
    here.insert(one.clone()).await.unwrap();
    assert_eq!(there.get(&alice).await.unwrap(), one);

    let two = fresh(&alice, "two", &clock);
    here.insert(two.clone()).await.unwrap();
    while there.get(&alice).await.unwrap() != two {
        tokio::task::yield_now().await;
    }
    here.revoke(&alice).await.unwrap();
    while there.get(&alice).await.is_ok() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_gap_in_the_feed_puts_everything_in_doubt() {
    let clock = ManualClock::new(start());
    let store = TestStore::new(&clock);
    store.has_feed();
    let sessions = SessionManager::builder(store.clone()).clock(clock.clone()).build();
    let alice = user("alice");
    sessions.insert(fresh(&alice, "one", &clock)).await.unwrap();
    assert_eq!(store.loads(), 0);
    // More than the feed holds, while nobody is given the time to read it.
    for _ in 0..5_000 {
        store.memory().save(&fresh(&user("bob"), "t", &clock)).await.unwrap();
    }
    while store.loads() == 0 {
        tokio::task::yield_now().await;
        sessions.get(&alice).await.unwrap();
    }
}

#[tokio::test]
async fn rule_11_a_gap_in_the_feed_wakes_who_waits() {
    let clock = ManualClock::new(start());
    let store = TestStore::new(&clock);
    let tell = store.told();
    let sessions = SessionManager::builder(store.clone()).clock(clock.clone()).build();
    let alice = user("alice");
    let waiter = tokio::spawn({
        let (sessions, alice) = (sessions.clone(), alice.clone());
        async move { sessions.wait(&alice, Duration::from_secs(300)).await }
    });
    turns().await;
    let one = fresh(&alice, "one", &clock);
    store.memory().save(&one).await.unwrap();
    tell.send(Change::Lagged).unwrap();
    assert_eq!(soon(waiter).await.unwrap().unwrap(), one);
}

#[tokio::test]
async fn a_removal_that_stands_for_an_earlier_change_is_heard() {
    let clock = ManualClock::new(start());
    let store = TestStore::new(&clock);
    let tell = store.told();
    let sessions = SessionManager::builder(store.clone()).clock(clock.clone()).build();
    let alice = user("alice");
    let one = fresh(&alice, "one", &clock);
    store.memory().save(&one).await.unwrap();
    assert_eq!(sessions.get(&alice).await.unwrap(), one);
    // Another process: a new login, and then it is revoked.
    let two = fresh(&alice, "two", &clock);
    store.memory().save(&two).await.unwrap();
    store.memory().remove(&alice).await.unwrap();
    tell.send(Change::Removed { user: alice.clone() }).unwrap();
    turns().await;
    let found = sessions.get(&alice).await;
    assert!(found.is_err(), "`one` is used for ever though the store has nothing");
}
