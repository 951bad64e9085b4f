//! Calls that wait for a person, and how that ends.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use chrono::TimeDelta;
use common::queue::{LEASE, LIFE, MINUTE, claim, purpose, soon, wait, want};
use common::{fresh, setup, start, turns, user};
use futures_util::FutureExt;
use http::{Request, Response, StatusCode};
use moojo_session::{
    DeclineReason, Error, OnReauth, ReauthReason, Session, SessionLayer, SessionManager, UserId,
};
use tower::util::BoxCloneService;
use tower::{Layer, ServiceExt, service_fn};

#[tokio::test]
async fn everybody_learns_that_the_person_declined_until_it_is_over() {
    let (sessions, _, clock) = setup();
    let (queue, alice) = (sessions.reauth_queue(), user("alice"));
    let calls: Vec<_> = (0..10).map(|_| wait(&sessions, &alice, None)).collect();
    turns().await;
    claim(&queue).await.decline(DeclineReason::NotNow, 10 * MINUTE).unwrap();
    let until = start() + TimeDelta::minutes(10);
    let is_declined = |result: Result<Session, Error>| match result {
        Err(Error::Declined(declined)) => {
            let told = (declined.user(), declined.reason(), declined.until());
            assert_eq!(told, (&alice, DeclineReason::NotNow, until));
        }
        other => panic!("not declined: {other:?}"),
    };
    for call in calls {
        is_declined(soon(call).await.unwrap());
    }
    // As do those who come later; who does not wait hears what it did before.
    is_declined(soon(wait(&sessions, &alice, None)).await.unwrap());
    want(&sessions, &alice).await;
    assert!(queue.is_empty() && queue.try_next().await.is_none());
    // The wall clock has no say in it.
    clock.jump_wall(TimeDelta::days(1));
    is_declined(soon(wait(&sessions, &alice, None)).await.unwrap());
    clock.jump_wall(TimeDelta::days(-1));
    clock.advance(10 * MINUTE);
    let call = wait(&sessions, &alice, None);
    turns().await;
    assert_eq!(claim(&queue).await.request().waiting(), 1);
    sessions.insert(fresh(&alice, "one", &clock)).await.unwrap();
    assert!(soon(call).await.unwrap().is_ok());
}

#[tokio::test]
async fn a_person_who_declined_and_logs_in_all_the_same_can_be_asked_again() {
    let (sessions, _, clock) = setup();
    let (queue, alice) = (sessions.reauth_queue(), user("alice"));
    want(&sessions, &alice).await;
    claim(&queue).await.decline(DeclineReason::NoAnswer, Duration::MAX).unwrap();
    sessions.insert(fresh(&alice, "one", &clock)).await.unwrap();
    assert!(soon(wait(&sessions, &alice, None)).await.unwrap().is_ok());
    clock.advance(120 * MINUTE);
    want(&sessions, &alice).await;
    assert_eq!(claim(&queue).await.request().reason(), ReauthReason::Expired);
}

#[tokio::test]
async fn a_call_whose_patience_ends_leaves_the_others_and_the_request() {
    let (sessions, _, clock) = setup();
    let (queue, alice) = (sessions.reauth_queue(), user("alice"));
    let patient = wait(&sessions, &alice, None);
    let hasty = tokio::spawn({
        let (sessions, alice) = (sessions.clone(), alice.clone());
        async move { sessions.wait(&alice, MINUTE).await }
    });
    turns().await;
    let held = claim(&queue).await;
    assert_eq!(held.request().waiting(), 2);
    held.renew(LIFE).unwrap();
    clock.advance(MINUTE);
    match soon(hasty).await.unwrap() {
        Err(Error::ReauthRequired(signal)) => assert_eq!(signal.waited(), Some(MINUTE)),
        other => panic!("{other:?}"),
    }
    assert_eq!(held.refreshed().unwrap().waiting(), 1);
    held.answer(fresh(&alice, "one", &clock)).await.unwrap();
    assert!(soon(patient).await.unwrap().is_ok());
}

#[tokio::test]
async fn rule_4_a_session_that_came_and_ended_again_is_given_to_nobody() {
    let (sessions, _, clock) = setup();
    let (queue, alice) = (sessions.reauth_queue(), user("alice"));
    let call = wait(&sessions, &alice, None);
    turns().await;
    let held = claim(&queue).await;
    sessions.insert(fresh(&alice, "one", &clock)).await.unwrap();
    // Before the call gets to run.
    sessions.revoke(&alice).await.unwrap();
    turns().await;
    assert!(!call.is_finished());
    assert!(held.refreshed().is_err(), "that request was answered");
    let held = claim(&queue).await;
    assert_eq!((held.request().waiting(), held.request().reason()), (1, ReauthReason::Revoked));
    held.answer(fresh(&alice, "two", &clock)).await.unwrap();
    let got = soon(call).await.unwrap().unwrap();
    assert_eq!(got.access_token().expose_secret(), "two");
}

#[tokio::test]
async fn rule_10_calls_that_go_away_leave_no_trace_but_the_request() {
    let (sessions, store, clock) = setup();
    let (queue, alice) = (sessions.reauth_queue(), user("alice"));
    let long = 60 * MINUTE;
    for polls in 1..8 {
        let mut call = Box::pin(sessions.wait(&alice, long));
        for _ in 0..polls {
            assert!(futures_util::poll!(call.as_mut()).is_pending());
            turns().await;
        }
        drop(call);
        if let [request] = &queue.list(None, 9)[..] {
            assert_eq!(request.waiting(), 0);
        }
    }
    // While it looks at the store again, too.
    let call = wait(&sessions, &alice, None);
    turns().await;
    store.hang(true);
    let held = queue.claim(&alice);
    assert!(held.now_or_never().is_none());
    call.abort();
    turns().await;
    store.hang(false);
    assert_eq!(queue.list(None, 9)[0].waiting(), 0);
    clock.advance(LIFE + LEASE);
    assert!(queue.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_11_whoever_sees_a_request_finds_its_waiter_registered() {
    let (sessions, _, clock) = setup();
    let (queue, alice) = (sessions.reauth_queue(), user("alice"));
    let client = SessionLayer::new(sessions.clone())
        .allow_origin("https://api.moojo.id")
        .unwrap()
        .on_reauth(OnReauth::Wait(60 * MINUTE))
        .layer(service_fn(|_: Request<String>| async {
            Ok::<_, std::io::Error>(Response::new(String::new()))
        }));
    let worker = tokio::spawn({
        let (queue, sessions) = (queue.clone(), sessions.clone());
        async move {
            loop {
                let held = queue.next().await;
                assert_eq!(held.request().waiting(), 1, "the call is not registered yet");
                let person = held.request().user().clone();
                sessions.insert(fresh(&person, "token", &clock)).await.unwrap();
            }
        }
    });
    for round in 0..300 {
        let answer = if round % 2 == 0 {
            soon(client.clone().oneshot(request(&alice))).await.map(drop).is_ok()
        } else {
            soon(sessions.wait(&alice, 60 * MINUTE)).await.is_ok()
        };
        assert!(answer, "the wake-up was lost");
        sessions.revoke(&alice).await.unwrap();
    }
    assert!(!worker.is_finished());
    worker.abort();
}

// Through the layer.

fn request(user: &UserId) -> Request<String> {
    let mut request = Request::post("https://api.moojo.id/x").body(String::new()).unwrap();
    request.extensions_mut().insert(user.clone());
    request
}

type Client = BoxCloneService<Request<String>, Response<String>, Error<std::io::Error>>;

/// A layer over a server that refuses the token "bad", and how often it was called.
fn client(sessions: &SessionManager, repeats: bool) -> (Client, Arc<AtomicUsize>) {
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&calls);
    let mut layer = SessionLayer::new(sessions.clone())
        .allow_origin("https://api.moojo.id")
        .unwrap()
        .on_reauth(OnReauth::Wait(60 * MINUTE));
    if repeats {
        layer = layer.repeat_bodies::<String>();
    }
    let client = layer.layer(service_fn(move |request: Request<String>| {
        counter.fetch_add(1, Ordering::SeqCst);
        let refused = request.headers()["authorization"] == "Bearer bad";
        let status = if refused { StatusCode::UNAUTHORIZED } else { StatusCode::OK };
        std::future::ready(Ok(Response::builder().status(status).body(String::new()).unwrap()))
    }));
    (BoxCloneService::new(client), calls)
}

#[tokio::test]
async fn a_request_tells_what_it_is_for() {
    let (sessions, _, clock) = setup();
    let (queue, alice) = (sessions.reauth_queue(), user("alice"));
    let (client, calls) = client(&sessions, false);
    let mut call = request(&alice);
    call.extensions_mut().insert(purpose("calendar search"));
    let call = tokio::spawn(client.oneshot(call));
    let held = soon(queue.next()).await;
    assert_eq!(held.request().purposes(), [purpose("calendar search")]);
    assert_eq!((held.request().waiting(), calls.load(Ordering::SeqCst)), (1, 0));
    held.answer(fresh(&alice, "one", &clock)).await.unwrap();
    assert_eq!(soon(call).await.unwrap().unwrap().status(), 200);
    assert_eq!(calls.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_caller_learns_that_the_person_declined() {
    let (sessions, _, clock) = setup();
    let (queue, alice) = (sessions.reauth_queue(), user("alice"));
    // One that waits before it goes out, and one that was refused and can be repeated.
    for repeats in [false, true] {
        let (client, calls) = client(&sessions, repeats);
        if repeats {
            sessions.insert(fresh(&alice, "bad", &clock)).await.unwrap();
        }
        let call = tokio::spawn(client.oneshot(request(&alice)));
        soon(queue.next()).await.decline(DeclineReason::Unreachable, MINUTE).unwrap();
        match soon(call).await.unwrap() {
            Err(Error::Declined(declined)) => {
                assert_eq!(declined.reason(), DeclineReason::Unreachable);
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(calls.load(Ordering::SeqCst), usize::from(repeats));
    }
}

#[tokio::test]
async fn rule_5_what_went_out_and_cannot_be_sent_twice_does_not_wait() {
    let (sessions, _, clock) = setup();
    let (queue, alice) = (sessions.reauth_queue(), user("alice"));
    let (client, calls) = client(&sessions, false);
    sessions.insert(fresh(&alice, "bad", &clock)).await.unwrap();
    let outcome = soon(client.clone().oneshot(request(&alice))).await;
    assert!(matches!(outcome, Err(Error::ReauthRequired(_))));
    let held = claim(&queue).await;
    assert_eq!((held.request().reason(), held.request().waiting()), (ReauthReason::Rejected, 0));
    held.answer(fresh(&alice, "good", &clock)).await.unwrap();
    turns().await;
    assert_eq!(calls.load(Ordering::SeqCst), 1);

    // Nor after it has waited once.
    sessions.revoke(&alice).await.unwrap();
    let call = tokio::spawn(client.oneshot(request(&alice)));
    soon(queue.next()).await.answer(fresh(&alice, "bad", &clock)).await.unwrap();
    assert!(matches!(soon(call).await.unwrap(), Err(Error::ReauthRequired(_))));
    assert_eq!(calls.load(Ordering::SeqCst), 2);
    assert_eq!(queue.list(None, 9)[0].waiting(), 0);
}
