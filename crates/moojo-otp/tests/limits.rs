//! Limits of a login at the edges: while a code is being sent, with a clock that was set back, with a
//! store that is full.

mod common;

use std::time::Duration;

use chrono::TimeDelta;
use common::{NOW, alice, at, phone, refused, world};
use moojo_otp::{LoginError, VerificationCode};
use moojo_session::{
    Challenge, ChallengeState, ChallengeStore, MemoryChallengeStore, Session, UserId,
};

fn wrong(code: Result<Session, LoginError>) -> u32 {
    match code.unwrap_err() {
        LoginError::WrongCode { attempts_left, .. } => attempts_left,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn attempts_while_a_code_is_being_sent_count() {
    let world = world();
    world.fake.hold();
    let send = tokio::spawn({
        let flow = world.flow.clone();
        async move { flow.send_code(&alice(), &phone()).await }
    });
    world.fake.wait_for(1).await;
    // The SMS is there before the answer. Five wrong codes while SEND has not been answered:
    world.fake.then(refused(400));
    let mut tries = Vec::new();
    for n in 0..5 {
        world.fake.then(refused(400));
        tries.push(tokio::spawn({
            let flow = world.flow.clone();
            async move {
                flow.verify(&alice(), &VerificationCode::new(&format!("00000{n}")).unwrap()).await
            }
        }));
        world.fake.wait_for(2 + n).await;
    }
    assert!(matches!(world.verify("999999").await, Err(LoginError::Locked { .. })));
    world.fake.release();
    for t in tries {
        wrong(t.await.unwrap());
    }
    send.await.unwrap().unwrap();
    let more = world.verify("111111").await;
    assert!(
        matches!(more, Err(LoginError::Locked { .. })),
        "a sixth attempt at the same code went to Moojo: {more:?}"
    );
}

#[tokio::test]
async fn a_new_code_has_all_its_attempts() {
    let world = world();
    world.send().await.unwrap();
    for n in 0..5 {
        world.fake.then(refused(400));
        wrong(world.verify(&format!("00000{n}")).await);
    }
    world.pass(31);
    world.fake.hold();
    let _send = tokio::spawn({
        let flow = world.flow.clone();
        async move { flow.send_code(&alice(), &phone()).await }
    });
    world.fake.wait_for(7).await;
    assert_eq!(world.record().await.unwrap().state(), ChallengeState::Sending);
    // The process dies here: `Sending` is all that is ever heard. The code is in the person's hands.
    world.pass(5);
    let got = tokio::time::timeout(Duration::from_millis(200), world.verify("133575")).await;
    assert!(!matches!(got, Ok(Err(LoginError::Locked { .. }))), "{got:?}");
}

#[tokio::test]
async fn a_wall_clock_set_back_keeps_nobody_from_a_login() {
    let world = world();
    world.clock.jump_wall(TimeDelta::hours(5));
    world.send().await.unwrap();
    world.clock.jump_wall(TimeDelta::hours(-5));
    world.pass(3600);
    assert!(world.send().await.is_ok(), "an hour later: {:?}", world.send().await.map(|_| ()));
}

#[tokio::test]
async fn rule_12_a_full_store_lets_logins_under_way_go_on() {
    let store = MemoryChallengeStore::new();
    let now = at(NOW);
    let later = now + TimeDelta::minutes(10);
    let first = Challenge::open(alice(), "+15559876543", now, later, later);
    assert!(store.swap(None, &first, now).await.unwrap());
    for n in 1..MemoryChallengeStore::MAX_RECORDS {
        let c = Challenge::open(
            UserId::new(format!("u{n}")).unwrap(),
            "+15559876543",
            now,
            later,
            later,
        );
        assert!(store.swap(None, &c, now).await.unwrap());
    }
    let sent = store.swap(Some(first.revision()), &first.sent(), now).await;
    assert!(sent.is_ok(), "{sent:?}");
}
