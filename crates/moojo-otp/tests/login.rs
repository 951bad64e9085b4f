//! The login flow: what is sent, tried, counted and saved.

mod common;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use chrono::TimeDelta;
use common::{
    AUTHENTICATE, Failing, Fake, NOW, SEND, TOKEN, alice, answer, answer_with, at, authenticated,
    builder, clock, cut, not_sent, phone, refused, world, world_with,
};
use moojo_otp::{
    FirebaseJwt, LoginError, LoginFlow, MoojoError, PhoneFormat, PhoneNumber, VerificationCode,
};
use moojo_session::{
    AccessToken, Admission, Challenge, ChallengeState, ChallengeStore, MemoryStore, Quota,
    Revision, Session, SessionManager, StoreError, UserId, async_trait,
};

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
async fn a_number_gets_so_many_codes_an_hour_from_all_users_together() {
    let world = world();
    let ask = async |n: usize| {
        let user = UserId::new(format!("user{n}")).unwrap();
        world.flow.send_code(&user, &phone()).await
    };
    for n in 0..5 {
        ask(n).await.unwrap();
        world.pass(60);
    }
    let error = ask(5).await.unwrap_err();
    assert!(matches!(error, LoginError::TooManySends { .. }));
    assert_eq!(error.retry_at(), Some(at(NOW) + TimeDelta::hours(1)));
    assert_eq!(world.fake.count(SEND), 5);
    world.pass(55 * 60);
    ask(5).await.unwrap();
}

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
async fn sends_that_never_went_out_use_up_no_quota() {
    let world =
        world_with(MemoryStore::new(), |flow| flow.unanswered_sends(u32::MAX, Duration::MAX));
    for _ in 0..20 {
        world.fake.then(not_sent());
        let error = world.send().await.unwrap_err();
        assert!(matches!(error, LoginError::Moojo { .. }), "{error}");
    }
    for _ in 0..5 {
        world.send().await.unwrap();
        world.pass(30);
    }
    assert!(matches!(world.send().await, Err(LoginError::TooManySends { .. })));
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

#[tokio::test]
async fn rule_6_a_failed_login_never_displaces_a_live_session() {
    for outcome in [
        refused(400),
        refused(401),
        refused(429),
        refused(500),
        cut(),
        not_sent(),
        answer(200, "{"),
        answer(200, r#"{"status":"success","data":{"token":"a b"}}"#),
    ] {
        let world = world();
        let token = AccessToken::new("live").unwrap();
        let live = Session::builder(alice(), token).expires_at(at(NOW) + TimeDelta::hours(1));
        let live = live.build().unwrap();
        world.sessions.insert(live.clone()).await.unwrap();
        world.fake.then(outcome.clone());
        let _ = world.send().await;
        world.pass(60);
        world.send().await.unwrap();
        world.fake.then(outcome.clone()).then(outcome);
        world.verify("000000").await.unwrap_err();
        let jwt = FirebaseJwt::new("jwt").unwrap();
        world.flow.login_with_jwt(&alice(), &jwt).await.unwrap_err();
        assert_eq!(world.sessions.get(&alice()).await.unwrap(), live);
    }
}

#[tokio::test]
async fn a_session_that_cannot_be_saved_is_not_lost() {
    for (failures, saved) in [(3, true), (4, false)] {
        let store = Arc::new(Failing::default());
        let world = world_with(Arc::clone(&store), |flow| flow);
        world.send().await.unwrap();
        store.saves.store(failures, Ordering::SeqCst);
        let flow = world.flow.clone();
        let code = VerificationCode::new("133575").unwrap();
        let verify = tokio::spawn(async move { flow.verify(&alice(), &code).await });
        while !verify.is_finished() {
            world.clock.advance(Duration::from_millis(100));
            tokio::task::yield_now().await;
        }
        let session = match verify.await.unwrap() {
            Ok(session) => session,
            Err(LoginError::NotSaved { session, .. }) if !saved => {
                world.sessions.insert(session.clone()).await.unwrap();
                session
            }
            Err(error) => panic!("{error:?}"),
        };
        assert_eq!(world.sessions.get(&alice()).await.unwrap(), session);
        assert_eq!(session.access_token().expose_secret(), TOKEN);
        // The code is used up all the same.
        let again = world.verify("133575").await.unwrap_err();
        assert!(matches!(again, LoginError::CodeAlreadyUsed { .. }), "{again:?}");
    }
}

/// Does nothing but fail, or wait for ever.
#[derive(Debug)]
struct Down {
    for_ever: bool,
}

impl Down {
    async fn answer<T>(&self) -> Result<T, StoreError> {
        if self.for_ever {
            std::future::pending::<()>().await;
        }
        Err(StoreError::unavailable("down"))
    }
}

#[async_trait]
impl ChallengeStore for Down {
    async fn load(&self, _: &UserId) -> Result<Option<Challenge>, StoreError> {
        self.answer().await
    }

    async fn swap(
        &self,
        _: Option<Revision>,
        _: &Challenge,
        _: chrono::DateTime<chrono::Utc>,
    ) -> Result<bool, StoreError> {
        self.answer().await
    }

    async fn remove(&self, _: &UserId, _: Revision) -> Result<bool, StoreError> {
        self.answer().await
    }

    async fn admit(
        &self,
        _: &Quota<'_>,
        _: chrono::DateTime<chrono::Utc>,
    ) -> Result<Admission, StoreError> {
        self.answer().await
    }

    async fn give_back(
        &self,
        _: &Quota<'_>,
        _: chrono::DateTime<chrono::Utc>,
    ) -> Result<(), StoreError> {
        self.answer().await
    }
}

#[tokio::test]
async fn rule_10_without_its_store_nothing_is_sent_and_nobody_waits_for_ever() {
    for for_ever in [false, true] {
        let world = world_with(MemoryStore::new(), |flow| {
            flow.challenges(Down { for_ever }).store_timeout(Duration::from_secs(3))
        });
        let (flow, clock) = (world.flow.clone(), world.clock.clone());
        let both = tokio::spawn(async move {
            let code = VerificationCode::new("133575").unwrap();
            (
                flow.send_code(&alice(), &phone()).await.err(),
                flow.verify(&alice(), &code).await.err(),
            )
        });
        while !both.is_finished() {
            clock.advance(Duration::from_millis(500));
            tokio::task::yield_now().await;
        }
        let (send, verify) = both.await.unwrap();
        assert!(matches!(send, Some(LoginError::Challenges(_))), "{send:?}");
        assert!(matches!(verify, Some(LoginError::Challenges(_))), "{verify:?}");
        assert_eq!(world.fake.requests().len(), 0);
    }
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
