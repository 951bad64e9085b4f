//! Codes that are tried.

use moojo_otp::{LoginError, MoojoError, VerificationCode};
use moojo_session::{ChallengeState, MemoryStore, UserId};

use crate::common::{
    AUTHENTICATE, NOW, TOKEN, alice, at, cut, not_sent, refused, world, world_with,
};
use crate::wrong;

#[tokio::test]
async fn a_code_locks_after_so_many_attempts() {
    let world = world_with(MemoryStore::new(), |flow| flow.attempts_per_code(3));
    let challenge = world.send().await.unwrap();
    for left in [2, 1, 0] {
        world.fake.then(refused(400));
        assert_eq!(wrong(world.verify("000000").await), left);
    }
    let error = world.verify("133575").await.unwrap_err();
    assert!(matches!(error, LoginError::Locked { .. }), "{error:?}");
    assert_eq!(error.retry_at(), Some(challenge.resend_at()));
    assert_eq!(world.fake.count(AUTHENTICATE), 3);
    // A new code has all its attempts.
    world.pass(30);
    world.send().await.unwrap();
    world.verify("133575").await.unwrap();
}

#[tokio::test]
async fn an_attempt_that_never_got_there_is_given_back() {
    let world = world_with(MemoryStore::new(), |flow| flow.attempts_per_code(1));
    world.send().await.unwrap();
    world.fake.then(not_sent());
    let error = world.verify("133575").await.unwrap_err();
    assert!(matches!(error, LoginError::Moojo { source: MoojoError::NotSent { .. }, .. }));
    world.verify("133575").await.unwrap();
}

#[tokio::test]
async fn an_attempt_whose_outcome_is_unknown_is_counted_and_not_repeated() {
    let world = world_with(MemoryStore::new(), |flow| flow.attempts_per_code(1));
    world.send().await.unwrap();
    world.fake.then(cut());
    let error = world.verify("133575").await.unwrap_err();
    assert!(matches!(error, LoginError::Moojo { source: MoojoError::OutcomeUnknown { .. }, .. }));
    assert!(matches!(world.verify("133575").await, Err(LoginError::Locked { .. })));
    assert_eq!(world.fake.count(AUTHENTICATE), 1);
}

#[tokio::test]
async fn without_a_code_there_is_nothing_to_verify() {
    let world = world();
    let error = world.verify("133575").await.unwrap_err();
    assert!(matches!(error, LoginError::NoOpenChallenge { .. }));
    assert_eq!(error.retry_at(), Some(at(NOW)));
    world.send().await.unwrap();
    world.pass(600);
    assert!(matches!(world.verify("133575").await, Err(LoginError::NoOpenChallenge { .. })));
    // Nor after a send that was refused.
    world.fake.then(refused(400));
    world.send().await.unwrap_err();
    assert!(matches!(world.verify("133575").await, Err(LoginError::NoOpenChallenge { .. })));
    assert_eq!(world.fake.count(AUTHENTICATE), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_9_concurrent_submits_of_one_code_are_one_call() {
    let world = world();
    world.send().await.unwrap();
    world.fake.hold();
    let flow = world.flow.clone();
    let verify = move || {
        let flow = flow.clone();
        async move { flow.verify(&alice(), &VerificationCode::new("133575").unwrap()).await }
    };
    // Whoever came first leaves; the others do not notice.
    let first = tokio::spawn(verify());
    world.fake.wait_for(2).await;
    let others: Vec<_> = (0..1000).map(|_| Box::pin(verify())).collect();
    let mut others = tokio::task::JoinSet::from_iter(others);
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    while world.fake.count(AUTHENTICATE) == 0 {
        tokio::task::yield_now().await;
    }
    for _ in 0..2000 {
        tokio::task::yield_now().await;
    }
    world.fake.release();
    let mut ids = std::collections::HashSet::new();
    while let Some(outcome) = others.join_next().await {
        match outcome.unwrap() {
            Ok(session) => {
                ids.insert(session.id());
            }
            // Who came when it was over.
            Err(LoginError::CodeAlreadyUsed { .. }) => {}
            Err(error) => panic!("{error:?}"),
        }
    }
    assert_eq!(ids.len(), 1);
    assert_eq!(world.fake.count(AUTHENTICATE), 1);
    assert_eq!(world.record().await.unwrap().attempts(), 1);
}

#[tokio::test]
async fn rule_9_the_session_arrives_even_if_everybody_has_gone() {
    let world = world();
    world.send().await.unwrap();
    world.fake.hold();
    let flow = world.flow.clone();
    let code = VerificationCode::new("133575").unwrap();
    let verify = tokio::spawn(async move { flow.verify(&alice(), &code).await });
    world.fake.wait_for(2).await;
    verify.abort();
    assert!(verify.await.unwrap_err().is_cancelled());
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    world.fake.release();
    let session = settled(async || world.sessions.get(&alice()).await.ok()).await;
    assert_eq!(session.access_token().expose_secret(), TOKEN);
    settled(async || {
        let record = world.record().await?;
        (record.state() == ChallengeState::Redeemed(session.id())).then_some(())
    })
    .await;
}

/// What `look` sees as soon as the tasks of the flow have got so far.
async fn settled<T>(look: impl AsyncFn() -> Option<T>) -> T {
    for _ in 0..10_000 {
        if let Some(seen) = look().await {
            return seen;
        }
        tokio::task::yield_now().await;
    }
    panic!("it never came to that");
}

#[tokio::test]
async fn rule_9_other_codes_and_other_users_are_calls_of_their_own() {
    let world = world();
    let bob = UserId::new("bob").unwrap();
    world.send().await.unwrap();
    world.flow.send_code(&bob, &"+15559876544".parse().unwrap()).await.unwrap();
    let code = VerificationCode::new("133575").unwrap();
    let alice = alice();
    let (a, b) = tokio::join!(world.flow.verify(&alice, &code), world.flow.verify(&bob, &code));
    assert_eq!(a.unwrap().user(), &alice);
    assert_eq!(b.unwrap().user(), &bob);
    assert_eq!(world.fake.count(AUTHENTICATE), 2);
}
