//! Tokens: whose call it was, and when they end.

mod support;

use std::time::Duration;

use moojo_sim::MoojoSim;
use serde_json::json;
use support::*;

#[tokio::test]
async fn user_scoped_calls_have_the_documented_shapes_and_say_whose_token_it_was() {
    let (sim, _clock) = sim().await;
    let token = log_in(&sim, PHONE).await;
    let user = sim.user_of(&token).expect("a user");

    let list = post_as(&sim, LIST, &token).await;
    assert_eq!(list.status, 200);
    assert_eq!(list.header("x-sim-user"), Some(user.as_str()));
    let credential = &list.json()["data"]["credentials"][0];
    assert_eq!(credential["slug"], "groceries-expenses");
    assert_eq!(credential["fields"], json!({ "monthly-spend": 300, "currency": "USD" }));
    assert_eq!(credential["createdAt"], json!(1_739_711_572_555_i64));
    for name in ["id", "definitionId", "attesterAddress"] {
        assert!(credential[name].as_str().is_some_and(|value| value.starts_with("0x")), "{name}");
    }
    let recipient = credential["recipientAddress"].as_str().map(str::to_owned);
    assert_eq!(recipient, sim.recipient_address(PHONE));
    sim.login("+15550000002");
    assert_ne!(recipient, sim.recipient_address("+15550000002"));

    let score = post_as(&sim, SCORE, &token).await;
    assert_eq!(score.header("x-sim-user"), Some(user.as_str()));
    assert!(score.text().ends_with(r#""data":{"score":0.8}}"#), "{}", score.text());
}

#[tokio::test]
async fn a_token_ends_two_hours_after_by_the_clock() {
    let (sim, clock) = sim().await;
    let token = log_in(&sim, PHONE).await;
    clock.advance(Duration::from_secs(7199));
    assert_eq!(post_as(&sim, LIST, &token).await.status, 200);
    clock.advance(Duration::from_secs(1));
    let refused = post_as(&sim, LIST, &token).await;
    assert_eq!((refused.status, refused.error().as_str()), (401, "tokenInvalid"));
    assert_eq!(refused.header("www-authenticate"), Some("Bearer error=\"invalid_token\""));
    assert_eq!(refused.json()["traceId"].as_str().map(str::len), Some(36));
    assert_eq!(refused.header("x-sim-user"), None);
    assert!(sim.user_of(&token).is_some(), "whose it was can still be told");
}

/// Headers, and the status and the error that they lead to.
type Case<'a> = (&'a [(&'a str, &'a str)], u16, &'a str);

#[tokio::test]
async fn both_headers_are_needed() {
    let (sim, _clock) = sim().await;
    let token = log_in(&sim, PHONE).await;
    let bearer = format!("Bearer {token}");
    let lower = format!("bearer {token}");
    let basic = format!("Basic {token}");
    let key = ("x-api-key", sim.api_key());
    let cases: [Case<'_>; 7] = [
        (&[("authorization", &bearer)], 401, "apiKeyMissing"),
        (&[("authorization", &bearer), ("x-api-key", "wrong")], 403, "apiKeyInvalid"),
        (&[key], 401, "tokenMissing"),
        (&[key, ("authorization", &basic)], 401, "tokenInvalid"),
        (&[key, ("authorization", &token)], 401, "tokenInvalid"),
        (&[key, ("authorization", "Bearer 0123")], 401, "tokenInvalid"),
        (&[key, ("authorization", &bearer), ("authorization", &bearer)], 401, "tokenInvalid"),
    ];
    for (headers, status, code) in cases {
        for path in [LIST, SCORE] {
            let answer = exchange(&sim, request(path, headers, "")).await.expect("an answer");
            assert_eq!((answer.status, answer.error().as_str()), (status, code));
        }
    }
    let text = request(LIST, &[key, ("authorization", &lower)], "");
    assert_eq!(exchange(&sim, text).await.expect("an answer").status, 200);
}

#[tokio::test]
async fn a_revoked_token_is_refused_and_no_other_one() {
    let (sim, _clock) = sim().await;
    let (first, second) = (sim.login(PHONE), sim.login(PHONE));
    let other = sim.login("+15550000002");
    assert!(sim.revoke_token(&first.token));
    assert!(!sim.revoke_token(&first.token), "it is no longer live");
    assert!(!sim.revoke_token("unknown"));
    assert_eq!(post_as(&sim, LIST, &first.token).await.status, 401);
    assert_eq!(post_as(&sim, LIST, &second.token).await.status, 200);

    assert_eq!(sim.revoke_user("+1 555 987 6543"), 1);
    assert_eq!(sim.revoke_user("+15550000003"), 0);
    assert_eq!(post_as(&sim, LIST, &second.token).await.status, 401);
    assert_eq!(post_as(&sim, LIST, &other.token).await.status, 200);
    let later = log_in(&sim, PHONE).await;
    assert_eq!(post_as(&sim, LIST, &later).await.status, 200);
}

#[tokio::test]
async fn a_new_login_ends_older_tokens_if_told_so() {
    let sim = MoojoSim::builder().new_login_ends_older(true).start().await.expect("a port");
    let older = log_in(&sim, PHONE).await;
    let newer = log_in(&sim, PHONE).await;
    assert_eq!(post_as(&sim, LIST, &older).await.status, 401);
    assert_eq!(post_as(&sim, LIST, &newer).await.status, 200);
}

#[tokio::test]
async fn over_http_a_token_or_a_user_can_be_revoked() {
    let (sim, _clock) = sim().await;
    let token = log_in(&sim, PHONE).await;
    let revoke = async |body| post(&sim, "/sim/revoke", &body).await;
    assert_eq!(revoke(json!({ "token": token })).await.json(), json!({ "revoked": 1 }));
    assert_eq!(revoke(json!({ "phone": PHONE })).await.json(), json!({ "revoked": 0 }));
    assert_eq!(post_as(&sim, LIST, &token).await.status, 401);
    for nonsense in [json!({}), json!({ "token": 1 }), json!({ "token": "", "phone": "" })] {
        assert_eq!(revoke(nonsense).await.status, 400);
    }
    let untyped = exchange(&sim, request("/sim/revoke", &[], "{}")).await.expect("an answer");
    assert_eq!(untyped.status, 415);
}
