//! Calls that wait for a session that is good for so long.

use chrono::TimeDelta;
use futures_util::FutureExt;
use moojo_session::{Clock, Error, ReauthReason, Wait};

use crate::common::hook::{Does, two_hours, with_hook};
use crate::common::{fresh, session, setup, turns, user};
use crate::{MINUTE, ending_in};

#[tokio::test]
async fn a_call_can_wait_for_a_session_that_lives_longer() {
    let (sessions, _, clock) = setup();
    let (queue, alice) = (sessions.reauth_queue(), user("alice"));
    sessions.insert(ending_in(&alice, 30 * MINUTE, &clock)).await.unwrap();
    let call = tokio::spawn({
        let (sessions, alice) = (sessions.clone(), alice.clone());
        let wait = Wait::up_to(20 * MINUTE).valid_for(45 * MINUTE);
        async move { sessions.wait_with(&alice, &wait).await }
    });
    turns().await;
    let held = queue.try_next().await.unwrap();
    assert_eq!(held.request().reason(), ReauthReason::ExpiresTooSoon);
    assert_eq!(held.request().waiting(), 1);
    // Others use the one that is there; one more that is too short wakes it for nothing.
    assert!(sessions.wait(&alice, MINUTE).await.is_ok());
    sessions.insert(session(&alice, "short", clock.now() + TimeDelta::minutes(44))).await.unwrap();
    turns().await;
    assert!(!call.is_finished());
    assert_eq!(held.refreshed().unwrap().waiting(), 1);
    let login = fresh(&alice, "long", &clock);
    held.answer(login.clone()).await.unwrap();
    assert_eq!(call.await.unwrap().unwrap(), login);
    assert!(queue.is_empty());
}

#[tokio::test]
async fn a_worker_is_given_nobody_whose_session_can_be_renewed() {
    let (sessions, _, clock, hook) = with_hook(two_hours());
    let (queue, alice) = (sessions.reauth_queue(), user("alice"));
    sessions.insert(ending_in(&alice, 30 * MINUTE, &clock)).await.unwrap();
    hook.shut();
    let call = tokio::spawn({
        let (sessions, alice) = (sessions.clone(), alice.clone());
        let wait = Wait::up_to(20 * MINUTE).valid_for(45 * MINUTE);
        async move { sessions.wait_with(&alice, &wait).await }
    });
    let ensure = tokio::spawn({
        let (sessions, alice) = (sessions.clone(), alice.clone());
        async move { sessions.ensure_valid_for(&alice, 45 * MINUTE).await }
    });
    hook.0.arrived.notified().await;
    let worker = tokio::spawn({
        let queue = queue.clone();
        async move { queue.next().await }
    });
    turns().await;
    assert!(!worker.is_finished(), "it is prompted while the renewal runs");
    hook.open();
    assert!(call.await.unwrap().is_ok() && ensure.await.unwrap().is_ok());
    turns().await;
    assert!(!worker.is_finished() && queue.is_empty());
    assert_eq!(hook.calls(), 1);
    worker.abort();
}

#[tokio::test]
async fn a_call_that_waits_for_a_longer_life_asks_nobody_who_can_be_renewed() {
    // No worker takes care of the queue.
    let (sessions, _, clock, hook) = with_hook(two_hours());
    let alice = user("alice");
    sessions.insert(ending_in(&alice, 30 * MINUTE, &clock)).await.unwrap();
    let wait = Wait::up_to(MINUTE).valid_for(45 * MINUTE);
    hook.shut();
    let call = tokio::spawn({
        let (sessions, alice, wait) = (sessions.clone(), alice.clone(), wait.clone());
        async move { sessions.wait_with(&alice, &wait).await }
    });
    turns().await;
    assert!(sessions.reauth_queue().is_empty(), "a false prompt");
    hook.open();
    turns().await;
    assert!(call.is_finished(), "it waits for a person");
    assert_eq!(call.await.unwrap().unwrap().access_token().expose_secret(), "renewed-0");
    assert_eq!(*hook.0.reasons.lock(), [ReauthReason::ExpiresTooSoon]);

    // One that is of no help is left alone, and the person is asked.
    let (sessions, _, clock, hook) = with_hook(Does::Fails);
    sessions.insert(ending_in(&alice, 30 * MINUTE, &clock)).await.unwrap();
    let call = tokio::spawn({
        let (sessions, alice) = (sessions.clone(), alice.clone());
        async move { sessions.wait_with(&alice, &wait).await }
    });
    turns().await;
    assert_eq!((sessions.reauth_queue().len(), hook.calls()), (1, 1));
    let login = fresh(&alice, "long", &clock);
    sessions.insert(login.clone()).await.unwrap();
    assert_eq!(call.await.unwrap().unwrap(), login);
    assert_eq!(hook.calls(), 1);
}

#[tokio::test]
async fn rule_7_for_what_no_login_can_give_nobody_is_asked_again_and_again() {
    let (sessions, _, clock) = setup();
    let (queue, alice) = (sessions.reauth_queue(), user("alice"));
    // Nobody knows yet how long a session of hers lives.
    let call = tokio::spawn({
        let (sessions, alice) = (sessions.clone(), alice.clone());
        let wait = Wait::up_to(60 * MINUTE).valid_for(180 * MINUTE);
        async move { sessions.wait_with(&alice, &wait).await }
    });
    turns().await;
    let mut held = queue.try_next().await.unwrap();
    clock.advance(MINUTE / 2);
    let login = fresh(&alice, "one", &clock);
    sessions.insert(login.clone()).await.unwrap();
    assert!(matches!(call.await.unwrap(), Err(Error::LifeTooShort { .. })));
    assert!(held.over().now_or_never().is_some(), "its worker goes on asking");
    drop(held);
    assert!(queue.is_empty() && queue.try_next().await.is_none(), "she has just logged in");

    // The same when the call has gone before.
    sessions.reject(&login).await.unwrap();
    let wait = Wait::up_to(60 * MINUTE).valid_for(180 * MINUTE);
    let mut call = Box::pin(sessions.wait_with(&alice, &wait));
    while queue.is_empty() {
        assert!(futures_util::poll!(call.as_mut()).is_pending());
        tokio::task::yield_now().await;
    }
    drop(call);
    let held = queue.try_next().await.unwrap();
    held.answer(fresh(&alice, "two", &clock)).await.unwrap();
    assert!(queue.is_empty() && queue.try_next().await.is_none(), "she has just logged in");
}

#[tokio::test]
async fn rule_10_a_call_that_goes_away_at_any_moment_takes_its_place_along() {
    for polls in 1..12 {
        let (sessions, _, clock, hook) = with_hook(Does::Fails);
        let (queue, alice) = (sessions.reauth_queue(), user("alice"));
        sessions.insert(ending_in(&alice, 30 * MINUTE, &clock)).await.unwrap();
        hook.shut();
        let wait = Wait::up_to(MINUTE).valid_for(45 * MINUTE);
        let mut call = Box::pin(sessions.wait_with(&alice, &wait));
        for poll in 0..polls {
            assert!(futures_util::poll!(call.as_mut()).is_pending());
            if poll == 5 {
                hook.open();
            }
            turns().await;
        }
        drop(call);
        hook.open();
        turns().await;
        let open = queue.list(None, 9);
        assert_eq!(open.len(), usize::from(polls > 6), "{polls}");
        assert!(open.iter().all(|request| request.waiting() == 0));
        assert_eq!(hook.calls(), 1);
    }
}
