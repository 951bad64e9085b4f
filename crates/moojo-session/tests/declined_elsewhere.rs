//! What a person said in one process, who has logged in through another since, while nothing was heard.

mod common;

use std::time::Duration;

use common::queue::{MINUTE, claim, soon, wait};
use common::{TestStore, fresh, start, turns, user};
use moojo_session::{
    Change, DeclineReason, LeaseStore, ManualClock, MemoryLeaseStore, SessionManager, SessionStore,
};

#[tokio::test]
async fn rule_11_a_login_that_the_feed_did_not_tell_of_ends_a_decline() {
    let clock = ManualClock::new(start());
    let store = TestStore::new(&clock);
    let leases = MemoryLeaseStore::with_clock(clock.clone());
    let tell = store.told();
    let builder =
        SessionManager::builder(store.clone()).clock(clock.clone()).leases(leases.clone());
    let sessions = builder.build();
    let alice = user("alice");
    let call = wait(&sessions, &alice, None);
    turns().await;
    let held = claim(&sessions.reauth_queue()).await;
    held.decline(DeclineReason::NotNow, 24 * 60 * MINUTE).unwrap();
    assert!(soon(call).await.unwrap().is_err());

    tell.send(Change::Disconnected).unwrap();
    turns().await;
    // She logs in through another process. At first the store does not say so.
    store.memory().save(&fresh(&alice, "login", &clock)).await.unwrap();
    leases.clear(&alice).await.unwrap();
    store.fail(true);
    tell.send(Change::Lagged).unwrap();
    turns().await;
    store.fail(false);
    clock.advance(MINUTE);
    turns().await;
    clock.advance(180 * MINUTE);
    turns().await;
    let call = wait(&sessions, &alice, None);
    turns().await;
    assert!(!call.is_finished(), "what she said before counts: {:?}", call.await);
    clock.advance(Duration::from_secs(1));
    assert_eq!(claim(&sessions.reauth_queue()).await.request().user(), &alice);
}
