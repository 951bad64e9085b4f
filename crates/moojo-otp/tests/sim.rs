//! The client and the flow against a simulated Moojo on a real socket.

#![cfg(feature = "reqwest")]

mod common;

use std::time::Duration;

use chrono::TimeDelta;
use common::{AUTHENTICATE, NOW, SEND, alice, at, clock, phone};
use moojo_otp::{FirebaseJwt, LoginError, LoginFlow, MoojoClient, MoojoError, VerificationCode};
use moojo_session::{ApiKey, ManualClock, MemoryStore, SessionManager};
use moojo_sim::{Fault, FaultKind, Malformed, MoojoSim};

struct World {
    sim: MoojoSim,
    clock: ManualClock,
    moojo: MoojoClient,
    sessions: SessionManager,
    flow: LoginFlow,
}

async fn world() -> World {
    let clock = clock();
    let sim = MoojoSim::builder().clock(clock.clone()).start().await.unwrap();
    let key = ApiKey::new(sim.api_key()).unwrap();
    let moojo = MoojoClient::builder(key).base_url(&sim.base_url()).unwrap();
    // Real time plays no part, and the clock of the tests runs fast in some.
    let moojo = moojo.clock(clock.clone()).timeout(Duration::MAX).build().unwrap();
    let sessions = SessionManager::builder(MemoryStore::new()).clock(clock.clone()).build();
    let flow = LoginFlow::new(moojo.clone(), sessions.clone());
    World { sim, clock, moojo, sessions, flow }
}

impl World {
    fn code(&self) -> VerificationCode {
        VerificationCode::new(&self.sim.last_code(phone().e164()).unwrap()).unwrap()
    }
}

#[tokio::test]
async fn a_person_logs_in_again_when_the_token_has_ended() {
    let world = world().await;
    for logins in 1..=2 {
        world.flow.send_code(&alice(), &phone()).await.unwrap();
        let session = world.flow.verify(&alice(), &world.code()).await.unwrap();
        assert!(world.sim.is_live(session.access_token().expose_secret()));
        let public_user_id = world.sim.public_user_id(phone().e164());
        assert_eq!(session.public_user_id(), public_user_id.as_deref());
        assert_eq!(session.expires_at(), at(NOW) + TimeDelta::hours(2 * logins));
        world.clock.advance(Duration::from_secs(2 * 60 * 60));
        assert!(world.sessions.get(&alice()).await.is_err());
    }
    let jwt = FirebaseJwt::new("eyJhbGciOiJSUzI1NiIsImtpZCI6").unwrap();
    world.flow.login_with_jwt(&alice(), &jwt).await.unwrap();
    world.sim.refuse_jwt("eyJhbGciOiJSUzI1NiIsImtpZCI6");
    let error = world.moojo.authenticate_with_jwt(&jwt).await.unwrap_err();
    assert!(matches!(error, MoojoError::Refused { .. }), "{error:?}");
}

#[tokio::test]
async fn a_wrong_key_is_told_from_a_wrong_code() {
    let world = world().await;
    let moojo = MoojoClient::builder(ApiKey::new("another").unwrap());
    let moojo = moojo.base_url(&world.sim.base_url()).unwrap().build().unwrap();
    let error = moojo.send_verification_code(&phone()).await.unwrap_err();
    assert!(matches!(error, MoojoError::ApiKeyRefused { .. }), "{error:?}");
    assert_eq!(error.trace_id(), Some(world.sim.requests()[0].trace_id.as_str()));

    world.flow.send_code(&alice(), &phone()).await.unwrap();
    let wrong = VerificationCode::new("wrong").unwrap();
    let error = world.flow.verify(&alice(), &wrong).await.unwrap_err();
    assert!(matches!(error, LoginError::WrongCode { attempts_left: 4, .. }), "{error:?}");
    world.flow.verify(&alice(), &world.code()).await.unwrap();
}

#[tokio::test]
async fn answers_that_are_not_as_documented_are_typed_errors() {
    let world = world().await;
    for malformed in [
        Malformed::Html,
        Malformed::TruncatedJson,
        Malformed::WrongContentType,
        Malformed::MissingData,
        Malformed::StatusNotSuccess,
        Malformed::EmptyBody,
        Malformed::EndlessBody,
        Malformed::BadToken,
        Malformed::ExpiryInThePast,
        Malformed::ExpiryWithoutZone,
    ] {
        world.moojo.send_verification_code(&phone()).await.unwrap();
        world.sim.inject(Fault::on(AUTHENTICATE).kind(FaultKind::Malformed(malformed)));
        let error = world.moojo.authenticate(&phone(), &world.code()).await.unwrap_err();
        assert!(matches!(error, MoojoError::Malformed { .. }), "{malformed:?}: {error:?}");
        assert_eq!(error.status().unwrap(), 200);
        let parsed = !matches!(
            malformed,
            Malformed::Html
                | Malformed::TruncatedJson
                | Malformed::EmptyBody
                | Malformed::EndlessBody
        );
        assert_eq!(error.trace_id().is_some(), parsed, "{malformed:?}");
    }
    world.moojo.send_verification_code(&phone()).await.unwrap();
    let absent = FaultKind::Malformed(Malformed::ExpiryAbsent);
    world.sim.inject(Fault::on(AUTHENTICATE).kind(absent));
    let login = world.moojo.authenticate(&phone(), &world.code()).await.unwrap();
    assert_eq!(login.expires_at(), at(NOW) + TimeDelta::hours(2));
}

#[tokio::test]
async fn rule_4_a_server_with_a_wrong_clock_changes_nothing() {
    for hours in [-3, 3] {
        let world = world().await;
        world.flow.send_code(&alice(), &phone()).await.unwrap();
        let fault = FaultKind::WrongDate(TimeDelta::hours(hours));
        world.sim.inject(Fault::on(AUTHENTICATE).kind(fault));
        let session = world.flow.verify(&alice(), &world.code()).await.unwrap();
        let early = at(NOW) + TimeDelta::hours(2) - session.expires_at();
        assert!(early >= TimeDelta::zero() && early < TimeDelta::seconds(1), "{early}");
    }
}

#[tokio::test]
async fn rule_8_a_lost_answer_is_one_sms_and_its_code_is_good() {
    for fault in [FaultKind::AnswerLost, FaultKind::CutDuringAnswer] {
        let world = world().await;
        world.sim.inject(Fault::on(SEND).kind(fault));
        let error = world.flow.send_code(&alice(), &phone()).await.unwrap_err();
        assert!(matches!(error, LoginError::SendUnknown { .. }), "{error:?}");
        assert_eq!(world.sim.requests_to(SEND).len(), 1);
        assert_eq!(world.sim.sms_count(), 1);
        world.flow.verify(&alice(), &world.code()).await.unwrap();
    }
}

#[tokio::test]
async fn rule_8_nothing_is_sent_twice_whatever_goes_wrong() {
    let world = world().await;
    let retry_after = Duration::from_secs(60);
    for (n, fault) in [
        FaultKind::CutBeforeAnswer,
        FaultKind::Status(500),
        FaultKind::Status(503),
        FaultKind::RateLimited { retry_after },
        FaultKind::Redirect { status: 307, location: format!("{}{SEND}", world.sim.base_url()) },
    ]
    .into_iter()
    .enumerate()
    {
        world.sim.inject(Fault::on(SEND).kind(fault));
        world.moojo.send_verification_code(&phone()).await.unwrap_err();
        assert_eq!(world.sim.requests_to(SEND).len(), n + 1);
    }
    assert_eq!(world.sim.sms_count(), 0);
}

#[tokio::test]
async fn rule_8_a_connection_closed_after_an_answer_does_no_harm() {
    let world = world().await;
    world.sim.inject(Fault::on(SEND).times(3).kind(FaultKind::CutAfterAnswer));
    for n in 1..=4 {
        world.moojo.send_verification_code(&phone()).await.unwrap();
        assert_eq!(world.sim.sms_count(), n);
    }
}

#[tokio::test]
async fn rule_8_a_server_that_is_down_leaves_no_trace() {
    let world = world().await;
    world.sim.shutdown().await;
    let flow = world.flow.clone();
    let send = tokio::spawn(async move { flow.send_code(&alice(), &phone()).await });
    while !send.is_finished() {
        world.clock.advance(Duration::from_millis(50));
        tokio::task::yield_now().await;
    }
    let error = send.await.unwrap().unwrap_err();
    let LoginError::Moojo { source: MoojoError::NotSent { attempts: 3, .. }, .. } = error else {
        panic!("{error:?}")
    };
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_9_a_thousand_submits_are_one_request() {
    let world = world().await;
    world.flow.send_code(&alice(), &phone()).await.unwrap();
    let code = world.code();
    let frozen = world.sim.inject(Fault::on(AUTHENTICATE).kind(FaultKind::Freeze));
    let mut submits = Vec::new();
    for _ in 0..1000 {
        let (flow, code) = (world.flow.clone(), code.clone());
        submits.push(tokio::spawn(async move { flow.verify(&alice(), &code).await }));
    }
    world.sim.wait_for_requests(2).await;
    for submit in submits.iter().step_by(2) {
        submit.abort();
    }
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    frozen.remove();
    let mut sessions = Vec::new();
    for submit in submits {
        match submit.await {
            Ok(Ok(session)) => sessions.push(session),
            // Its task was not polled before all was over.
            Ok(Err(LoginError::CodeAlreadyUsed { .. })) => {}
            Ok(Err(error)) => panic!("{error:?}"),
            Err(aborted) => assert!(aborted.is_cancelled()),
        }
    }
    assert!(!sessions.is_empty());
    assert!(sessions.iter().all(|session| *session == sessions[0]));
    assert_eq!(world.sim.requests_to(AUTHENTICATE).len(), 1);
}
