//! Faults that show in an answer that comes whole.

mod support;

use std::time::Duration;

use bytes::Bytes;
use chrono::TimeDelta;
use moojo_sim::{Fault, FaultKind, Malformed, MoojoSim};
use serde_json::{Value, json};
use support::*;

/// A login whose answer has the fault.
async fn malformed(sim: &MoojoSim, malformed: Malformed) -> Answer {
    let code = send_code(sim, PHONE).await;
    sim.inject(Fault::on(AUTH).kind(FaultKind::Malformed(malformed)));
    let answer = submit(sim, PHONE, &code).await;
    // The work was done: the code is used up.
    assert_eq!(submit(sim, PHONE, &code).await.error(), "verificationCodeUnknown");
    answer
}

#[tokio::test]
async fn a_rate_limit_is_429_with_retry_after_and_no_work() {
    let (sim, clock) = sim().await;
    let retry_after = Duration::from_millis(29_001);
    sim.inject(Fault::on(SEND).times(2).kind(FaultKind::RateLimited { retry_after }));
    for _ in 0..2 {
        let answer = post(&sim, SEND, &phone_body(PHONE)).await;
        assert_eq!((answer.status, answer.header("retry-after")), (429, Some("30")));
        assert_eq!(answer.error(), "simulatedFault");
    }
    assert_eq!(sim.sms_count(), 0);
    assert_eq!(post(&sim, SEND, &phone_body(PHONE)).await.status, 200);

    let until = moojo_session::Clock::now(&clock) + TimeDelta::seconds(60);
    sim.inject(Fault::on(SEND).kind(FaultKind::RateLimitedUntil(until)));
    let answer = post(&sim, SEND, &phone_body(PHONE)).await;
    assert_eq!(answer.header("retry-after"), Some("Sun, 16 Feb 2025 13:13:52 GMT"));
}

#[tokio::test]
async fn statuses_redirects_and_bodies_come_as_asked() {
    let (sim, _clock) = sim().await;
    for (asked, came) in [(503, 503), (418, 418), (0, 500), (101, 500), (1000, 500)] {
        sim.inject(Fault::any().kind(FaultKind::Status(asked)));
        let answer = post(&sim, SEND, &phone_body(PHONE)).await;
        assert_eq!((answer.status, answer.error().as_str()), (came, "simulatedFault"));
    }

    let location = "http://elsewhere.invalid/".to_owned();
    sim.inject(Fault::any().kind(FaultKind::Redirect { status: 302, location }));
    let answer = post(&sim, SEND, &phone_body(PHONE)).await;
    assert_eq!(
        (answer.status, answer.header("location")),
        (302, Some("http://elsewhere.invalid/"))
    );

    let body = Bytes::from_static(b"<oops/>");
    let content_type = "application/xml".to_owned();
    sim.inject(Fault::any().kind(FaultKind::Body { status: 207, content_type, body }));
    let answer = post(&sim, SEND, &phone_body(PHONE)).await;
    assert_eq!((answer.status, answer.text().as_str()), (207, "<oops/>"));
    assert_eq!(answer.header("content-type"), Some("application/xml"));
    assert_eq!(sim.sms_count(), 0);
}

#[tokio::test]
async fn any_status_can_be_asked_for() {
    let (sim, _clock) = sim().await;
    for status in 200..1000 {
        sim.inject(Fault::any().kind(FaultKind::Status(status)));
        assert_eq!(post(&sim, SEND, &phone_body(PHONE)).await.status, status);
    }
}

#[tokio::test]
async fn malformed_envelopes() {
    let (sim, _clock) = sim().await;
    let html = malformed(&sim, Malformed::Html).await;
    assert_eq!((html.status, html.header("content-type")), (200, Some("text/html; charset=utf-8")));
    assert!(html.text().starts_with("<!DOCTYPE html>"));

    let truncated = malformed(&sim, Malformed::TruncatedJson).await;
    assert!(truncated.complete, "the length announced is that of what comes");
    assert!(serde_json::from_slice::<Value>(&truncated.body).is_err());
    assert_eq!(truncated.header("content-type"), Some("application/json"));

    let plain = malformed(&sim, Malformed::WrongContentType).await;
    assert_eq!(plain.header("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(plain.data("token").len(), 64);

    let dataless = malformed(&sim, Malformed::MissingData).await;
    assert_eq!(
        dataless.json().as_object().map(|envelope| envelope.contains_key("data")),
        Some(false)
    );
    assert_eq!(dataless.json()["status"], "success");

    let failed = malformed(&sim, Malformed::StatusNotSuccess).await;
    assert_eq!((failed.status, &failed.json()["status"]), (200, &json!("failure")));

    let empty = malformed(&sim, Malformed::EmptyBody).await;
    assert_eq!(
        (empty.status, empty.header("content-length"), empty.body.len()),
        (200, Some("0"), 0)
    );
}

#[tokio::test]
async fn malformed_tokens_and_expiries() {
    let (sim, _clock) = sim().await;
    let token = malformed(&sim, Malformed::BadToken).await.data("token");
    assert!(http::HeaderValue::from_str(&token).is_err());

    let past = malformed(&sim, Malformed::ExpiryInThePast).await;
    assert_eq!(past.data("expiresAtIso8601"), "2025-02-16T12:12:52.555Z");
    assert!(sim.is_live(&past.data("token")));

    let zoneless = malformed(&sim, Malformed::ExpiryWithoutZone).await;
    assert_eq!(zoneless.data("expiresAtIso8601"), "2025-02-16T15:12:52.555");

    let absent = malformed(&sim, Malformed::ExpiryAbsent).await;
    assert_eq!(absent.json()["data"].get("expiresAtIso8601"), None);
    assert_eq!(absent.data("token").len(), 64);

    // Another answer has no token to damage, and stays as it is.
    sim.inject(Fault::on(SEND).kind(FaultKind::Malformed(Malformed::BadToken)));
    assert_eq!(post(&sim, SEND, &phone_body(PHONE)).await.data("verificationId").len(), 54);
}

#[tokio::test]
async fn an_endless_body_goes_on_for_as_long_as_it_is_read() {
    let (sim, _clock) = sim().await;
    sim.inject(Fault::on(SEND).kind(FaultKind::Malformed(Malformed::EndlessBody)));
    let mut wire = Wire::open(&sim).await;
    wire.send(call(&sim, SEND, &phone_body(PHONE))).await.expect("the simulator reads");
    let answer = wire.answer().await.expect("a head");
    assert_eq!(answer.header("transfer-encoding"), Some("chunked"));
    assert!(wire.read_at_least(2 * 1024 * 1024).await >= 2 * 1024 * 1024);
    drop(wire);
    // The simulator goes on serving others meanwhile and afterwards.
    assert_eq!(post(&sim, SEND, &phone_body(PHONE)).await.status, 200);
}

#[tokio::test]
async fn the_date_is_that_of_the_clock_or_wrong_by_as_much_as_asked() {
    let (sim, clock) = sim().await;
    let answer = post(&sim, SEND, &phone_body(PHONE)).await;
    assert_eq!(answer.header("date"), Some("Sun, 16 Feb 2025 13:12:52 GMT"));
    assert_eq!(answer.head.to_lowercase().matches("\r\ndate:").count(), 1);

    let code = send_code(&sim, PHONE).await;
    sim.inject(Fault::on(AUTH).kind(FaultKind::WrongDate(TimeDelta::minutes(-90))));
    let answer = submit(&sim, PHONE, &code).await;
    assert_eq!(answer.header("date"), Some("Sun, 16 Feb 2025 11:42:52 GMT"));
    assert_eq!(answer.data("expiresAtIso8601"), "2025-02-16T13:42:52.555Z");
    // What the server's clock shows does not change when two hours are over.
    let token = answer.data("token");
    clock.advance(Duration::from_secs(7199));
    assert_eq!(post_as(&sim, LIST, &token).await.status, 200);
    clock.advance(Duration::from_secs(1));
    assert_eq!(post_as(&sim, LIST, &token).await.status, 401);

    for extreme in [TimeDelta::MAX, TimeDelta::MIN] {
        sim.inject(Fault::any().kind(FaultKind::WrongDate(extreme)));
        assert_eq!(post(&sim, SEND, &phone_body(PHONE)).await.status, 200);
    }
}

#[tokio::test]
async fn faults_can_be_set_over_http_unless_that_is_switched_off() {
    let (sim, _clock) = sim().await;
    let set = async |body| post(&sim, "/sim/faults", &body).await.status;
    let limited = json!({ "kind": "rateLimited", "seconds": 7, "route": SEND, "times": 2 });
    assert_eq!(set(limited).await, 204);
    let answer = post(&sim, SEND, &phone_body(PHONE)).await;
    assert_eq!((answer.status, answer.header("retry-after")), (429, Some("7")));
    let cleared = exchange(&sim, "DELETE /sim/faults HTTP/1.1\r\nhost: sim\r\n\r\n").await;
    assert_eq!(cleared.expect("an answer").status, 204);
    assert_eq!(post(&sim, SEND, &phone_body(PHONE)).await.status, 200);
    assert_eq!(set(json!({ "kind": "html", "always": true, "skip": 1 })).await, 204);
    assert_eq!(post(&sim, SEND, &phone_body(PHONE)).await.status, 200);
    assert!(post(&sim, SEND, &phone_body(PHONE)).await.text().contains("<html>"));
    assert_eq!(set(json!({ "kind": "unheard of" })).await, 400);
    assert_eq!(set(json!({ "kind": "status" })).await, 400);

    let free = MoojoSim::builder().fault_control(false).start().await.expect("a port");
    assert_eq!(post(&free, "/sim/faults", &json!({ "kind": "html" })).await.status, 404);
}
