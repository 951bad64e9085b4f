//! One renewal for all who need it.

use moojo_session::ReauthReason;
use tokio::task::JoinSet;

use crate::common::hook::{two_hours, with_hook};
use crate::common::{turns, user};
use crate::{MINUTE, ending_in};

#[tokio::test]
async fn rule_7_a_thousand_calls_are_one_renewal_and_no_request() {
    let (sessions, _, _, hook) = with_hook(two_hours());
    let (queue, alice) = (sessions.reauth_queue(), user("alice"));
    hook.shut();
    let mut calls = JoinSet::new();
    for n in 0..1000 {
        let (sessions, alice) = (sessions.clone(), alice.clone());
        calls.spawn(async move {
            if n % 2 == 0 {
                sessions.get(&alice).await
            } else {
                sessions.wait(&alice, MINUTE).await
            }
        });
    }
    hook.0.arrived.notified().await;
    turns().await;
    assert!(queue.is_empty(), "nobody is asked while it is tried");
    hook.open();
    while let Some(call) = calls.join_next().await {
        assert_eq!(call.unwrap().unwrap().access_token().expose_secret(), "renewed-0");
    }
    assert_eq!(hook.calls(), 1);
    assert!(queue.is_empty());
}

#[tokio::test]
async fn rule_7_a_thousand_calls_that_need_it_to_live_longer_are_one_renewal() {
    let (sessions, _, clock, hook) = with_hook(two_hours());
    let (queue, alice) = (sessions.reauth_queue(), user("alice"));
    sessions.insert(ending_in(&alice, 30 * MINUTE, &clock)).await.unwrap();
    hook.shut();
    let mut calls = JoinSet::new();
    for _ in 0..1000 {
        let (sessions, alice) = (sessions.clone(), alice.clone());
        calls.spawn(async move { sessions.ensure_valid_for(&alice, 45 * MINUTE).await });
    }
    hook.0.arrived.notified().await;
    turns().await;
    assert!(queue.is_empty(), "nobody is asked while it is tried");
    assert!(sessions.get(&alice).await.is_ok(), "the one that is there stays in use");
    hook.open();
    while let Some(call) = calls.join_next().await {
        assert_eq!(call.unwrap().unwrap().access_token().expose_secret(), "renewed-0");
    }
    assert_eq!(hook.calls(), 1);
    assert_eq!(*hook.0.reasons.lock(), [ReauthReason::ExpiresTooSoon]);
    assert!(queue.is_empty());
}

#[tokio::test]
async fn rule_10_a_renewal_survives_the_caller_that_started_it() {
    let (sessions, _, clock, hook) = with_hook(two_hours());
    let alice = user("alice");
    sessions.insert(ending_in(&alice, 30 * MINUTE, &clock)).await.unwrap();
    hook.shut();
    let ensure = || {
        let (sessions, alice) = (sessions.clone(), alice.clone());
        tokio::spawn(async move { sessions.ensure_valid_for(&alice, 45 * MINUTE).await })
    };
    let leader = ensure();
    hook.0.arrived.notified().await;
    let follower = ensure();
    turns().await;
    leader.abort();
    assert!(leader.await.unwrap_err().is_cancelled());
    hook.open();
    assert!(follower.await.unwrap().is_ok());
    assert_eq!(hook.calls(), 1);
}

#[tokio::test]
async fn a_call_without_a_session_waits_for_the_renewal_that_is_under_way() {
    let (sessions, _, clock, hook) = with_hook(two_hours());
    let alice = user("alice");
    sessions.insert(ending_in(&alice, 10 * MINUTE, &clock)).await.unwrap();
    hook.shut();
    let ensure = tokio::spawn({
        let (sessions, alice) = (sessions.clone(), alice.clone());
        async move { sessions.ensure_valid_for(&alice, 45 * MINUTE).await }
    });
    hook.0.arrived.notified().await;
    clock.advance(10 * MINUTE);
    let get = tokio::spawn({
        let (sessions, alice) = (sessions.clone(), alice.clone());
        async move { sessions.get(&alice).await }
    });
    turns().await;
    assert!(sessions.reauth_queue().is_empty(), "a false prompt");
    hook.open();
    assert!(ensure.await.unwrap().is_ok() && get.await.unwrap().is_ok());
    assert_eq!(hook.calls(), 1);
}
