//! Sessions that have to be good for so long.

use std::time::Duration;

use chrono::TimeDelta;
use moojo_session::{Clock, Error, ReauthReason, Wait};

use crate::common::hook::{Does, two_hours, with_hook};
use crate::common::{fresh, session, setup, turns, user};
use crate::{MINUTE, ending_in, reason};

#[tokio::test]
async fn a_session_that_lives_long_enough_is_given_as_it_is() {
    let (sessions, _, clock, hook) = with_hook(two_hours());
    let alice = user("alice");
    let login = ending_in(&alice, 46 * MINUTE, &clock);
    sessions.insert(login.clone()).await.unwrap();
    assert_eq!(sessions.ensure_valid_for(&alice, 45 * MINUTE).await.unwrap(), login);
    assert_eq!(sessions.ensure_valid_for(&alice, Duration::ZERO).await.unwrap(), login);
    // With the margin of 30 seconds, to the moment.
    clock.advance(Duration::from_secs(30));
    assert!(sessions.ensure_valid_for(&alice, 45 * MINUTE).await.is_ok());
    assert_eq!(hook.calls(), 0);
    clock.advance(Duration::from_millis(1));
    assert_ne!(sessions.ensure_valid_for(&alice, 45 * MINUTE).await.unwrap(), login);
    assert_eq!(hook.calls(), 1);
}

#[tokio::test]
async fn without_a_hook_a_session_that_ends_too_soon_is_a_request_and_stays_in_use() {
    let (sessions, _, clock) = setup();
    let (queue, alice) = (sessions.reauth_queue(), user("alice"));
    assert_eq!(reason(sessions.ensure_valid_for(&alice, MINUTE).await), ReauthReason::Missing);
    let login = ending_in(&alice, 30 * MINUTE, &clock);
    sessions.insert(login.clone()).await.unwrap();
    assert!(queue.is_empty());
    let outcome = sessions.ensure_valid_for(&alice, 45 * MINUTE).await;
    assert_eq!(reason(outcome), ReauthReason::ExpiresTooSoon);
    assert_eq!(sessions.get(&alice).await.unwrap(), login);
    let mut held = queue.try_next().await.unwrap();
    assert_eq!(held.request().reason(), ReauthReason::ExpiresTooSoon);
    // Only a session that is long enough closes it.
    let short = session(&alice, "short", clock.now() + TimeDelta::minutes(44));
    sessions.insert(short.clone()).await.unwrap();
    assert!(held.refreshed().is_ok());
    assert_eq!(sessions.get(&alice).await.unwrap(), short);
    sessions.insert(fresh(&alice, "long", &clock)).await.unwrap();
    held.over().await;
    assert!(queue.is_empty());
    assert!(sessions.ensure_valid_for(&alice, 45 * MINUTE).await.is_ok());
}

#[tokio::test]
async fn no_session_lives_as_long_as_is_asked_for() {
    let (sessions, _, clock, hook) = with_hook(two_hours());
    let alice = user("alice");
    sessions.insert(fresh(&alice, "one", &clock)).await.unwrap();
    let two_hours = 120 * MINUTE;
    for wanted in [two_hours, two_hours - Duration::from_secs(29), Duration::MAX] {
        for outcome in [
            sessions.ensure_valid_for(&alice, wanted).await,
            sessions.wait_with(&alice, &Wait::up_to(MINUTE).valid_for(wanted)).await,
        ] {
            let Err(Error::LifeTooShort { life, .. }) = outcome else { panic!("{outcome:?}") };
            assert_eq!(life, two_hours);
        }
    }
    assert!(sessions.ensure_valid_for(&alice, two_hours - 2 * MINUTE).await.is_ok());
    assert!(sessions.reauth_queue().is_empty());
    assert_eq!(hook.calls(), 0);
}

#[tokio::test]
async fn a_renewal_that_is_too_short_has_the_person_asked() {
    let (sessions, _, clock, hook) = with_hook(Does::Renews(TimeDelta::minutes(40)));
    let (queue, alice) = (sessions.reauth_queue(), user("alice"));
    sessions.insert(ending_in(&alice, 30 * MINUTE, &clock)).await.unwrap();
    let outcome = sessions.ensure_valid_for(&alice, 45 * MINUTE).await;
    assert_eq!(reason(outcome), ReauthReason::ExpiresTooSoon);
    assert_eq!(sessions.get(&alice).await.unwrap().access_token().expose_secret(), "renewed-0");
    assert_eq!((queue.len(), hook.calls()), (1, 1));
}

#[tokio::test]
async fn a_renewal_that_is_too_short_is_not_made_again_and_again() {
    let (sessions, _, clock, hook) = with_hook(Does::Renews(TimeDelta::minutes(40)));
    let (queue, alice) = (sessions.reauth_queue(), user("alice"));
    sessions.insert(ending_in(&alice, 30 * MINUTE, &clock)).await.unwrap();
    let call = tokio::spawn({
        let (sessions, alice) = (sessions.clone(), alice.clone());
        let wait = Wait::up_to(20 * MINUTE).valid_for(45 * MINUTE);
        async move { sessions.wait_with(&alice, &wait).await }
    });
    turns().await;
    for _ in 0..10 {
        let outcome = sessions.ensure_valid_for(&alice, 45 * MINUTE).await;
        assert_eq!(reason(outcome), ReauthReason::ExpiresTooSoon);
    }
    assert_eq!((queue.len(), hook.calls()), (1, 1));
    clock.advance(MINUTE / 2);
    assert!(sessions.ensure_valid_for(&alice, 45 * MINUTE).await.is_err());
    turns().await;
    assert_eq!(hook.calls(), 2, "after the pause");
    let login = fresh(&alice, "long", &clock);
    sessions.insert(login.clone()).await.unwrap();
    assert_eq!(call.await.unwrap().unwrap(), login);
}
