//! Answers that refuse a token.

use http::header::WWW_AUTHENTICATE;
use http::{Request, Response, StatusCode};
use moojo_session::{Error, ReauthReason, Refusal, SessionStore};
use tower::{Layer, ServiceExt, service_fn};

use crate::common::{fresh, setup, user};
use crate::{Server, layer, reason, request};

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
