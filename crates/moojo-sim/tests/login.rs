//! The login: codes, their life, and what comes back for a good one.

mod support;

use std::time::Duration;

use http::StatusCode;
use moojo_session::ManualClock;
use moojo_sim::MoojoSim;
use serde_json::{Value, json};
use support::*;

#[tokio::test]
async fn the_documented_login_goes_through_with_the_documented_shapes() {
    let (sim, _clock) = sim().await;
    let sent = post(&sim, SEND, &json!({ "phoneNumber": "+1(555)987-6543" })).await;
    assert_eq!(sent.status, 200);
    assert_eq!(sent.header("content-type"), Some("application/json"));
    assert!(sent.text().starts_with(r#"{"status":"success","traceId":""#), "{}", sent.text());
    assert_eq!(sent.json()["traceId"].as_str().map(str::len), Some(36));
    let verification_id = sent.data("verificationId");
    assert_eq!(verification_id.len(), 54);

    let [message] = sim.inbox("+15559876543").try_into().expect("one message, by its digits");
    assert_eq!(message.to, "+1(555)987-6543");
    assert_eq!(message.verification_id, verification_id);
    assert_eq!(message.code.len(), 6);
    assert!(message.text.contains(&message.code));
    assert_eq!(sim.sms_count(), 1);

    // The id is no part of the second call, and another way to write the number is the same number.
    let answer = submit(&sim, "+1 555 987 6543", &message.code).await;
    assert_eq!(answer.status, 200);
    let token = answer.data("token");
    assert!(token.len() == 64 && token.bytes().all(|byte| byte.is_ascii_hexdigit()));
    assert_eq!(answer.data("expiresAtIso8601"), "2025-02-16T15:12:52.555Z");
    assert_eq!(answer.data("publicUserId").len(), 36);
    assert_eq!(answer.data("publicKey").len(), "0x0288f8935f7669832d".len() + 48);
    assert_eq!(answer.header("x-sim-user"), Some(answer.data("publicUserId").as_str()));
    assert_eq!(sim.user_of(&token), Some(answer.data("publicUserId")));
    assert_eq!(sim.public_user_id(PHONE), Some(answer.data("publicUserId")));
}

#[tokio::test]
async fn a_person_is_the_same_user_at_every_login_and_never_another_one() {
    let (sim, _clock) = sim().await;
    let first = log_in(&sim, "+15550000001").await;
    let again = log_in(&sim, "+15550000001").await;
    let other = log_in(&sim, "+15550000002").await;
    assert_ne!(first, again);
    assert_eq!(sim.user_of(&first), sim.user_of(&again));
    assert_ne!(sim.user_of(&first), sim.user_of(&other));
    // Assumption: the older token lives on.
    assert!(sim.is_live(&first) && sim.is_live(&again));
}

#[tokio::test]
async fn a_code_works_once() {
    let (sim, _clock) = sim().await;
    let code = send_code(&sim, PHONE).await;
    assert_eq!(submit(&sim, PHONE, &code).await.status, 200);
    let again = submit(&sim, PHONE, &code).await;
    assert_eq!((again.status, again.error().as_str()), (400, "verificationCodeUnknown"));
}

#[tokio::test]
async fn a_code_is_good_for_its_number_only() {
    let (sim, _clock) = sim().await;
    let code = send_code(&sim, "+15550000001").await;
    let refused = submit(&sim, "+15550000002", &code).await;
    assert_eq!(refused.error(), "verificationCodeUnknown");
    assert_eq!(submit(&sim, "+15550000001", &code).await.status, 200);
}

#[tokio::test]
async fn a_code_ends_after_ten_minutes_of_the_clock() {
    let (sim, clock) = sim().await;
    let code = send_code(&sim, PHONE).await;
    clock.advance(Duration::from_secs(600));
    assert_eq!(submit(&sim, PHONE, &code).await.error(), "verificationCodeExpired");

    let code = send_code(&sim, PHONE).await;
    clock.advance(Duration::from_secs(599));
    assert_eq!(submit(&sim, PHONE, &code).await.status, 200);
}

#[tokio::test]
async fn five_wrong_attempts_lock_the_code_until_a_new_one_is_sent() {
    let (sim, _clock) = sim().await;
    let code = send_code(&sim, PHONE).await;
    for _ in 0..5 {
        let refused = submit(&sim, PHONE, other_than(&code)).await;
        assert_eq!((refused.status, refused.error().as_str()), (400, "verificationCodeWrong"));
    }
    assert_eq!(submit(&sim, PHONE, &code).await.error(), "verificationCodeLocked");
    let code = send_code(&sim, PHONE).await;
    assert_eq!(submit(&sim, PHONE, &code).await.status, 200);
}

#[tokio::test]
async fn a_new_code_ends_the_older_one_unless_told_otherwise() {
    let (strict, _clock) = sim().await;
    let lenient = MoojoSim::builder().new_code_ends_older(false).start().await.expect("a port");
    for (sim, older_works) in [(strict, false), (lenient, true)] {
        let older = send_code(&sim, PHONE).await;
        let newer = loop {
            // Two codes of six digits are the same once in a million.
            let newer = send_code(&sim, PHONE).await;
            if newer != older {
                break newer;
            }
        };
        assert_eq!(submit(&sim, PHONE, &older).await.status == 200, older_works);
        assert_eq!(submit(&sim, PHONE, &newer).await.status, 200);
    }
}

#[tokio::test]
async fn a_firebase_jwt_is_one_opaque_user_unless_linked_or_refused() {
    let (sim, _clock) = sim().await;
    let log_in = async |jwt: &str| {
        let answer = post(&sim, AUTH, &json!({ "idType": "firebaseJwt", "id": jwt })).await;
        (answer.status, answer.json()["data"]["publicUserId"].as_str().map(str::to_owned))
    };
    let (status, user) = log_in("eyJhbGciOiJSUzI1NiIsImtpZCI6").await;
    assert_eq!(status, 200);
    assert_eq!(log_in("eyJhbGciOiJSUzI1NiIsImtpZCI6").await.1, user);
    assert_ne!(log_in("another").await.1, user);

    sim.link_jwt("linked", PHONE);
    let (_, linked) = log_in("linked").await;
    assert_eq!(linked, sim.public_user_id(PHONE));
    sim.refuse_jwt("linked");
    assert_eq!(log_in("linked").await, (400, None));
}

#[tokio::test]
async fn the_key_is_checked_first() {
    let sim = MoojoSim::builder()
        .api_key("right")
        .wrong_key_status(StatusCode::UNAUTHORIZED)
        .start()
        .await
        .expect("a port");
    let with = async |keys: &[&str]| {
        let mut headers = vec![("content-type", "application/json")];
        headers.extend(keys.iter().map(|key| ("x-api-key", *key)));
        let text = request(SEND, &headers, &phone_body(PHONE).to_string());
        let answer = exchange(&sim, text).await.expect("an answer");
        (answer.status, answer.json()["error"]["code"].as_str().map(str::to_owned))
    };
    assert_eq!(with(&[]).await, (401, Some("apiKeyMissing".to_owned())));
    assert_eq!(with(&["wrong"]).await, (401, Some("apiKeyInvalid".to_owned())));
    assert_eq!(with(&["right", "right"]).await, (401, Some("apiKeyInvalid".to_owned())));
    assert_eq!(sim.sms_count(), 0);
    assert_eq!(with(&["right"]).await, (200, None));
    assert_eq!(sim.sms_count(), 1);
}

#[tokio::test]
async fn requests_that_make_no_sense_are_refused_and_never_a_panic() {
    let (sim, _clock) = sim().await;
    let key = ("x-api-key", sim.api_key());
    let json_type = ("content-type", "application/json; charset=utf-8");
    let bodies = [
        "",
        "{",
        "[]",
        "null",
        "7",
        "\"x\"",
        "\u{0}",
        r#"{"phoneNumber":1}"#,
        r#"{"phoneNumber":""}"#,
        r#"{"phoneNumber":"no digits"}"#,
        r#"{"phoneNumber":"1234567890123456"}"#,
        r#"{"idType":"other"}"#,
        r#"{"idType":"firebaseJwt","id":""}"#,
        r#"{"idType":"smsVerificationCode"}"#,
    ];
    for path in [SEND, AUTH] {
        for body in bodies {
            let answer = exchange(&sim, request(path, &[json_type, key], body)).await;
            let answer = answer.expect("an answer");
            assert_eq!((answer.status, answer.error().as_str()), (400, "requestInvalid"), "{body}");
            assert_eq!(answer.json()["status"], Value::from("error"));
            assert!(answer.json()["traceId"].is_string());
        }
        let untyped = exchange(&sim, request(path, &[key], "{}")).await.expect("an answer");
        assert_eq!((untyped.status, untyped.error().as_str()), (415, "contentTypeUnsupported"));
    }
    assert_eq!(get(&sim, AUTH).await.status, 405);
    assert_eq!(get(&sim, "/nowhere").await.error(), "notFound");
    assert_eq!(get(&sim, "/%00%ff/../..?%zz").await.status, 404);

    let too_large = "x".repeat(64 * 1024 + 1);
    let answer = exchange(&sim, request(SEND, &[json_type, key], &too_large)).await;
    assert_eq!(answer.expect("an answer").error(), "requestTooLarge");
    assert_eq!(sim.sms_count(), 0);
}

#[tokio::test]
async fn odd_http_gets_an_answer_too() {
    let (sim, _clock) = sim().await;
    let odd = [
        "OPTIONS * HTTP/1.1\r\nhost: sim\r\n\r\n",
        "CONNECT sim:80 HTTP/1.1\r\nhost: sim:80\r\n\r\n",
        "GET http://elsewhere/user HTTP/1.1\r\nhost: elsewhere\r\n\r\n",
        "POST /user/authenticate HTTP/1.0\r\n\r\n",
        "BREW / HTTP/1.1\r\nhost: sim\r\n\r\n",
        "POST /user/authenticate HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET /sim/phone?phone=%ff%fe HTTP/1.1\r\n\r\n",
        "GET // HTTP/1.1\r\nx-api-key: \u{ff}\r\nauthorization: \u{ff}\r\n\r\n",
        "no http at all\r\n\r\n",
    ];
    for text in odd {
        assert!(exchange(&sim, text).await.is_some(), "{text}");
    }
    assert_eq!(get(&sim, "/sim/inbox").await.status, 200);
}

#[tokio::test]
async fn one_seed_gives_one_run() {
    let run = async || {
        let clock = ManualClock::new("2025-02-16T13:12:52.555Z".parse().expect("a literal time"));
        let sim = MoojoSim::builder().clock(clock).seed(42).start().await.expect("a port");
        (send_code(&sim, PHONE).await, log_in(&sim, PHONE).await)
    };
    assert_eq!(run().await, run().await);
    let (one, other) = (sim().await.0, sim().await.0);
    assert_ne!(log_in(&one, PHONE).await, log_in(&other, PHONE).await);
}
