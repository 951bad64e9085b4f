//! What the simulator remembers: requests and messages.

mod support;

use http::{Method, StatusCode};
use moojo_sim::{MoojoSim, SimError};
use support::*;

#[tokio::test]
async fn every_request_is_recorded_in_order_with_its_answer() {
    let (sim, clock) = sim().await;
    let token = log_in(&sim, PHONE).await;
    let user = sim.user_of(&token);
    let refused = post_as(&sim, LIST, "0123").await;
    let text = user_call(&sim, &format!("{LIST}?page=2"), &token);
    assert_eq!(exchange(&sim, text).await.expect("an answer").status, 200);

    let requests = sim.requests();
    let seen: Vec<_> = requests.iter().map(|seen| (seen.path.as_str(), seen.status)).collect();
    let ok = Some(StatusCode::OK);
    let expected = [(SEND, ok), (AUTH, ok), (LIST, Some(StatusCode::UNAUTHORIZED)), (LIST, ok)];
    assert_eq!(seen, expected);

    let [sent, login, wrong, last] = requests.try_into().expect("four requests");
    assert_eq!(sent.method, Method::POST);
    assert_eq!(sent.json(), Some(phone_body(PHONE)));
    assert_eq!(sent.headers["x-api-key"], sim.api_key());
    assert_eq!(sent.headers["content-type"], "application/json");
    assert_eq!(sent.bearer(), None);
    assert_eq!(sent.at, moojo_session::Clock::now(&clock));
    assert_eq!((sent.user, login.user), (None, user.clone()));
    assert_eq!((wrong.bearer(), wrong.user.as_ref()), (Some("0123"), None));
    assert_eq!(refused.json()["traceId"], wrong.trace_id.as_str());
    assert_eq!((last.bearer(), last.query.as_deref()), (Some(token.as_str()), Some("page=2")));
    assert_eq!(last.user, user);

    assert_eq!(sim.requests_to(LIST).len(), 2);
    sim.clear_requests();
    assert!(sim.requests().is_empty());
}

#[tokio::test]
async fn the_record_is_bounded() {
    let sim = MoojoSim::builder().record_limit(2).start().await.expect("a port");
    for last in 1..=3 {
        send_code(&sim, &format!("+1555000000{last}")).await;
    }
    assert_eq!(sim.requests().len(), 2);
    assert_eq!((sim.messages().len(), sim.sms_count()), (2, 3));
    assert!(sim.inbox("+15550000001").is_empty());
}

#[tokio::test]
async fn rule_13_nothing_secret_is_in_any_debug_or_in_the_record_over_http() {
    let (sim, _clock) = sim().await;
    let issued = sim.login(PHONE);
    let code = send_code(&sim, PHONE).await;
    let token = submit(&sim, PHONE, &code).await.data("token");
    post_as(&sim, LIST, &token).await;
    let over_http = get(&sim, "/sim/requests").await.text();
    assert!(over_http.contains(LIST) && over_http.contains("authorization"), "{over_http}");
    let builder = MoojoSim::builder().api_key("planted-key");
    let shown = format!("{:?}{:?}{:?}{issued:?}{over_http}", sim, sim.requests(), sim.messages());
    for secret in [&token, &issued.token, &code, sim.api_key(), "987-6543", "9876543"] {
        // Six digits can be part of a trace id by chance; as a word of their own they cannot.
        let found = shown
            .split(|character: char| !(character.is_ascii_alphanumeric() || character == '-'))
            .any(|word| word.contains(secret) && (secret.len() > 6 || word == secret));
        assert!(!found, "{secret} in {shown}");
    }
    assert!(!format!("{builder:?}").contains("planted-key"));
}

#[tokio::test]
async fn the_simulators_own_pages_are_not_recorded() {
    let (sim, _clock) = sim().await;
    for path in ["/", "/sim/phone", "/sim/inbox", "/sim/requests"] {
        assert_eq!(get(&sim, path).await.status, 200, "{path}");
    }
    assert_eq!(get(&sim, "/sim/else").await.status, 404);
    assert_eq!(get(&sim, "/sim/revoke").await.status, 405);
    assert!(sim.requests().is_empty());
}

#[tokio::test]
async fn settings_that_cannot_be_are_refused_at_the_start() {
    for key in ["", "line\nbreak"] {
        let refused = MoojoSim::builder().api_key(key).start().await;
        assert!(matches!(refused, Err(SimError::ApiKey)));
    }
    let refused = MoojoSim::builder().wrong_code_status(StatusCode::OK).start().await;
    assert!(matches!(refused, Err(SimError::Status(StatusCode::OK))));

    let sim = MoojoSim::start().await.expect("a port");
    assert_eq!(sim.api_key(), MoojoSim::DEFAULT_API_KEY);
    assert_eq!(sim.base_url(), format!("http://127.0.0.1:{}", sim.addr().port()));
    let taken = MoojoSim::builder().bind(sim.addr()).start().await;
    assert!(matches!(taken, Err(SimError::Bind { addr, .. }) if addr == sim.addr()));
}
