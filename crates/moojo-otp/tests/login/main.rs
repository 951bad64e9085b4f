//! The login flow: what is sent, tried, counted and saved.

mod codes;
#[path = "../common/mod.rs"]
mod common;
mod failures;
mod meanwhile;
mod sends;

use chrono::TimeDelta;
use common::{
    AUTHENTICATE, Fake, NOW, TOKEN, alice, at, authenticated, builder, clock, phone, refused,
    world, world_with,
};
use moojo_otp::{
    FirebaseJwt, LoginError, LoginFlow, MoojoError, PhoneFormat, PhoneNumber, VerificationCode,
};
use moojo_session::{ChallengeState, MemoryStore, Session, SessionManager, UserId};

/// How many attempts are left after a wrong code.
fn wrong(code: Result<Session, LoginError>) -> u32 {
    match code.unwrap_err() {
        LoginError::WrongCode { attempts_left, .. } => attempts_left,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_code_makes_a_session() {
    let world = world();
    let challenge = world.send().await.unwrap();
    assert_eq!(challenge.state(), ChallengeState::Sent);
    assert_eq!(challenge.resend_at(), at(NOW) + TimeDelta::seconds(30));
    let session = world.verify("133575").await.unwrap();
    assert_eq!(session.user(), &alice());
    assert_eq!(session.access_token().expose_secret(), TOKEN);
    assert_eq!(world.sessions.get(&alice()).await.unwrap(), session);
    assert_eq!(world.record().await.unwrap().state(), ChallengeState::Redeemed(session.id()));
    let again = world.verify("133575").await.unwrap_err();
    assert!(matches!(again, LoginError::CodeAlreadyUsed { .. }), "{again:?}");
    assert_eq!(again.retry_at(), Some(challenge.resend_at()));
    assert_eq!(world.fake.count(AUTHENTICATE), 1);
}

#[tokio::test]
async fn a_jwt_makes_a_session() {
    let world = world();
    let jwt = FirebaseJwt::new("eyJhbGciOiJSUzI1NiIsImtpZCI6").unwrap();
    let session = world.flow.login_with_jwt(&alice(), &jwt).await.unwrap();
    assert_eq!(world.sessions.get(&alice()).await.unwrap(), session);
    world.fake.then(refused(400));
    let error = world.flow.login_with_jwt(&alice(), &jwt).await.unwrap_err();
    let LoginError::Moojo { source: MoojoError::Refused { .. }, .. } = error else {
        panic!("{error:?}")
    };
}

#[tokio::test]
async fn a_newer_login_of_the_same_user_wins() {
    let world = world();
    world.send().await.unwrap();
    let first = world.verify("133575").await.unwrap();
    world.pass(30);
    world.send().await.unwrap();
    world.fake.then(authenticated("second"));
    let second = world.verify("133575").await.unwrap();
    assert_ne!(first, second);
    assert_eq!(world.sessions.get(&alice()).await.unwrap(), second);
}

#[tokio::test]
async fn a_login_goes_out_with_the_number_as_the_send_did() {
    let (fake, clock) = (Fake::new(), clock());
    let moojo = builder(&fake, &clock).phone_format(PhoneFormat::AsTyped).build().unwrap();
    let sessions = SessionManager::builder(MemoryStore::new()).clock(clock.clone()).build();
    let flow = LoginFlow::new(moojo, sessions);
    flow.send_code(&alice(), &phone()).await.unwrap();
    flow.verify(&alice(), &VerificationCode::new("133575").unwrap()).await.unwrap();
    for (_, body) in fake.requests() {
        assert!(body.contains("\"+1(555)987-6543\""), "{body}");
    }
    // Typed otherwise it is the same number, which has its cooldown.
    let same: PhoneNumber = "+1 555 987 6543".parse().unwrap();
    let error = flow.send_code(&alice(), &same).await.unwrap_err();
    assert!(matches!(error, LoginError::ResendTooSoon { .. }));
}

#[tokio::test]
async fn rule_12_calls_under_way_are_limited() {
    let world = world_with(MemoryStore::new(), |flow| flow.max_under_way(1));
    world.fake.hold();
    let flow = world.flow.clone();
    let send = tokio::spawn(async move { flow.send_code(&alice(), &phone()).await });
    world.fake.wait_for(1).await;
    let bob = UserId::new("bob").unwrap();
    let full = world.flow.send_code(&bob, &phone()).await;
    assert!(matches!(full, Err(LoginError::Overloaded)), "{full:?}");
    world.fake.release();
    send.await.unwrap().unwrap();
    world.flow.send_code(&bob, &phone()).await.unwrap();
}
