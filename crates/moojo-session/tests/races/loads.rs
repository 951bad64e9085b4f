//! Loads, and what happens to the user meanwhile.

use std::time::Duration;

use futures_util::FutureExt;
use moojo_session::{Error, Event, ReauthReason, SessionStore};
use tokio::task::JoinSet;

use crate::common::{At, fresh, setup, user};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_requests_of_one_user_on_a_cold_cache_are_one_load() {
    let (sessions, store, clock) = setup();
    let alice = user("alice");
    store.memory().save(&fresh(&alice, "one", &clock)).await.unwrap();
    let gate = store.gate();
    let mut callers = JoinSet::new();
    for _ in 0..10_000 {
        let (sessions, alice) = (sessions.clone(), alice.clone());
        callers.spawn(async move { sessions.get(&alice).await.map(|session| session.id()) });
    }
    gate.arrived.notified().await;
    store.no_gate();
    while let Some(result) = callers.join_next().await {
        result.unwrap().unwrap();
    }
    assert_eq!(store.loads(), 1);
}

#[tokio::test]
async fn rule_10_a_shared_load_survives_the_caller_that_started_it() {
    let (sessions, store, clock) = setup();
    let alice = user("alice");
    store.memory().save(&fresh(&alice, "one", &clock)).await.unwrap();
    let gate = store.gate();
    let leader = tokio::spawn({
        let (sessions, alice) = (sessions.clone(), alice.clone());
        async move { sessions.get(&alice).await }
    });
    gate.arrived.notified().await;
    let follower = tokio::spawn({
        let (sessions, alice) = (sessions.clone(), alice.clone());
        async move { sessions.get(&alice).await }
    });
    leader.abort();
    assert!(leader.await.unwrap_err().is_cancelled());
    store.no_gate();
    assert!(follower.await.unwrap().is_ok());
    assert_eq!(store.loads(), 1);
}

#[tokio::test]
async fn a_removal_during_a_load_never_leaves_the_stale_session_behind() {
    let (sessions, store, clock) = setup();
    let alice = user("alice");
    store.memory().save(&fresh(&alice, "one", &clock)).await.unwrap();
    let gate = store.gate();
    let caller = tokio::spawn({
        let (sessions, alice) = (sessions.clone(), alice.clone());
        async move { sessions.get(&alice).await }
    });
    // The load has read the session, and has not said so yet.
    gate.arrived.notified().await;
    assert!(sessions.revoke(&alice).await.unwrap());
    store.no_gate();
    let error = caller.await.unwrap().unwrap_err();
    assert!(matches!(error, Error::ReauthRequired(s) if s.reason() == ReauthReason::Revoked));
    assert!(sessions.get(&alice).await.is_err());
}

#[tokio::test]
async fn a_refusal_during_a_load_never_leaves_the_refused_session_behind() {
    let (sessions, store, clock) = setup();
    let alice = user("alice");
    let refused = fresh(&alice, "one", &clock);
    store.memory().save(&refused).await.unwrap();
    let gate = store.gate();
    let caller = tokio::spawn({
        let (sessions, alice) = (sessions.clone(), alice.clone());
        async move { sessions.get(&alice).await }
    });
    gate.arrived.notified().await;
    assert!(sessions.reject(&refused).await.unwrap());
    store.no_gate();
    assert!(caller.await.unwrap().is_err());
    assert!(sessions.get(&alice).await.is_err());
}

#[tokio::test]
async fn a_login_during_a_load_is_what_the_callers_get() {
    let (sessions, store, clock) = setup();
    let alice = user("alice");
    store.memory().save(&fresh(&alice, "old", &clock)).await.unwrap();
    let gate = store.gate();
    let caller = tokio::spawn({
        let (sessions, alice) = (sessions.clone(), alice.clone());
        async move { sessions.get(&alice).await }
    });
    gate.arrived.notified().await;
    let new = fresh(&alice, "new", &clock);
    sessions.insert(new.clone()).await.unwrap();
    store.no_gate();
    assert_eq!(caller.await.unwrap().unwrap(), new);
    assert_eq!(sessions.get(&alice).await.unwrap(), new);
}

#[tokio::test]
async fn a_login_during_a_load_is_no_signal_and_the_next_loss_is_told() {
    let (sessions, store, clock) = setup();
    let mut events = sessions.events();
    let alice = user("alice");
    let gate = store.gate();
    let caller = tokio::spawn({
        let (sessions, alice) = (sessions.clone(), alice.clone());
        async move { sessions.get(&alice).await }
    });
    gate.arrived.notified().await;
    let save = store.hold_next(At::Save);
    let insert = tokio::spawn({
        let (sessions, login) = (sessions.clone(), fresh(&alice, "one", &clock));
        async move { sessions.insert(login).await }
    });
    save.arrived.notified().await;
    // The load finds nothing; then the login is saved; then the caller wakes.
    gate.open.add_permits(1);
    save.open.add_permits(1);
    insert.await.unwrap().unwrap();
    let got = caller.await.unwrap();
    assert!(sessions.get(&alice).await.is_ok(), "alice is logged in");
    store.no_gate();
    clock.advance(Duration::from_secs(7200));
    assert!(sessions.get(&alice).await.is_err());
    let mut seen = Vec::new();
    while let Some(Some(event)) = events.next().now_or_never() {
        seen.push(event);
    }
    let last = seen.last();
    assert!(matches!(last, Some(Event::ReauthRequired(_))), "the real end is not told: {seen:?}");
    assert!(got.is_ok());
}

#[tokio::test]
async fn a_login_just_after_a_load_found_nothing_is_no_signal_to_who_waited_for_the_load() {
    let (sessions, store, clock) = setup();
    let alice = user("alice");
    let gate = store.gate();
    let caller = tokio::spawn({
        let (sessions, alice) = (sessions.clone(), alice.clone());
        async move { sessions.get(&alice).await }
    });
    gate.arrived.notified().await;
    let mut events = sessions.events();
    let one = fresh(&alice, "one", &clock);
    let person = tokio::spawn({
        let (sessions, one) = (sessions.clone(), one.clone());
        async move {
            // The load says that there is nothing; its caller is still to be told so.
            assert!(matches!(events.next().await, Some(Event::ReauthRequired(_))));
            sessions.insert(one).await.unwrap();
            events
        }
    });
    tokio::task::yield_now().await;
    store.no_gate();
    assert_eq!(caller.await.unwrap().unwrap(), one);
    let mut events = person.await.unwrap();
    // And when that one goes, it is told again.
    sessions.revoke(&alice).await.unwrap();
    sessions.get(&alice).await.unwrap_err();
    while !matches!(events.next().await, Some(Event::ReauthRequired(_))) {}
}

#[tokio::test]
async fn rule_10_a_change_that_was_cut_short_is_looked_up_again() {
    let (sessions, store, clock) = setup();
    let alice = user("alice");
    for change in 0..3 {
        sessions.insert(fresh(&alice, "one", &clock)).await.unwrap();
        let (loads, calls) = (store.loads(), store.calls());
        store.hang(true);
        let task = tokio::spawn({
            let (sessions, alice, clock) = (sessions.clone(), alice.clone(), clock.clone());
            async move {
                let current = sessions.get(&alice).await.unwrap();
                match change {
                    0 => drop(sessions.insert(fresh(&alice, "two", &clock)).await),
                    1 => drop(sessions.revoke(&alice).await),
                    _ => drop(sessions.reject(&current).await),
                }
            }
        });
        while store.calls() == calls {
            tokio::task::yield_now().await;
        }
        task.abort();
        let _ = task.await;
        store.hang(false);
        assert!(sessions.get(&alice).await.is_ok());
        assert_eq!(store.loads(), loads + 1, "change {change}");
    }
}
