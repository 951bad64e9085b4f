//! Where a token and the key go, and where they do not.

use moojo_session::{ApiKey, Error, InvalidOrigin, SessionLayer};
use tower::{Layer, ServiceExt};

use crate::common::{fresh, setup, user};
use crate::{Server, layer, request};

#[tokio::test]
async fn rule_2_neither_token_nor_key_goes_to_another_origin() {
    let (sessions, _, clock) = setup();
    let server = Server::default();
    let alice = user("alice");
    sessions.insert(fresh(&alice, "alices", &clock)).await.unwrap();
    let client = layer(&sessions).layer(server.client());
    for uri in [
        "http://api.moojo.id/user",
        "https://api.moojo.id:8443/user",
        "https://evil.example/user",
        "https://api.moojo.id.evil.example/",
        "https://api.moojo.id@evil.example/",
        "/user/vault/list-credentials",
    ] {
        let mut elsewhere = request(&alice);
        *elsewhere.uri_mut() = uri.parse().unwrap();
        let error = client.clone().oneshot(elsewhere).await.unwrap_err();
        assert!(matches!(error, Error::OriginNotAllowed { .. }), "{uri}: {error}");
    }
    assert_eq!(server.count(), 0);
}

#[tokio::test]
async fn rule_2_http_needs_a_loopback_or_an_explicit_word() {
    let (sessions, _, clock) = setup();
    let alice = user("alice");
    sessions.insert(fresh(&alice, "alices", &clock)).await.unwrap();
    let layer = SessionLayer::new(sessions);
    assert!(layer.clone().allow_origin("http://127.0.0.1:8080").is_ok());
    assert!(layer.clone().allow_origin("http://localhost").is_ok());
    let refused = layer.clone().allow_origin("http://api.moojo.id").unwrap_err();
    assert!(matches!(refused, InvalidOrigin::Insecure { .. }));

    let server = Server::default();
    let client = layer.allow_insecure_origin("http://api.moojo.id").unwrap().layer(server.client());
    let mut plain = request(&alice);
    *plain.uri_mut() = "http://api.moojo.id/".parse().unwrap();
    client.oneshot(plain).await.unwrap();
    assert_eq!(server.tokens(), ["Bearer alices"]);
}

#[tokio::test]
async fn rule_13_nothing_printable_of_the_layer_shows_a_secret() {
    let (sessions, _, clock) = setup();
    let alice = user("alice");
    sessions.insert(fresh(&alice, "planted-token", &clock)).await.unwrap();
    let layer = SessionLayer::new(sessions.clone()).api_key(ApiKey::new("planted-key").unwrap());
    let mut events = sessions.events();
    sessions.insert(fresh(&alice, "planted-token-2", &clock)).await.unwrap();
    let printed = [
        format!("{layer:#?}"),
        format!("{:#?}", layer.layer(())),
        format!("{:#?}", layer.layer(()).for_user(sessions.handle(&alice))),
        format!("{:#?}", layer.origin_guard()),
        format!("{sessions:#?}"),
        format!("{:#?}", events.next().await),
        format!("{:#?}", sessions.get(&alice).await),
        format!("{:#?}", sessions.get(&user("bob")).await),
    ];
    for text in printed {
        assert!(!text.contains("planted"), "{text}");
    }
}
