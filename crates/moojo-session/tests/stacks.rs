//! The layer in the stacks that people build: over hyper-util's client and reqwest, in an axum
//! handler, on both sides of redirects, under tower's own middleware. Real servers, real sockets.

mod common;
#[path = "common/server.rs"]
mod server;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use common::{fresh, setup, user};
use http::header::{AUTHORIZATION, LOCATION};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::BodyExt;
use moojo_session::{
    ApiKey, Error, ManualClock, ReauthRequired, SessionLayer, SessionManager, UserId, WithoutUser,
};
use parking_lot::Mutex;
use server::{Body, client, serve};
use tower::{Layer, Service, ServiceBuilder, ServiceExt};
use tower_http::follow_redirect::FollowRedirectLayer;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A server that notes the headers of what arrives, and sends `/away` to another place.
struct Server {
    address: SocketAddr,
    arrived: Arc<Mutex<Vec<(String, HeaderMap)>>>,
}

impl Server {
    async fn start(away: Option<String>) -> Self {
        let arrived = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&arrived);
        let address = serve(move |request| {
            let path = request.uri().path().to_owned();
            noted.lock().push((path.clone(), request.headers().clone()));
            match &away {
                Some(away) if path == "/away" => Response::builder()
                    .status(StatusCode::TEMPORARY_REDIRECT)
                    .header(LOCATION, away)
                    .body(Body::default())
                    .unwrap(),
                _ => Response::new(Body::new(Bytes::from_static(b"here"))),
            }
        })
        .await;
        Self { address, arrived }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Whether each request had a token and a key, in the order in which they arrived.
    fn credentials(&self) -> Vec<(bool, bool)> {
        let has = |h: &HeaderMap| (h.contains_key(AUTHORIZATION), h.contains_key("x-api-key"));
        self.arrived.lock().iter().map(|(_, headers)| has(headers)).collect()
    }
}

fn layer(sessions: &SessionManager, server: &Server) -> SessionLayer {
    SessionLayer::new(sessions.clone())
        .api_key(ApiKey::new("the-key").unwrap())
        .allow_origin(&server.url(""))
        .unwrap()
}

fn request(user: &UserId, url: &str) -> Request<Body> {
    let mut request = Request::post(url).body(Body::default()).unwrap();
    request.extensions_mut().insert(user.clone());
    request
}

async fn alice(sessions: &SessionManager, clock: &ManualClock) -> UserId {
    let alice = user("alice");
    sessions.insert(fresh(&alice, "alices", clock)).await.unwrap();
    alice
}

#[tokio::test]
async fn over_the_client_of_hyper_util() {
    let (sessions, _, clock) = setup();
    let server = Server::start(None).await;
    let alice = alice(&sessions, &clock).await;
    let client = layer(&sessions, &server).layer(client());
    let response = client.oneshot(request(&alice, &server.url("/"))).await.unwrap();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "here");
    assert_eq!(server.arrived.lock()[0].1[AUTHORIZATION], "Bearer alices");
}

#[tokio::test]
async fn over_reqwest() {
    let (sessions, _, clock) = setup();
    let server = Server::start(None).await;
    let alice = alice(&sessions, &clock).await;
    // The layer works on `http::Request`, which keeps the extensions; reqwest's own comes innermost.
    let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build();
    let http = http.unwrap();
    let client = layer(&sessions, &server).layer(tower::service_fn(
        move |request: Request<reqwest::Body>| {
            let http = http.clone();
            async move {
                let response = http.execute(request.try_into()?).await?;
                Ok::<Response<reqwest::Body>, reqwest::Error>(response.into())
            }
        },
    ));
    let request = request(&alice, &server.url("/")).map(|_| reqwest::Body::from("{}"));
    let response = client.oneshot(request).await.unwrap();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "here");
    assert_eq!(server.arrived.lock()[0].1[AUTHORIZATION], "Bearer alices");
}

#[tokio::test]
async fn inside_an_axum_handler() {
    use axum::extract::{Path, State};
    use axum::routing::get;

    let (sessions, _, clock) = setup();
    let moojo = Server::start(None).await;
    alice(&sessions, &clock).await;
    let calls = layer(&sessions, &moojo).layer(client());
    let url = moojo.url("/user/vault/list-credentials");
    let app = axum::Router::new()
        .route(
            "/credentials/{user}",
            get(
                |State((calls, url)): State<(
                    moojo_session::SessionService<
                        hyper_util::client::legacy::Client<
                            hyper_util::client::legacy::connect::HttpConnector,
                            Body,
                        >,
                    >,
                    String,
                )>,
                 Path(name): Path<String>| async move {
                    match calls.oneshot(request(&user(&name), &url)).await {
                        Ok(answer) => Ok(answer.into_body().collect().await.unwrap().to_bytes()),
                        Err(Error::ReauthRequired(_)) => Err(StatusCode::UNAUTHORIZED),
                        Err(_) => Err(StatusCode::BAD_GATEWAY),
                    }
                },
            ),
        )
        .with_state((calls, url));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });

    let get = |name: &str| {
        let url = format!("http://{address}/credentials/{name}");
        client().request(Request::get(url).body(Body::default()).unwrap())
    };
    let answer = get("alice").await.unwrap();
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "here");
    assert_eq!(get("bob").await.unwrap().status(), StatusCode::UNAUTHORIZED);
    assert_eq!(moojo.credentials(), [(true, true)]);
}

#[tokio::test]
async fn rule_2_behind_follow_redirect_each_hop_is_judged() {
    let (sessions, _, clock) = setup();
    let elsewhere = Server::start(None).await;
    let server = Server::start(Some(elsewhere.url("/x"))).await;
    let alice = alice(&sessions, &clock).await;

    // Redirects are followed above the layer. A hop has lost its extensions, and with them the
    // user: it is refused …
    let client = ServiceBuilder::new()
        .layer(FollowRedirectLayer::new())
        .layer(layer(&sessions, &server))
        .service(client());
    let error = client.oneshot(request(&alice, &server.url("/away"))).await.unwrap_err();
    assert!(matches!(error, Error::UserRequired), "{error}");
    assert_eq!(server.credentials(), [(true, true)]);
    assert_eq!(elsewhere.credentials(), []);

    // … or passes as it is.
    let client = ServiceBuilder::new()
        .layer(FollowRedirectLayer::new())
        .layer(layer(&sessions, &server).without_user(WithoutUser::Pass))
        .service(server::client());
    let response = client.oneshot(request(&alice, &server.url("/away"))).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(elsewhere.credentials(), [(false, false)]);
}

#[tokio::test]
async fn rule_2_inside_follow_redirect_for_one_user_each_hop_is_judged() {
    let (sessions, _, clock) = setup();
    let elsewhere = Server::start(None).await;
    let server = Server::start(Some(elsewhere.url("/x"))).await;
    let alice = alice(&sessions, &clock).await;
    // A client for one user binds every hop.
    let inner = layer(&sessions, &server).layer(client()).for_user(sessions.handle(&alice));
    let client = FollowRedirectLayer::new().layer(inner);
    let request = Request::post(server.url("/away")).body(Body::default()).unwrap();
    let error = client.oneshot(request).await.unwrap_err();
    assert!(matches!(error, Error::OriginNotAllowed { .. }), "{error}");
    assert_eq!(elsewhere.credentials(), []);

    // The same origin gets the token again.
    let home = Server::start(None).await;
    let server = Server::start(Some(home.url("/x"))).await;
    let both = layer(&sessions, &server).allow_origin(&home.url("")).unwrap();
    let inner = both.layer(server::client()).for_user(sessions.handle(&alice));
    let request = Request::post(server.url("/away")).body(Body::default()).unwrap();
    FollowRedirectLayer::new().layer(inner).oneshot(request).await.unwrap();
    assert_eq!(
        (server.credentials(), home.credentials()),
        (vec![(true, true)], vec![(true, true)])
    );
}

#[tokio::test]
async fn rule_2_with_follow_redirect_inside_the_layer_a_guard_keeps_token_and_key_at_home() {
    let (sessions, _, clock) = setup();
    let elsewhere = Server::start(None).await;
    let home = Server::start(Some(elsewhere.url("/x"))).await;
    let alice = alice(&sessions, &clock).await;
    let layer = layer(&sessions, &home);
    let client = ServiceBuilder::new()
        .layer(layer.clone())
        .layer(FollowRedirectLayer::new())
        .layer(layer.origin_guard())
        .service(client());
    let response = client.oneshot(request(&alice, &home.url("/away"))).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(home.credentials(), [(true, true)]);
    assert_eq!(elsewhere.credentials(), [(false, false)]);
}

#[tokio::test]
async fn rule_2_with_follow_redirect_inside_the_layer_a_hop_at_home_keeps_both() {
    let (sessions, _, clock) = setup();
    // Which port it gets is known only once it runs: the redirect goes by the path alone.
    let home = Server::start(Some("/x".to_owned())).await;
    let alice = alice(&sessions, &clock).await;
    let layer = layer(&sessions, &home);
    let client = ServiceBuilder::new()
        .layer(layer.clone())
        .layer(FollowRedirectLayer::new())
        .layer(layer.origin_guard())
        .service(client());
    client.oneshot(request(&alice, &home.url("/away"))).await.unwrap();
    assert_eq!(home.credentials(), [(true, true), (true, true)]);
}

/// Repeats a call of an in-memory client until it succeeds.
#[derive(Clone)]
struct Persistent;

impl<R, E> tower::retry::Policy<Request<Body>, R, E> for Persistent {
    type Future = std::future::Ready<()>;

    fn retry(&mut self, _: &mut Request<Body>, result: &mut Result<R, E>) -> Option<Self::Future> {
        result.is_err().then(|| std::future::ready(()))
    }

    fn clone_request(&mut self, request: &Request<Body>) -> Option<Request<Body>> {
        Some(request.clone())
    }
}

#[tokio::test]
async fn under_retry_buffer_timeout_and_concurrency_limit() {
    let (sessions, _, clock) = setup();
    let server = Server::start(None).await;
    let alice = alice(&sessions, &clock).await;
    let client = ServiceBuilder::new()
        .buffer(16)
        .concurrency_limit(4)
        .timeout(Duration::from_secs(60))
        .layer(layer(&sessions, &server))
        .service(client());
    let calls = (0..50).map(|_| client.clone().oneshot(request(&alice, &server.url("/"))));
    for response in futures_util::future::join_all(calls).await {
        assert_eq!(response.unwrap().status(), StatusCode::OK);
    }
    assert_eq!(server.credentials(), vec![(true, true); 50]);

    // The signal comes through every box.
    let bob = user("bob");
    let error: BoxError = client.oneshot(request(&bob, &server.url("/"))).await.unwrap_err();
    assert_eq!(ReauthRequired::find(&*error).unwrap().user(), &bob);
}

#[tokio::test]
async fn under_retry_every_try_carries_the_token_that_is_valid_then() {
    let (sessions, _, clock) = setup();
    let server = Server::start(None).await;
    let alice = alice(&sessions, &clock).await;
    let tries = Arc::new(AtomicUsize::new(0));
    // Fails twice, and meanwhile the user logs in anew.
    let flaky = {
        let (tries, http, sessions) = (Arc::clone(&tries), client(), sessions.clone());
        let (alice, clock) = (alice.clone(), clock.clone());
        tower::service_fn(move |request: Request<Body>| {
            let number = tries.fetch_add(1, Ordering::SeqCst);
            let mut http = http.clone();
            let (sessions, alice, clock) = (sessions.clone(), alice.clone(), clock.clone());
            async move {
                if number < 2 {
                    let token = format!("login-{number}");
                    sessions.insert(fresh(&alice, &token, &clock)).await.unwrap();
                    return Err(BoxError::from("the connection broke"));
                }
                http.call(request).await.map_err(BoxError::from)
            }
        })
    };
    let client =
        ServiceBuilder::new().retry(Persistent).layer(layer(&sessions, &server)).service(flaky);
    client.oneshot(request(&alice, &server.url("/"))).await.map_err(Error::into_boxed).unwrap();
    assert_eq!(tries.load(Ordering::SeqCst), 3);
    assert_eq!(server.arrived.lock()[0].1[AUTHORIZATION], "Bearer login-1");
}

#[tokio::test]
async fn a_boxed_inner_error_can_be_passed_on_as_a_box() {
    let (sessions, _, clock) = setup();
    let server = Server::start(None).await;
    let alice = alice(&sessions, &clock).await;
    // The client's own time runs inside the layer, apart from a person's; its error is a box.
    let inner = ServiceBuilder::new().timeout(Duration::ZERO).service(tower::service_fn(
        |_: Request<Body>| std::future::pending::<Result<Response<Body>, BoxError>>(),
    ));
    let client = layer(&sessions, &server).layer(inner).map_err(Error::into_boxed);
    let error = client.oneshot(request(&alice, &server.url("/"))).await.unwrap_err();
    assert!(error.source().unwrap().source().is_none());
    assert_eq!(error.source().unwrap().to_string(), "request timed out");
}
