//! The layer over a client that a test looks into.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::{TestStore, fresh, setup, start, user};
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{HeaderMap, Request, Response, StatusCode, Uri};
use moojo_session::{
    ApiKey, Error, InvalidOrigin, ManualClock, OnAuthorization, OnReauth, ReauthReason, Refusal,
    SessionLayer, SessionManager, SessionStore, StoreErrorKind, UserId, WithoutUser,
};
use parking_lot::Mutex;
use tower::util::BoxCloneService;
use tower::{Layer, ServiceExt, service_fn};

const LIST: &str = "https://api.moojo.id/user/vault/list-credentials";

type Client<E = std::io::Error> = BoxCloneService<Request<String>, Response<String>, E>;

/// A server as far as the layer can see it: it notes what arrives, and refuses some tokens.
#[derive(Clone, Default)]
struct Server {
    arrived: Arc<Mutex<Vec<(Uri, HeaderMap)>>>,
    refuses: Arc<Mutex<Vec<&'static str>>>,
}

impl Server {
    fn client(&self) -> Client {
        let server = self.clone();
        BoxCloneService::new(service_fn(move |request: Request<String>| {
            let status = server.answer(&request);
            std::future::ready(Ok(Response::builder()
                .status(status)
                .body("answer".into())
                .unwrap()))
        }))
    }

    fn answer(&self, request: &Request<String>) -> StatusCode {
        self.arrived.lock().push((request.uri().clone(), request.headers().clone()));
        let token = request.headers().get(AUTHORIZATION).map(|value| value.to_str().unwrap());
        let refused = self.refuses.lock().iter().any(|bad| token == Some(&format!("Bearer {bad}")));
        if refused { StatusCode::UNAUTHORIZED } else { StatusCode::OK }
    }

    fn refuse(&self, token: &'static str) {
        self.refuses.lock().push(token);
    }

    fn tokens(&self) -> Vec<String> {
        let text = |headers: &HeaderMap| headers[AUTHORIZATION].to_str().unwrap().to_owned();
        self.arrived.lock().iter().map(|(_, headers)| text(headers)).collect()
    }

    fn count(&self) -> usize {
        self.arrived.lock().len()
    }
}

fn layer(sessions: &SessionManager) -> SessionLayer {
    SessionLayer::new(sessions.clone())
        .api_key(ApiKey::new("the-key").unwrap())
        .allow_origin("https://api.moojo.id")
        .unwrap()
}

fn request(user: &UserId) -> Request<String> {
    let mut request = Request::post(LIST).body(String::new()).unwrap();
    request.extensions_mut().insert(user.clone());
    request
}

fn reason<T, E>(result: Result<T, Error<E>>) -> ReauthReason {
    match result {
        Err(Error::ReauthRequired(signal)) => signal.reason(),
        Err(_) => panic!("another error"),
        Ok(_) => panic!("no error"),
    }
}

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

#[tokio::test]
async fn rule_5_a_refused_token_is_removed_and_signalled() {
    let (sessions, store, clock) = setup();
    let server = Server::default();
    let alice = user("alice");
    sessions.insert(fresh(&alice, "bad", &clock)).await.unwrap();
    server.refuse("bad");
    let client = layer(&sessions).layer(server.client());
    assert_eq!(reason(client.clone().oneshot(request(&alice)).await), ReauthReason::Rejected);
    assert_eq!(store.memory().load(&alice).await.unwrap(), None);
    assert_eq!(reason(client.oneshot(request(&alice)).await), ReauthReason::Rejected);
    assert_eq!(server.count(), 1);
}

#[tokio::test]
async fn rule_5_a_late_401_leaves_the_newer_login() {
    let (sessions, _, clock) = setup();
    let alice = user("alice");
    sessions.insert(fresh(&alice, "old", &clock)).await.unwrap();
    // The answer to the old token comes when a new login has been made.
    let new = fresh(&alice, "new", &clock);
    let slow = {
        let (sessions, new) = (sessions.clone(), new.clone());
        service_fn(move |_: Request<String>| {
            let (sessions, new) = (sessions.clone(), new.clone());
            async move {
                sessions.insert(new).await.unwrap();
                let late = Response::builder().status(401).body(String::from("late")).unwrap();
                Ok::<_, std::io::Error>(late)
            }
        })
    };
    let response = layer(&sessions).layer(slow).oneshot(request(&alice)).await.unwrap();
    // Not repeatable: the caller gets the answer as it is, and no signal.
    assert_eq!((response.status(), response.body().as_str()), (StatusCode::UNAUTHORIZED, "late"));
    assert_eq!(sessions.get(&alice).await.unwrap(), new);
}

#[tokio::test]
async fn rule_5_a_repeatable_request_goes_out_once_more_with_the_newer_session() {
    let (sessions, store, clock) = setup();
    let server = Server::default();
    let alice = user("alice");
    sessions.insert(fresh(&alice, "old", &clock)).await.unwrap();
    // Another process logged in; this one was not told.
    store.memory().save(&fresh(&alice, "new", &clock)).await.unwrap();
    server.refuse("old");
    let client = layer(&sessions).repeat_bodies::<String>().layer(server.client());
    let response = client.clone().oneshot(request(&alice)).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(server.tokens(), ["Bearer old", "Bearer new"]);

    // Once: a refusal of the newer one too is the end of it.
    store.memory().save(&fresh(&alice, "newest", &clock)).await.unwrap();
    server.refuse("new");
    server.refuse("newest");
    assert_eq!(reason(client.oneshot(request(&alice)).await), ReauthReason::Rejected);
    assert_eq!(server.tokens()[2..], ["Bearer new", "Bearer newest"]);
}

#[tokio::test]
async fn rule_5_which_bodies_are_repeatable_is_the_callers_word() {
    let (sessions, store, clock) = setup();
    let server = Server::default();
    let alice = user("alice");
    server.refuse("old");
    let only_empty = layer(&sessions)
        .repeat_bodies::<u8>()
        .repeat_bodies_with(|body: &String| body.is_empty().then(String::new));
    let client = only_empty.layer(server.client());
    for (body, sent) in [("", 2), ("once", 1)] {
        sessions.insert(fresh(&alice, "old", &clock)).await.unwrap();
        store.memory().save(&fresh(&alice, "new", &clock)).await.unwrap();
        let before = server.count();
        let request = request(&alice).map(|_| body.to_owned());
        let _ = client.clone().oneshot(request).await.unwrap();
        assert_eq!(server.count() - before, sent, "{body:?}");
    }
}

#[tokio::test]
async fn a_classifier_decides_what_a_refusal_is_and_gives_the_trace_id() {
    let (sessions, _, clock) = setup();
    let alice = user("alice");
    sessions.insert(fresh(&alice, "alices", &clock)).await.unwrap();
    let answers = |status: u16| {
        service_fn(move |_: Request<String>| async move {
            let response = Response::builder().status(status).header("x-trace-id", "40a906a6");
            Ok::<_, std::io::Error>(response.body(String::new()).unwrap())
        })
    };
    let layer = layer(&sessions).classifier(|status, headers| {
        let trace_id = headers.get("x-trace-id").and_then(|id| id.to_str().ok());
        (status == 419).then(|| Refusal::new().trace_id(trace_id))
    });
    let response = layer.layer(answers(401)).oneshot(request(&alice)).await.unwrap();
    assert_eq!(response.status(), 401);
    match layer.layer(answers(419)).oneshot(request(&alice)).await {
        Err(Error::ReauthRequired(signal)) => {
            assert_eq!(signal.reason(), ReauthReason::Rejected);
            assert_eq!(signal.trace_id(), Some("40a906a6"));
        }
        _ => panic!("not refused"),
    }
}

#[tokio::test]
async fn a_401_about_something_else_passes() {
    let (sessions, _, clock) = setup();
    let alice = user("alice");
    sessions.insert(fresh(&alice, "alices", &clock)).await.unwrap();
    let gateway = service_fn(|_: Request<String>| async {
        let response =
            Response::builder().status(401).header(WWW_AUTHENTICATE, "Basic realm=\"x\"");
        Ok::<_, std::io::Error>(response.body(String::new()).unwrap())
    });
    let response = layer(&sessions).layer(gateway).oneshot(request(&alice)).await.unwrap();
    assert_eq!(response.status(), 401);
    assert!(sessions.get(&alice).await.is_ok());
}

#[tokio::test]
async fn rule_6_an_outage_under_a_refusal_is_a_store_error() {
    let (sessions, store, clock) = setup();
    let server = Server::default();
    let alice = user("alice");
    sessions.insert(fresh(&alice, "bad", &clock)).await.unwrap();
    server.refuse("bad");
    store.fail(true);
    let client = layer(&sessions).layer(server.client());
    let error = client.clone().oneshot(request(&alice)).await.unwrap_err();
    assert!(matches!(error, Error::Store(_)));
    // Refused, so not sent again from memory, whatever became of the removal.
    assert!(matches!(client.oneshot(request(&alice)).await.unwrap_err(), Error::Store(_)));
    assert_eq!(server.count(), 1);
}

#[tokio::test]
async fn a_call_may_wait_for_the_login() {
    let (sessions, _, clock) = setup();
    let server = Server::default();
    let alice = user("alice");
    let client =
        layer(&sessions).on_reauth(OnReauth::Wait(Duration::from_secs(300))).layer(server.client());
    let mut events = sessions.events();
    let call = tokio::spawn(client.clone().oneshot(request(&alice)));
    events.next().await;
    sessions.insert(fresh(&alice, "one", &clock)).await.unwrap();
    assert_eq!(call.await.unwrap().unwrap().status(), 200);

    // One request may say otherwise.
    let mut hurried = request(&user("bob"));
    hurried.extensions_mut().insert(OnReauth::Fail);
    assert_eq!(reason(client.oneshot(hurried).await), ReauthReason::Missing);
}

#[tokio::test]
async fn rule_10_a_call_waits_no_longer_than_its_deadline() {
    let (sessions, _, clock) = setup();
    let server = Server::default();
    let client =
        layer(&sessions).on_reauth(OnReauth::Wait(Duration::from_secs(300))).layer(server.client());
    let mut events = sessions.events();
    let call = tokio::spawn(client.oneshot(request(&user("alice"))));
    events.next().await;
    clock.advance(Duration::from_secs(300));
    let Err(Error::ReauthRequired(signal)) = call.await.unwrap() else { panic!("no signal") };
    assert_eq!(signal.reason(), ReauthReason::Missing);
    assert!(signal.waited().is_some());
    assert_eq!(server.count(), 0);
}

#[tokio::test]
async fn a_refused_call_that_can_be_repeated_waits_as_well() {
    let (sessions, _, clock) = setup();
    let server = Server::default();
    let alice = user("alice");
    sessions.insert(fresh(&alice, "bad", &clock)).await.unwrap();
    server.refuse("bad");
    let client = layer(&sessions)
        .on_reauth(OnReauth::Wait(Duration::from_secs(300)))
        .repeat_bodies::<String>()
        .layer(server.client());
    let mut events = sessions.events();
    let call = tokio::spawn(client.oneshot(request(&alice)));
    while !matches!(events.next().await, Some(moojo_session::Event::ReauthRequired(_))) {}
    sessions.insert(fresh(&alice, "good", &clock)).await.unwrap();
    assert_eq!(call.await.unwrap().unwrap().status(), 200);
    assert_eq!(server.tokens(), ["Bearer bad", "Bearer good"]);
}

#[tokio::test]
async fn a_refused_call_that_cannot_be_repeated_does_not_wait() {
    let (sessions, _, clock) = setup();
    let server = Server::default();
    let alice = user("alice");
    sessions.insert(fresh(&alice, "bad", &clock)).await.unwrap();
    server.refuse("bad");
    let client =
        layer(&sessions).on_reauth(OnReauth::Wait(Duration::from_secs(300))).layer(server.client());
    assert_eq!(reason(client.oneshot(request(&alice)).await), ReauthReason::Rejected);
}

#[tokio::test]
async fn rule_10_a_call_dropped_while_it_loads_leaves_the_load_to_the_others() {
    let clock = ManualClock::new(start());
    let store = TestStore::new(&clock);
    let sessions = SessionManager::builder(store.clone()).clock(clock.clone()).build();
    let alice = user("alice");
    store.memory().save(&fresh(&alice, "one", &clock)).await.unwrap();
    let server = Server::default();
    let client = layer(&sessions).layer(server.client());
    let gate = store.gate();
    let first = tokio::spawn(client.clone().oneshot(request(&alice)));
    gate.arrived.notified().await;
    first.abort();
    let _ = first.await;
    let second = tokio::spawn(client.oneshot(request(&alice)));
    store.no_gate();
    assert_eq!(second.await.unwrap().unwrap().status(), 200);
    assert_eq!(store.loads(), 1);
}

#[tokio::test]
async fn an_error_of_the_client_is_the_inner_error() {
    let (sessions, _, clock) = setup();
    let alice = user("alice");
    sessions.insert(fresh(&alice, "one", &clock)).await.unwrap();
    let calls = Arc::new(AtomicUsize::new(0));
    let broken = {
        let calls = Arc::clone(&calls);
        service_fn(move |_: Request<String>| {
            calls.fetch_add(1, Ordering::SeqCst);
            std::future::ready(Err::<Response<String>, _>(std::io::Error::other("cable cut")))
        })
    };
    let client = layer(&sessions).layer(broken);
    match client.oneshot(request(&alice)).await {
        Err(Error::Inner(error)) => assert_eq!(error.to_string(), "cable cut"),
        _ => panic!("another outcome"),
    }
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    assert!(sessions.get(&alice).await.is_ok());
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
