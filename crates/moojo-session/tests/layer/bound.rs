//! Requests that are bound to a user, and those that are not.

use std::time::Duration;

use http::header::AUTHORIZATION;
use http::{HeaderMap, Request};
use moojo_session::{Error, OnAuthorization, ReauthReason, StoreErrorKind, WithoutUser};
use tower::{Layer, ServiceExt};

use crate::common::{fresh, setup, user};
use crate::{LIST, Server, layer, reason, request};

#[tokio::test]
async fn a_request_goes_out_with_its_users_token_and_the_key() {
    let (sessions, _, clock) = setup();
    let server = Server::default();
    let client = layer(&sessions).layer(server.client());
    for name in ["alice", "bob"] {
        sessions.insert(fresh(&user(name), name, &clock)).await.unwrap();
    }
    for name in ["alice", "bob", "alice"] {
        let response = client.clone().oneshot(request(&user(name))).await.unwrap();
        assert_eq!(response.body(), "answer");
        let (_, headers) = server.arrived.lock().pop().unwrap();
        assert_eq!(headers[AUTHORIZATION], format!("Bearer {name}"));
        assert!(headers[AUTHORIZATION].is_sensitive());
        assert_eq!(headers["x-api-key"], "the-key");
        assert!(headers["x-api-key"].is_sensitive());
        assert_eq!(headers.len(), 2);
    }
}

#[tokio::test]
async fn a_handle_binds_as_well_as_an_id() {
    let (sessions, store, clock) = setup();
    let server = Server::default();
    let client = layer(&sessions).layer(server.client());
    let alice = user("alice");
    let handle = sessions.handle(&alice);
    let by_handle = || {
        let mut request = Request::post(LIST).body(String::new()).unwrap();
        request.extensions_mut().insert(handle.clone());
        request
    };
    assert_eq!(reason(client.clone().oneshot(by_handle()).await), ReauthReason::Missing);
    for token in ["one", "two"] {
        sessions.insert(fresh(&alice, token, &clock)).await.unwrap();
        client.clone().oneshot(by_handle()).await.unwrap();
    }
    assert_eq!(server.tokens(), ["Bearer one", "Bearer two"]);
    assert_eq!(store.loads(), 1);

    // A handle of another manager is the user's name.
    let (others, _, _) = setup();
    let mut foreign = Request::post(LIST).body(String::new()).unwrap();
    foreign.extensions_mut().insert(others.handle(&alice));
    client.clone().oneshot(foreign).await.unwrap();
    assert_eq!(server.tokens().last().unwrap(), "Bearer two");
}

#[tokio::test]
async fn a_client_for_one_user() {
    let (sessions, _, clock) = setup();
    let server = Server::default();
    let (alice, bob) = (user("alice"), user("bob"));
    for name in [&alice, &bob] {
        sessions.insert(fresh(name, name.as_str(), &clock)).await.unwrap();
    }
    let client = layer(&sessions).layer(server.client()).for_user(sessions.handle(&alice));
    client.clone().oneshot(Request::post(LIST).body(String::new()).unwrap()).await.unwrap();
    client.clone().oneshot(request(&alice)).await.unwrap();
    assert_eq!(server.tokens(), ["Bearer alice", "Bearer alice"]);
    let error = client.oneshot(request(&bob)).await.unwrap_err();
    assert!(
        matches!(error, Error::UserConflict { bound, other } if bound == alice && other == bob)
    );
}

#[tokio::test]
async fn rule_1_a_request_bound_to_two_users_goes_nowhere() {
    let (sessions, _, clock) = setup();
    let server = Server::default();
    let (alice, bob) = (user("alice"), user("bob"));
    for name in [&alice, &bob] {
        sessions.insert(fresh(name, name.as_str(), &clock)).await.unwrap();
    }
    let mut both = request(&alice);
    both.extensions_mut().insert(sessions.handle(&bob));
    let error = layer(&sessions).layer(server.client()).oneshot(both).await.unwrap_err();
    assert!(matches!(error, Error::UserConflict { .. }));
    assert_eq!(server.count(), 0);
}

#[tokio::test]
async fn rule_1_what_the_store_says_is_compared_with_the_request() {
    let (sessions, store, clock) = setup();
    let server = Server::default();
    let alice = user("alice");
    store.forge(&alice, fresh(&user("mallory"), "mallorys", &clock));
    let error = layer(&sessions).layer(server.client()).oneshot(request(&alice)).await.unwrap_err();
    assert!(matches!(error, Error::Store(e) if e.kind() == StoreErrorKind::Corrupt));
    assert_eq!(server.count(), 0);
}

#[tokio::test]
async fn rule_3_a_bound_request_is_never_sent_without_its_token() {
    let (sessions, store, _) = setup();
    let server = Server::default();
    let client = layer(&sessions).without_user(WithoutUser::Pass).layer(server.client());
    assert_eq!(
        reason(client.clone().oneshot(request(&user("alice"))).await),
        ReauthReason::Missing
    );
    store.fail(true);
    let error = client.oneshot(request(&user("bob"))).await.unwrap_err();
    assert!(matches!(error, Error::Store(_)));
    assert_eq!(server.count(), 0);
}

#[tokio::test]
async fn rule_3_a_request_without_a_user_is_refused_or_passes_untouched() {
    let (sessions, _, clock) = setup();
    let server = Server::default();
    sessions.insert(fresh(&user("alice"), "alices", &clock)).await.unwrap();
    let unbound = || Request::get("https://elsewhere.example/x").body(String::new()).unwrap();
    let error = layer(&sessions).layer(server.client()).oneshot(unbound()).await.unwrap_err();
    assert!(matches!(error, Error::UserRequired));
    assert_eq!(server.count(), 0);

    let client = layer(&sessions).without_user(WithoutUser::Pass).layer(server.client());
    client.clone().oneshot(unbound()).await.unwrap();
    let mut own = Request::post(LIST).body(String::new()).unwrap();
    own.headers_mut().insert(AUTHORIZATION, "Basic own".parse().unwrap());
    client.oneshot(own).await.unwrap();
    let arrived = server.arrived.lock();
    assert_eq!(arrived[0].1, HeaderMap::new());
    assert_eq!(arrived[1].1.len(), 1);
    assert_eq!(arrived[1].1[AUTHORIZATION], "Basic own");
}

#[tokio::test]
async fn an_authorization_of_the_callers_is_replaced_or_refused() {
    let (sessions, _, clock) = setup();
    let server = Server::default();
    let alice = user("alice");
    sessions.insert(fresh(&alice, "alices", &clock)).await.unwrap();
    let with_own = || {
        let mut request = request(&alice);
        request.headers_mut().append(AUTHORIZATION, "Basic one".parse().unwrap());
        request.headers_mut().append(AUTHORIZATION, "Basic two".parse().unwrap());
        request
    };
    layer(&sessions).layer(server.client()).oneshot(with_own()).await.unwrap();
    assert_eq!(server.arrived.lock()[0].1.get_all(AUTHORIZATION).iter().count(), 1);
    assert_eq!(server.tokens(), ["Bearer alices"]);

    let strict = layer(&sessions).on_authorization(OnAuthorization::Refuse);
    let error = strict.layer(server.client()).oneshot(with_own()).await.unwrap_err();
    assert!(matches!(error, Error::AuthorizationPresent));
    assert_eq!(server.count(), 1);
}

#[tokio::test]
async fn rule_4_an_expired_token_is_never_sent() {
    let (sessions, _, clock) = setup();
    let server = Server::default();
    let alice = user("alice");
    let client = layer(&sessions).layer(server.client());
    sessions.insert(fresh(&alice, "alices", &clock)).await.unwrap();
    clock.advance(Duration::from_secs(7200 - 31));
    client.clone().oneshot(request(&alice)).await.unwrap();
    clock.advance(Duration::from_secs(1));
    assert_eq!(reason(client.oneshot(request(&alice)).await), ReauthReason::Expired);
    assert_eq!(server.count(), 1);
}
