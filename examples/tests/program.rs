//! The program of the design: it compiles as it stands there, and does what it says.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use moojo_examples::{Body, http_client};
use moojo_otp::{LoginFlow, MoojoClient, PhoneNumber, VerificationCode};
use moojo_session::{
    AccessToken, ApiKey, Clock, Error, ManualClock, MemoryStore, ReauthReason, Session,
    SessionLayer, SessionManager, UserHandle, UserId,
};
use moojo_sim::MoojoSim;
use tower::ServiceExt;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

#[tokio::test]
async fn the_program_of_the_design() -> Result<(), BoxError> {
    let sim = MoojoSim::start().await?;

    let api_key = ApiKey::new(sim.api_key())?;
    let moojo = MoojoClient::builder(api_key.clone()).base_url(&sim.base_url())?.build()?;
    let sessions = SessionManager::new(MemoryStore::new());
    let login = LoginFlow::new(moojo, sessions.clone());

    let alice = UserId::new("alice")?;
    let phone: PhoneNumber = "+1(555)987-6543".parse()?;
    let _challenge = login.send_code(&alice, &phone).await?;
    let typed = sim.last_code("+1(555)987-6543").ok_or("no SMS")?;
    let session = login.verify(&alice, &VerificationCode::new(&typed)?).await?;
    assert_eq!(session.user(), &alice);
    let _: chrono::DateTime<chrono::Utc> = session.expires_at();

    let client = tower::ServiceBuilder::new()
        .layer(SessionLayer::new(sessions.clone()).api_key(api_key).allow_origin(&sim.base_url())?)
        .service(http_client());

    let url = format!("{}/user/vault/list-credentials", sim.base_url());
    let mut request = http::Request::post(&url).body(Body::new(Bytes::new()))?;
    request.extensions_mut().insert(alice.clone());
    match client.clone().oneshot(request).await {
        Ok(response) => {
            assert_eq!(response.status(), 200);
            let body = response.into_body().collect().await?.to_bytes();
            let answer: serde_json::Value = serde_json::from_slice(&body)?;
            assert_eq!(answer["status"], "success");
        }
        Err(Error::ReauthRequired(signal)) => {
            return Err(format!("{} {:?}", signal.user(), signal.reason()).into());
        }
        Err(other) => return Err(other.into()),
    }

    let handle: UserHandle = sessions.handle(&alice);
    let mut request = http::Request::post(&url).body(Body::new(Bytes::new()))?;
    request.extensions_mut().insert(handle.clone());
    assert_eq!(client.clone().oneshot(request).await?.status(), 200);
    let token = session.access_token();
    for request in sim.requests_to("/user/vault/list-credentials") {
        assert_eq!(request.bearer(), Some(token.expose_secret()));
        assert_eq!(request.headers["x-api-key"], sim.api_key());
    }
    assert_eq!(sim.sms_count(), 1);

    // The simulator ends the token: the refusal is noticed, and nothing goes out after it.
    assert!(sim.revoke_token(token.expose_secret()));
    let mut request = http::Request::post(&url).body(Body::new(Bytes::new()))?;
    request.extensions_mut().insert(handle);
    let before = sim.requests().len();
    for _ in 0..2 {
        match client.clone().oneshot(request.clone()).await {
            Err(Error::ReauthRequired(signal)) => {
                assert_eq!((signal.user(), signal.reason()), (&alice, ReauthReason::Rejected));
            }
            other => return Err(format!("{other:?}").into()),
        }
    }
    assert_eq!(sim.requests().len(), before + 1);
    Ok(())
}

#[tokio::test]
async fn sessions_fed_in_from_elsewhere_on_a_clock_that_tests_move() -> Result<(), BoxError> {
    let now = "2025-02-16T13:12:52.555Z".parse()?;
    let alice = UserId::new("alice")?;
    let session = Session::builder(alice.clone(), AccessToken::new("6c0350a00925b9bb")?)
        .expires_at(now + chrono::TimeDelta::hours(2))
        .public_user_id("a6e8f837-2f6b-478c-a007-82989d000000")
        .public_key("0x0288f8935f76")
        .build()?;
    let clock = ManualClock::new(now);
    let sessions = SessionManager::builder(MemoryStore::new())
        .clock(clock.clone())
        .expiry_margin(Duration::from_secs(30))
        .build();

    sessions.insert(session.clone()).await?;
    assert_eq!(sessions.get(&alice).await?, session);
    sessions.reject(&session).await?;
    assert!(matches!(sessions.get(&alice).await, Err(Error::ReauthRequired(_))));

    let waiting = tokio::spawn({
        let (sessions, alice) = (sessions.clone(), alice.clone());
        async move { sessions.wait(&alice, Duration::from_secs(300)).await }
    });
    let again = Session::builder(alice.clone(), AccessToken::new("7d1461b11036caCC")?)
        .expires_at(clock.now() + chrono::TimeDelta::hours(2))
        .build()?;
    sessions.insert(again.clone()).await?;
    assert_eq!(waiting.await??, again);

    sessions.revoke(&alice).await?;
    assert!(sessions.get(&alice).await.is_err());
    sessions.insert(again).await?;
    clock.advance(Duration::from_secs(7200));
    match sessions.get(&alice).await {
        Err(Error::ReauthRequired(signal)) => assert_eq!(signal.reason(), ReauthReason::Expired),
        other => return Err(format!("{other:?}").into()),
    }
    Ok(())
}
