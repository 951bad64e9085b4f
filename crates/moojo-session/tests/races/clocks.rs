//! Clocks and margins that differ, or are set.

use std::time::Duration;

use chrono::TimeDelta;
use moojo_session::{ManualClock, MemoryStore, SessionManager};

use crate::common::{fresh, setup, start, turns, user};

#[tokio::test]
async fn rule_4_a_margin_of_one_process_ends_no_session_of_others() {
    let clock = ManualClock::new(start());
    let store = MemoryStore::builder().clock(clock.clone()).build();
    let careful = SessionManager::builder(store.clone())
        .clock(clock.clone())
        .expiry_margin(Duration::from_secs(600))
        .build();
    let normal = SessionManager::builder(store.clone()).clock(clock.clone()).build();
    let alice = user("alice");
    careful.insert(fresh(&alice, "one", &clock)).await.unwrap();
    clock.advance(Duration::from_secs(7200 - 300));
    assert!(normal.get(&alice).await.is_ok());
    assert!(careful.get(&alice).await.is_err());
    turns().await;
    assert!(
        normal.get(&alice).await.is_ok(),
        "the token has 5 minutes; another process's margin removed it"
    );
}

#[tokio::test]
async fn rule_4_a_clock_of_one_process_ends_no_session_of_others() {
    let right = ManualClock::new(start());
    let wrong = ManualClock::new(start());
    let store = MemoryStore::builder().clock(right.clone()).build();
    let here = SessionManager::builder(store.clone()).clock(wrong.clone()).build();
    let there = SessionManager::builder(store.clone()).clock(right.clone()).build();
    let alice = user("alice");
    here.insert(fresh(&alice, "one", &right)).await.unwrap();
    wrong.jump_wall(TimeDelta::hours(3));
    assert!(here.get(&alice).await.is_err());
    wrong.jump_wall(TimeDelta::hours(-3));
    assert!(there.get(&alice).await.is_ok(), "there, the clock was right all along");
}

#[tokio::test]
async fn rule_4_a_reload_gives_a_session_no_more_time() {
    let (sessions, store, clock) = setup();
    let alice = user("alice");
    sessions.insert(fresh(&alice, "one", &clock)).await.unwrap();
    clock.jump_wall(TimeDelta::hours(-5));
    // A revocation that the store does not take: the slot is in doubt, the session is read again.
    store.fail(true);
    sessions.revoke(&alice).await.unwrap_err();
    store.fail(false);
    assert!(sessions.get(&alice).await.is_ok());
    clock.advance(Duration::from_secs(7200));
    assert!(sessions.get(&alice).await.is_err(), "two hours have passed since it was received");
}
