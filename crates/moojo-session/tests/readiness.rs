//! The layer honours `poll_ready`: tower-test's mock panics if a service is called that was not
//! ready, and counts what is reserved.

mod common;

use std::time::Duration;

use common::{fresh, setup, user};
use http::{Request, Response, StatusCode};
use moojo_session::{
    Error, OnReauth, SessionLayer, SessionManager, SessionService, SessionStore, UserId,
};
use tower::{Layer, Service, ServiceExt};
use tower_test::mock::{self, Handle, Mock};

type Client = SessionService<Mock<Request<String>, Response<String>>>;
type Server = Handle<Request<String>, Response<String>>;

fn client(layer: SessionLayer) -> (Client, Server) {
    let (mock, server) = mock::pair();
    (layer.layer(mock), server)
}

fn layer(sessions: &SessionManager) -> SessionLayer {
    SessionLayer::new(sessions.clone()).allow_origin("https://api.moojo.id").unwrap()
}

fn request(user: &UserId) -> Request<String> {
    let mut request = Request::post("https://api.moojo.id/x").body(String::new()).unwrap();
    request.extensions_mut().insert(user.clone());
    request
}

fn answer(status: StatusCode) -> Response<String> {
    Response::builder().status(status).body(String::new()).unwrap()
}

#[tokio::test]
async fn the_service_that_is_called_is_the_one_that_was_ready() {
    let (sessions, store, clock) = setup();
    let (alice, bob) = (user("alice"), user("bob"));
    sessions.insert(fresh(&alice, "alices", &clock)).await.unwrap();
    store.memory().save(&fresh(&bob, "bobs", &clock)).await.unwrap();
    let (mut client, mut server) = client(layer(&sessions));
    // One at a time: alice by the hot path, bob by the slow one, which loads his session.
    for user in [&alice, &bob, &bob, &alice] {
        server.allow(1);
        let call = client.ready().await.unwrap().call(request(user));
        let call = tokio::spawn(call);
        let (arrived, respond) = server.next_request().await.unwrap();
        assert_eq!(arrived.headers()["authorization"], format!("Bearer {user}s"));
        respond.send_response(answer(StatusCode::OK));
        call.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_slow_path_does_not_use_up_the_readiness_of_the_next_call() {
    let (sessions, store, clock) = setup();
    let (alice, bob) = (user("alice"), user("bob"));
    sessions.insert(fresh(&alice, "alices", &clock)).await.unwrap();
    store.memory().save(&fresh(&bob, "bobs", &clock)).await.unwrap();
    let (mut client, mut server) = client(layer(&sessions));
    server.allow(2);
    let gate = store.gate();
    let bobs = tokio::spawn(client.ready().await.unwrap().call(request(&bob)));
    gate.arrived.notified().await;
    // Bob's call holds its place while it loads; alice's takes the other one.
    let alices = tokio::spawn(client.ready().await.unwrap().call(request(&alice)));
    let (arrived, respond) = server.next_request().await.unwrap();
    assert_eq!(arrived.headers()["authorization"], "Bearer alices");
    respond.send_response(answer(StatusCode::OK));
    alices.await.unwrap().unwrap();
    store.no_gate();
    server.next_request().await.unwrap().1.send_response(answer(StatusCode::OK));
    bobs.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_call_that_waits_for_a_person_holds_no_capacity() {
    let (sessions, _, clock) = setup();
    let (alice, bob) = (user("alice"), user("bob"));
    sessions.insert(fresh(&alice, "alices", &clock)).await.unwrap();
    let patient = layer(&sessions).on_reauth(OnReauth::Wait(Duration::from_secs(300)));
    // Room for one call at a time.
    let (mock, mut server) = mock::pair::<Request<String>, Response<String>>();
    let mut client = patient.layer(tower::limit::ConcurrencyLimit::new(mock, 1));
    server.allow(10);
    let mut events = sessions.events();
    let bobs = tokio::spawn(client.ready().await.unwrap().call(request(&bob)));
    events.next().await;

    let alices = tokio::spawn(client.ready().await.unwrap().call(request(&alice)));
    server.next_request().await.unwrap().1.send_response(answer(StatusCode::OK));
    alices.await.unwrap().unwrap();

    sessions.insert(fresh(&bob, "bobs", &clock)).await.unwrap();
    let (arrived, respond) = server.next_request().await.unwrap();
    assert_eq!(arrived.headers()["authorization"], "Bearer bobs");
    respond.send_response(answer(StatusCode::OK));
    bobs.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_refused_request_gives_its_capacity_back() {
    let (sessions, _, clock) = setup();
    let alice = user("alice");
    sessions.insert(fresh(&alice, "alices", &clock)).await.unwrap();
    let (mock, mut server) = mock::pair::<Request<String>, Response<String>>();
    let shared = tower::limit::ConcurrencyLimit::new(mock, 1);
    let (mut here, mut there) =
        (layer(&sessions).layer(shared.clone()), layer(&sessions).layer(shared));
    server.allow(10);
    let unbound = Request::post("https://api.moojo.id/x").body(String::new()).unwrap();
    let refused = here.ready().await.unwrap().call(unbound).await.unwrap_err();
    assert!(matches!(refused, Error::UserRequired));
    // `here` is still there, and holds nothing that `there` would wait for.
    let call = tokio::spawn(there.ready().await.unwrap().call(request(&alice)));
    server.next_request().await.unwrap().1.send_response(answer(StatusCode::OK));
    call.await.unwrap().unwrap();
    drop(here);
}

#[tokio::test]
async fn rule_4_a_token_that_ends_while_the_service_is_busy_is_not_sent() {
    let (sessions, store, clock) = setup();
    let alice = user("alice");
    sessions.insert(fresh(&alice, "old", &clock)).await.unwrap();
    let repeating = layer(&sessions).repeat_bodies::<String>();
    let (mut client, mut server) = client(repeating);
    server.allow(1);
    let call = tokio::spawn(client.ready().await.unwrap().call(request(&alice)));
    let (_, respond) = server.next_request().await.unwrap();
    // The token is refused, a newer one is there, but there is no room for the repeat …
    store.memory().save(&fresh(&alice, "new", &clock)).await.unwrap();
    respond.send_response(answer(StatusCode::UNAUTHORIZED));
    while sessions.get(&alice).await.unwrap().access_token().expose_secret() != "new" {
        tokio::task::yield_now().await;
    }
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    // … until that one has ended as well.
    clock.advance(Duration::from_secs(7200));
    server.allow(1);
    let error = call.await.unwrap().unwrap_err();
    assert!(matches!(error, Error::ReauthRequired(_)), "{error}");
}

#[tokio::test]
async fn an_error_in_readiness_is_the_inner_error() {
    let (sessions, _, _) = setup();
    let (mut client, mut server) = client(layer(&sessions));
    server.send_error("closed for today");
    let error = client.ready().await.err().unwrap();
    assert!(matches!(error, Error::Inner(_)));
}
