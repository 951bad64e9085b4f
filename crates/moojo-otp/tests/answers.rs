//! What the client makes of answers, documented or not.

mod common;

use std::time::Duration;

use chrono::TimeDelta;
use common::{
    AUTHENTICATE, Fake, NOW, SEND, TOKEN, TRACE, alice, answer, answer_with, at, builder, clock,
    cut, not_sent, phone, refused, shown,
};
use moojo_otp::{
    Answer, Authentication, Classify, DefaultClassifier, Endpoint, FirebaseJwt, Malformation,
    MoojoError, PhoneFormat, Verdict, VerificationCode,
};
use moojo_session::{Clock, ManualClock};

fn code() -> VerificationCode {
    VerificationCode::new("133575").unwrap()
}

/// The login that an answer makes, with the clock at [`NOW`].
async fn login(outcome: common::Outcome) -> Result<Authentication, MoojoError> {
    let fake = Fake::new();
    fake.then(outcome);
    builder(&fake, &clock()).build().unwrap().authenticate(&phone(), &code()).await
}

async fn login_with(data: &str) -> Result<Authentication, MoojoError> {
    let body = format!(r#"{{"status":"success","traceId":"{TRACE}","data":{data}}}"#);
    login(answer(200, &body)).await
}

fn malformation(result: Result<Authentication, MoojoError>) -> Malformation {
    match result.unwrap_err() {
        MoojoError::Malformed { what, .. } => what,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn errors_are_told_apart_and_carry_what_helps() {
    for (status, is) in [
        (401, "ApiKeyRefused"),
        (403, "ApiKeyRefused"),
        (400, "Refused"),
        (404, "Refused"),
        (422, "Refused"),
        (429, "RateLimited"),
        (500, "Server"),
        (503, "Server"),
        (302, "Malformed"),
        (413, "Malformed"),
    ] {
        let error = login(refused(status)).await.unwrap_err();
        assert!(format!("{error:?}").starts_with(is), "{status}: {error:?}");
        assert_eq!(error.status().unwrap(), status);
        assert_eq!(error.trace_id(), Some(TRACE));
        let text = error.to_string();
        assert!(text.contains(TRACE) && text.contains("application/json of 67 bytes"), "{text}");
        assert_eq!(error.may_have_worked(), is == "Server" || is == "Malformed");
    }
}

#[tokio::test]
async fn retry_after_comes_with_429() {
    let limited = |value| async move {
        let date = ("date", "Sun, 16 Feb 2025 13:00:00 GMT");
        match login(answer_with(429, &[("retry-after", value), date], b"")).await.unwrap_err() {
            MoojoError::RateLimited { retry_after, .. } => retry_after,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(limited("30").await, Some(Duration::from_secs(30)));
    assert_eq!(limited("Sun, 16 Feb 2025 13:01:00 GMT").await, Some(Duration::from_secs(60)));
    assert_eq!(limited("a while").await, None);
}

#[tokio::test]
async fn answers_that_are_not_as_documented_are_named() {
    let envelope = |status| format!(r#"{{"status":"{status}","traceId":"{TRACE}"}}"#);
    let json = ("content-type", "application/json");
    let html = ("content-type", "text/html; charset=utf-8");
    for (headers, body, what) in [
        (html, "<html>".to_owned(), Malformation::WrongContentType),
        (("content-type", "text/plain"), envelope("success"), Malformation::WrongContentType),
        (json, envelope("failure"), Malformation::NotSuccess),
        (json, "{}".to_owned(), Malformation::NotSuccess),
        (json, "[]".to_owned(), Malformation::NotSuccess),
        (json, envelope("success"), Malformation::Missing { field: "data" }),
        (json, "{\n \"status\":\"suc".to_owned(), Malformation::NotJson { line: 2, column: 14 }),
        (json, String::new(), Malformation::NotJson { line: 1, column: 0 }),
        (json, "[".repeat(60_000), Malformation::NotJson { line: 1, column: 128 }),
        (json, "x".repeat(65_537), Malformation::BodyTooLarge { limit: 65_536 }),
    ] {
        assert_eq!(malformation(login(answer_with(200, &[headers], body.as_bytes())).await), what);
    }
    for (data, what) in [
        ("null", Malformation::Missing { field: "data" }),
        ("[1]", Malformation::Missing { field: "data" }),
        ("{}", Malformation::Missing { field: "token" }),
        (r#"{"token":7}"#, Malformation::Missing { field: "token" }),
        (r#"{"token":"a","expiresAtIso8601":7}"#, Malformation::BadExpiry),
        (r#"{"token":"a","expiresAtIso8601":"soon"}"#, Malformation::BadExpiry),
        (r#"{"token":"a","expiresAtIso8601":"9999-01-01T00:00:00Z"}"#, Malformation::BadExpiry),
        (
            r#"{"token":"a","expiresAtIso8601":"2025-02-16T15:12:52.555"}"#,
            Malformation::ExpiryWithoutZone,
        ),
        (
            r#"{"token":"a","expiresAtIso8601":"2025-02-16T13:12:52.555Z"}"#,
            Malformation::AlreadyExpired,
        ),
    ] {
        assert_eq!(malformation(login_with(data).await), what, "{data}");
    }
    for token in [r"line\nfeed", "two words", "", r"nul\u0000"] {
        let unusable = malformation(login_with(&format!(r#"{{"token":"{token}"}}"#)).await);
        assert!(matches!(unusable, Malformation::UnusableToken(_)), "{unusable:?}");
    }
}

#[tokio::test]
async fn what_may_be_otherwise_is_taken_as_it_comes() {
    let long = "x".repeat(5000);
    let data = format!(
        r#"{{"token":"{TOKEN}","new":[1],"publicUserId":"{long}","publicKey":7,"x":null}}"#
    );
    let login = login_with(&data).await.unwrap();
    assert_eq!(login.public_key(), None);
    assert_eq!(login.public_user_id(), Some(long.as_str()));
    // Too long for a session: left out.
    assert_eq!(login.into_session(alice()).public_user_id(), None);

    let body = br#"{"status":"success","traceId":["no uuid"],"data":null}"#;
    for headers in [&[][..], &[("content-type", "application/vnd.moojo.v2+json")]] {
        let fake = Fake::new();
        fake.then(answer_with(201, headers, body));
        let moojo = builder(&fake, &clock()).build().unwrap();
        let sent = moojo.send_verification_code(&phone()).await.unwrap();
        assert_eq!((sent.verification_id(), sent.trace_id()), (None, None));
    }
}

#[tokio::test]
async fn rule_4_without_an_end_it_is_two_hours() {
    let login = login_with(&format!(r#"{{"token":"{TOKEN}"}}"#)).await.unwrap();
    assert_eq!(login.expires_at(), at(NOW) + TimeDelta::hours(2));
    assert_eq!(login.issued_at(), at(NOW));
}

#[tokio::test]
async fn rule_4_a_skew_in_the_date_header_is_corrected() {
    // The server is ten minutes ahead: its 15:22 is 15:12 here.
    let ahead = |date| {
        let data =
            format!(r#"{{"token":"{TOKEN}","expiresAtIso8601":"2025-02-16T15:22:52.555Z"}}"#);
        let body = format!(r#"{{"status":"success","data":{data}}}"#);
        login(answer_with(200, date, body.as_bytes()))
    };
    let login = ahead(&[("date", "Sun, 16 Feb 2025 13:22:52 GMT")]).await.unwrap();
    let truth = at("2025-02-16T15:12:52.555Z");
    assert!(login.expires_at() <= truth);
    assert!(truth - login.expires_at() <= TimeDelta::seconds(1));
    let without = ahead(&[("date", "yesterday")]).await.unwrap();
    assert_eq!(without.expires_at(), at("2025-02-16T15:22:52.555Z"));
}

#[tokio::test]
async fn rule_4_the_time_of_the_call_is_not_added_to_the_token() {
    let (fake, clock) = (Fake::new(), clock());
    fake.hold();
    let moojo = builder(&fake, &clock).build().unwrap();
    let call = tokio::spawn(async move { moojo.authenticate(&phone(), &code()).await });
    fake.wait_for(1).await;
    clock.advance(Duration::from_secs(9));
    fake.release();
    let login = call.await.unwrap().unwrap();
    assert_eq!(login.expires_at(), at(NOW) + TimeDelta::hours(2));
}

#[tokio::test]
async fn rule_8_only_what_was_certainly_not_sent_is_tried_again() {
    let (fake, clock) = (Fake::new(), clock());
    let moojo = builder(&fake, &clock).retries(2).build().unwrap();
    let call = |moojo: moojo_otp::MoojoClient, clock: ManualClock| async move {
        let call = tokio::spawn(async move { moojo.send_verification_code(&phone()).await });
        while !call.is_finished() {
            clock.advance(Duration::from_millis(50));
            tokio::task::yield_now().await;
        }
        call.await.unwrap()
    };
    fake.then(not_sent()).then(not_sent());
    call(moojo.clone(), clock.clone()).await.unwrap();
    assert_eq!(fake.requests().len(), 3);

    fake.then(not_sent()).then(not_sent()).then(not_sent());
    let error = call(moojo.clone(), clock.clone()).await.unwrap_err();
    assert!(matches!(error, MoojoError::NotSent { attempts: 3, .. }), "{error:?}");
    assert_eq!(fake.requests().len(), 6);

    for (n, outcome) in [cut(), refused(500), refused(429), answer(200, "")].into_iter().enumerate()
    {
        fake.then(outcome);
        call(moojo.clone(), clock.clone()).await.unwrap_err();
        assert_eq!(fake.requests().len(), 7 + n);
    }
}

#[tokio::test]
async fn rule_10_a_call_has_a_deadline() {
    let (fake, clock) = (Fake::new(), clock());
    fake.hold();
    let moojo = builder(&fake, &clock).timeout(Duration::from_secs(7)).build().unwrap();
    let call = tokio::spawn(async move { moojo.send_verification_code(&phone()).await });
    fake.wait_for(1).await;
    clock.advance(Duration::from_millis(6999));
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(!call.is_finished());
    clock.advance(Duration::from_millis(1));
    let error = call.await.unwrap().unwrap_err();
    assert!(matches!(error, MoojoError::OutcomeUnknown { .. }), "{error:?}");
    assert!(shown(&error).contains("7s"));
    assert_eq!(clock.now(), at(NOW) + TimeDelta::seconds(7));
}

#[tokio::test]
async fn numbers_go_out_in_e164_unless_told_otherwise() {
    for (format, written) in
        [(PhoneFormat::E164, "+15559876543"), (PhoneFormat::AsTyped, "+1(555)987-6543")]
    {
        let fake = Fake::new();
        let moojo = builder(&fake, &clock()).phone_format(format).max_body_bytes(1000);
        let moojo = moojo.build().unwrap();
        moojo.send_verification_code(&phone()).await.unwrap();
        moojo.authenticate(&phone(), &code()).await.unwrap();
        moojo.authenticate_with_jwt(&FirebaseJwt::new("jwt").unwrap()).await.unwrap();
        let paths = [SEND, AUTHENTICATE, AUTHENTICATE];
        for (n, (path, body)) in fake.requests().into_iter().enumerate() {
            assert_eq!(path, paths[n]);
            assert_eq!(body.contains(written), n < 2, "{body}");
        }
        assert_eq!(fake.max_body_bytes(), 1000);
    }
}

#[tokio::test]
async fn the_classifier_can_be_replaced() {
    #[derive(Debug)]
    struct Mine;
    impl Classify for Mine {
        fn classify(&self, answer: &Answer<'_>) -> Verdict {
            assert_eq!(answer.endpoint(), Endpoint::AuthenticateWithCode);
            assert_eq!(answer.envelope_status(), Some("error"));
            assert!(answer.headers().contains_key("content-type") && !answer.body().is_empty());
            match answer.status().as_u16() {
                401 => Verdict::Refused,
                _ => DefaultClassifier.classify(answer),
            }
        }
    }
    let fake = Fake::new();
    fake.then(refused(401)).then(refused(403));
    let moojo = builder(&fake, &clock()).classifier(Mine).build().unwrap();
    let error = moojo.authenticate(&phone(), &code()).await.unwrap_err();
    assert!(matches!(error, MoojoError::Refused { .. }));
    let error = moojo.authenticate(&phone(), &code()).await.unwrap_err();
    assert!(matches!(error, MoojoError::ApiKeyRefused { .. }));
}
