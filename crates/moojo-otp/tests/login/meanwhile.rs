//! What happens to a user while her login waits for the store to take it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use chrono::TimeDelta;
use moojo_otp::{LoginError, VerificationCode};
use moojo_session::{AccessToken, Arrived, Clock, Error, Session};
use tokio::task::JoinHandle;

use crate::common::{AUTHENTICATE, Failing, TOKEN, World, alice, world_with};

type Verifying = JoinHandle<Result<Session, LoginError>>;

/// Two who submit alice's code, which Moojo has accepted. The store has not taken the session, and will
/// not until it has been told so often.
async fn refused(times: u32) -> (World, [Verifying; 2]) {
    let store = Arc::new(Failing::default());
    let world = world_with(Arc::clone(&store), |flow| flow);
    world.send().await.unwrap();
    store.saves.store(times, Ordering::SeqCst);
    let verifying = [(); 2].map(|()| {
        let flow = world.flow.clone();
        let code = VerificationCode::new("133575").unwrap();
        tokio::spawn(async move { flow.verify(&alice(), &code).await })
    });
    while store.saves.load(Ordering::SeqCst) == times {
        tokio::task::yield_now().await;
    }
    world.clock.advance(Duration::from_millis(1));
    (world, verifying)
}

/// The outcome that all who submitted the code share.
async fn outcome(world: &World, verifying: [Verifying; 2]) -> Result<Session, LoginError> {
    let [one, other] = verifying;
    while !one.is_finished() || !other.is_finished() {
        world.clock.advance(Duration::from_millis(100));
        tokio::task::yield_now().await;
    }
    let [one, other] = [one.await.unwrap(), other.await.unwrap()];
    assert_eq!(one.as_ref().ok(), other.as_ref().ok());
    assert_eq!(format!("{one:?}"), format!("{other:?}"));
    assert_eq!(world.fake.count(AUTHENTICATE), 1);
    // The code is used up in any case.
    let again = world.verify("133575").await.unwrap_err();
    assert!(matches!(again, LoginError::CodeAlreadyUsed { .. }), "{again:?}");
    one
}

/// A session that is issued now, or so long ago.
fn issued(world: &World, ago: TimeDelta) -> Session {
    let token = AccessToken::new("another").unwrap();
    let issued = world.clock.now() - ago;
    let session = Session::builder(alice(), token).issued_at(issued);
    session.expires_at(issued + TimeDelta::hours(2)).build().unwrap()
}

#[tokio::test]
async fn rule_9_a_later_login_stays_and_is_the_outcome_of_all() {
    let (world, verifying) = refused(1).await;
    let later = issued(&world, TimeDelta::zero());
    world.sessions.insert(later.clone()).await.unwrap();
    assert_eq!(outcome(&world, verifying).await.unwrap(), later);
    assert_eq!(world.sessions.get(&alice()).await.unwrap(), later);
}

#[tokio::test]
async fn an_earlier_login_is_replaced() {
    let (world, verifying) = refused(1).await;
    world.sessions.insert(issued(&world, TimeDelta::minutes(1))).await.unwrap();
    let session = outcome(&world, verifying).await.unwrap();
    assert_eq!(session.access_token().expose_secret(), TOKEN);
    assert_eq!(world.sessions.get(&alice()).await.unwrap(), session);
}

#[tokio::test]
async fn a_revocation_is_not_undone() {
    let (world, verifying) = refused(1).await;
    world.sessions.revoke(&alice()).await.unwrap();
    let outcome = outcome(&world, verifying).await;
    assert!(matches!(outcome, Err(LoginError::Revoked)), "{outcome:?}");
    let found = world.sessions.get(&alice()).await;
    assert!(matches!(found, Err(Error::ReauthRequired(_))), "{found:?}");
}

#[tokio::test]
async fn a_revocation_after_the_last_try_is_not_undone_by_who_saves_it_later() {
    let (world, verifying) = refused(4).await;
    let Err(LoginError::NotSaved { arrival, .. }) = outcome(&world, verifying).await else {
        panic!("the store does not take it");
    };
    world.sessions.revoke(&alice()).await.unwrap();
    assert_eq!(arrival.save_again().await.unwrap(), Arrived::Revoked);
    let found = world.sessions.get(&alice()).await;
    assert!(matches!(found, Err(Error::ReauthRequired(_))), "{found:?}");
}

#[tokio::test]
async fn who_was_revoked_before_the_code_was_typed_is_logged_in() {
    let store = Arc::new(Failing::default());
    let world = world_with(Arc::clone(&store), |flow| flow);
    world.sessions.revoke(&alice()).await.unwrap();
    world.send().await.unwrap();
    let session = world.verify("133575").await.unwrap();
    assert_eq!(world.sessions.get(&alice()).await.unwrap(), session);
}
