//! Codes that are sent, and those that are not.

use chrono::TimeDelta;
use moojo_otp::{LoginError, LoginFlow, MoojoError, PhoneNumber, VerificationCode};
use moojo_session::ChallengeState;

use crate::common::{
    Fake, NOW, SEND, alice, answer, answer_with, at, builder, cut, not_sent, phone, refused, world,
};
use crate::wrong;

#[tokio::test]
async fn a_code_is_not_sent_again_within_the_cooldown() {
    let world = world();
    world.send().await.unwrap();
    world.pass(29);
    let error = world.send().await.unwrap_err();
    assert!(matches!(error, LoginError::ResendTooSoon { .. }));
    assert_eq!(error.retry_at(), Some(at(NOW) + TimeDelta::seconds(30)));
    // To whichever number.
    let other: PhoneNumber = "+15559876544".parse().unwrap();
    let error = world.flow.send_code(&alice(), &other).await.unwrap_err();
    assert!(matches!(error, LoginError::ResendTooSoon { .. }));
    world.pass(1);
    world.send().await.unwrap();
    assert_eq!(world.fake.count(SEND), 2);
}

#[tokio::test]
async fn rule_8_a_send_is_recorded_before_it_is_made() {
    let world = world();
    world.fake.hold();
    let flow = world.flow.clone();
    let send = tokio::spawn(async move { flow.send_code(&alice(), &phone()).await });
    world.fake.wait_for(1).await;
    let record = world.record().await.expect("recorded by now");
    assert_eq!(record.state(), ChallengeState::Sending);
    // Another process on the store neither sends again nor needs the answer to try the code.
    let fake = Fake::new();
    let moojo = builder(&fake, &world.clock).build().unwrap();
    let other = LoginFlow::builder(moojo, world.sessions.clone());
    let other = other.challenges(world.challenges.clone()).build();
    let error = other.send_code(&alice(), &phone()).await.unwrap_err();
    assert!(matches!(error, LoginError::ResendTooSoon { .. }), "{error:?}");
    fake.then(refused(400));
    wrong(other.verify(&alice(), &VerificationCode::new("1").unwrap()).await);
    world.fake.release();
    assert_eq!(send.await.unwrap().unwrap().state(), ChallengeState::Sent);
    assert_eq!(fake.count(SEND), 0);
    assert_eq!(world.record().await.unwrap().state(), ChallengeState::Sent);
}

#[tokio::test]
async fn rule_8_an_unknown_send_is_not_repeated_and_its_code_is_good() {
    for outcome in [cut(), refused(500), answer(200, "<html>")] {
        let world = world();
        world.fake.then(outcome);
        let error = world.send().await.unwrap_err();
        let LoginError::SendUnknown { challenge, .. } = &error else { panic!("{error:?}") };
        assert_eq!(challenge.state(), ChallengeState::Unknown);
        assert_eq!(error.retry_at(), Some(at(NOW) + TimeDelta::seconds(30)));
        assert!(matches!(world.send().await, Err(LoginError::ResendTooSoon { .. })));
        assert_eq!(world.fake.count(SEND), 1);
        world.verify("133575").await.unwrap();
    }
}

#[tokio::test]
async fn rule_8_a_send_that_never_went_out_leaves_no_trace() {
    let world = world();
    world.fake.then(not_sent());
    let error = world.send().await.unwrap_err();
    assert!(matches!(error, LoginError::Moojo { source: MoojoError::NotSent { .. }, .. }));
    assert_eq!(world.record().await, None);
    world.send().await.unwrap();
    // Nor does a resend.
    world.pass(30);
    let before = world.record().await.unwrap();
    world.fake.then(not_sent());
    world.send().await.unwrap_err();
    let after = world.record().await.unwrap();
    assert_eq!(after.state(), before.state());
    assert_eq!(after.resend_at(), before.resend_at());
    world.send().await.unwrap();
    assert_eq!(world.fake.count(SEND), 4);
}

#[tokio::test]
async fn rule_8_a_refused_resend_leaves_the_earlier_code_good() {
    let other: PhoneNumber = "+15559876544".parse().unwrap();
    for (to, outcome) in [
        (phone(), refused(400)),
        (phone(), not_sent()),
        (other.clone(), refused(400)),
        (other, not_sent()),
    ] {
        let world = world();
        world.send().await.unwrap();
        world.fake.then(refused(400));
        assert_eq!(wrong(world.verify("000000").await), 4);
        world.pass(30);
        world.fake.then(outcome);
        world.flow.send_code(&alice(), &to).await.unwrap_err();
        world.fake.then(refused(400));
        assert_eq!(wrong(world.verify("000000").await), 3);
        world.verify("133575").await.unwrap();
        let (_, body) = world.fake.requests().pop().unwrap();
        assert!(body.contains("+15559876543"), "the code was for the first number: {body}");
    }
}

#[tokio::test]
async fn rule_8_moojos_own_limit_is_kept_to() {
    let world = world();
    world.fake.then(answer_with(429, &[("retry-after", "120")], b""));
    let until = at(NOW) + TimeDelta::seconds(120);
    let error = world.send().await.unwrap_err();
    assert!(matches!(error, LoginError::Moojo { source: MoojoError::RateLimited { .. }, .. }));
    assert_eq!(error.retry_at(), Some(until));
    world.pass(119);
    let error = world.send().await.unwrap_err();
    assert!(matches!(error, LoginError::ResendTooSoon { .. }));
    assert_eq!(error.retry_at(), Some(until));
    assert_eq!(world.fake.count(SEND), 1);
    world.pass(1);
    world.send().await.unwrap();
    world.fake.then(answer_with(429, &[("retry-after", "60")], b""));
    let error = world.verify("133575").await.unwrap_err();
    assert_eq!(error.retry_at(), Some(until + TimeDelta::seconds(60)));
}

#[tokio::test]
async fn rule_8_concurrent_sends_are_one() {
    let world = world();
    world.fake.hold();
    let sends: Vec<_> = (0..100)
        .map(|_| {
            let flow = world.flow.clone();
            tokio::spawn(async move { flow.send_code(&alice(), &phone()).await })
        })
        .collect();
    world.fake.wait_for(1).await;
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
    world.fake.release();
    for send in sends {
        assert_eq!(send.await.unwrap().unwrap().state(), ChallengeState::Sent);
    }
    assert_eq!(world.fake.count(SEND), 1);
}
