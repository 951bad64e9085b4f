//! What was renewed and the store does not take.

use chrono::TimeDelta;
use moojo_session::{Error, ReauthReason};

use crate::common::hook::{two_hours, with_hook};
use crate::common::user;
use crate::{MINUTE, ending_in, reason};

#[tokio::test]
async fn rule_6_a_store_that_does_not_take_the_renewed_session_prompts_nobody() {
    let (sessions, store, clock, _) = with_hook(two_hours());
    let [alice, bob] = ["alice", "bob"].map(user);
    sessions.insert(ending_in(&bob, 30 * MINUTE, &clock)).await.unwrap();
    store.read_only(true);
    for _ in 0..2 {
        assert!(matches!(sessions.get(&alice).await, Err(Error::Store(_))));
        let outcome = sessions.ensure_valid_for(&bob, 45 * MINUTE).await;
        assert!(matches!(outcome, Err(Error::Store(_))));
        assert!(sessions.get(&bob).await.is_ok());
    }
    assert!(sessions.reauth_queue().is_empty());
    store.read_only(false);
    assert!(sessions.get(&alice).await.is_ok());
    assert!(sessions.ensure_valid_for(&bob, 45 * MINUTE).await.is_ok());
}

#[tokio::test]
async fn a_renewed_session_that_the_store_did_not_take_is_kept_and_not_made_again() {
    let (sessions, store, clock, hook) = with_hook(two_hours());
    let alice = user("alice");
    store.read_only(true);
    for _ in 0..100 {
        assert!(matches!(sessions.get(&alice).await, Err(Error::Store(_))));
    }
    assert_eq!(hook.calls(), 1, "each is a login at Moojo");
    store.read_only(false);
    let session = sessions.get(&alice).await.unwrap();
    assert_eq!(session.access_token().expose_secret(), "renewed-0");

    // Unless it has ended, or the user was logged out.
    sessions.reject(&session).await.unwrap();
    store.read_only(true);
    assert!(matches!(sessions.get(&alice).await, Err(Error::Store(_))));
    clock.advance(120 * MINUTE);
    store.read_only(false);
    let session = sessions.get(&alice).await.unwrap();
    assert_eq!(session.access_token().expose_secret(), "renewed-2");
    sessions.reject(&session).await.unwrap();
    store.read_only(true);
    assert!(matches!(sessions.get(&alice).await, Err(Error::Store(_))));
    store.read_only(false);
    sessions.revoke(&alice).await.unwrap();
    assert_eq!(reason(sessions.get(&alice).await), ReauthReason::Revoked);
}

#[tokio::test]
async fn rule_4_what_was_renewed_and_not_saved_ages_by_both_clocks() {
    let (sessions, store, clock, hook) = with_hook(two_hours());
    let [alice, bob] = ["alice", "bob"].map(user);
    store.read_only(true);
    for user in [&alice, &bob] {
        assert!(matches!(sessions.get(user).await, Err(Error::Store(_))));
    }
    // The wall clock is set back meanwhile.
    let age = |minutes: u32| {
        clock.advance(minutes * MINUTE);
        clock.jump_wall(-TimeDelta::minutes(minutes.into()));
    };
    age(90);
    store.read_only(false);
    assert_eq!(sessions.get(&alice).await.unwrap().access_token().expose_secret(), "renewed-0");
    age(30);
    for user in [&alice, &bob] {
        let session = sessions.get(user).await.unwrap();
        assert!(!["renewed-0", "renewed-1"].contains(&session.access_token().expose_secret()));
    }
    assert_eq!(hook.calls(), 4);
}
