//! Who was logged out is not logged in again without being asked.

use moojo_session::{ReauthReason, SessionStore};

use crate::common::hook::{two_hours, with_hook};
use crate::common::{At, fresh, turns, user};
use crate::{MINUTE, ending_in, reason};

#[tokio::test]
async fn a_session_that_was_revoked_is_not_renewed() {
    let (sessions, _, clock, hook) = with_hook(two_hours());
    let alice = user("alice");
    sessions.insert(fresh(&alice, "one", &clock)).await.unwrap();
    sessions.revoke(&alice).await.unwrap();
    assert_eq!(reason(sessions.get(&alice).await), ReauthReason::Revoked);
    assert_eq!(reason(sessions.ensure_valid_for(&alice, MINUTE).await), ReauthReason::Revoked);
    assert_eq!(hook.calls(), 0);
    // A refused one is.
    let refused = fresh(&alice, "two", &clock);
    sessions.insert(refused.clone()).await.unwrap();
    sessions.reject(&refused).await.unwrap();
    assert!(sessions.get(&alice).await.is_ok());
    assert_eq!(*hook.0.reasons.lock(), [ReauthReason::Rejected]);
}

#[tokio::test]
async fn a_revocation_during_a_renewal_stands() {
    for expired in [false, true] {
        let (sessions, store, clock, hook) = with_hook(two_hours());
        let alice = user("alice");
        sessions.insert(ending_in(&alice, 30 * MINUTE, &clock)).await.unwrap();
        if expired {
            clock.advance(30 * MINUTE);
        }
        hook.shut();
        let call = tokio::spawn({
            let (sessions, alice) = (sessions.clone(), alice.clone());
            async move { sessions.ensure_valid_for(&alice, 45 * MINUTE).await }
        });
        hook.0.arrived.notified().await;
        sessions.revoke(&alice).await.unwrap();
        hook.open();
        assert!(call.await.unwrap().is_err());
        turns().await;
        assert_eq!(reason(sessions.get(&alice).await), ReauthReason::Revoked);
        assert_eq!(store.memory().load(&alice).await.unwrap(), None, "logged in again");
        assert_eq!(hook.calls(), 1);
    }
}

#[tokio::test]
async fn what_is_being_revoked_is_not_renewed() {
    let (sessions, store, clock, hook) = with_hook(two_hours());
    let alice = user("alice");
    sessions.insert(fresh(&alice, "one", &clock)).await.unwrap();
    let removed = store.hold_next(At::Removed);
    let revoke = tokio::spawn({
        let (sessions, alice) = (sessions.clone(), alice.clone());
        async move { sessions.revoke(&alice).await }
    });
    removed.arrived.notified().await;
    // It has gone, and the answer is on its way.
    assert!(sessions.get(&alice).await.is_err());
    removed.open.add_permits(1);
    revoke.await.unwrap().unwrap();
    assert_eq!(hook.calls(), 0);
    assert!(store.memory().load(&alice).await.unwrap().is_none());
}
