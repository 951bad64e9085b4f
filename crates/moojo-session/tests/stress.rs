//! Must hold: 1,000 users, 200,000 requests over a real loopback server that echoes the token, with
//! logins, removals and refusals going on. No request carries another user's token, and none goes
//! out without one.

#![allow(clippy::print_stdout)]

#[path = "common/server.rs"]
mod server;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use chrono::{TimeDelta, Utc};
use http::header::AUTHORIZATION;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use moojo_session::{
    AccessToken, Error, MemoryStore, Session, SessionLayer, SessionManager, UserHandle, UserId,
};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use server::{Body, client, serve};
use tokio::task::JoinSet;
use tower::{Layer, Service, ServiceExt};

const USERS: usize = 1_000;
/// More than are asked for: a call whose user has to log in first does not arrive.
const CALLS: usize = 215_000;
const TASKS: usize = 64;

#[derive(Default)]
struct Seen {
    requests: AtomicUsize,
    without_token: AtomicUsize,
    of_another: AtomicUsize,
    refused: AtomicUsize,
}

/// What came of the calls.
#[derive(Default)]
struct Outcomes {
    answered: AtomicUsize,
    wrong_echo: AtomicUsize,
    reauth: AtomicUsize,
    newer: AtomicUsize,
}

/// A token names its user, a counter, and whether the server is going to refuse it.
fn token(user: &UserId, number: usize, good: bool) -> AccessToken {
    AccessToken::new(format!("{user}.{number}.{}", if good { "good" } else { "bad" })).unwrap()
}

fn answer(seen: &Seen, request: &Request<hyper::body::Incoming>) -> Response<Body> {
    seen.requests.fetch_add(1, Ordering::Relaxed);
    let expected = request.headers()["x-expected-user"].to_str().unwrap();
    let token = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let Some(token) = token.and_then(|value| value.strip_prefix("Bearer ")) else {
        seen.without_token.fetch_add(1, Ordering::Relaxed);
        return Response::new(Body::default());
    };
    if token.split('.').next() != Some(expected) {
        seen.of_another.fetch_add(1, Ordering::Relaxed);
    }
    let mut response = Response::new(Body::new(Bytes::from(token.to_owned())));
    if token.ends_with(".bad") {
        seen.refused.fetch_add(1, Ordering::Relaxed);
        *response.status_mut() = StatusCode::UNAUTHORIZED;
    }
    response
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_1_and_3_no_request_with_anothers_token_and_none_without_under_stress() {
    let seen = Arc::new(Seen::default());
    let server = {
        let seen = Arc::clone(&seen);
        serve(move |request| answer(&seen, request)).await
    };
    let origin = format!("http://{server}");
    // Fewer slots than users: they come and go as well.
    let sessions = SessionManager::builder(MemoryStore::new()).max_users(600).build();
    let client = SessionLayer::new(sessions.clone())
        .allow_origin(&origin)
        .unwrap()
        .repeat_bodies::<Body>()
        .layer(client());
    let users: Arc<Vec<UserId>> =
        Arc::new((0..USERS).map(|n| UserId::new(format!("user-{n:04}")).unwrap()).collect());
    let outcomes = Arc::new(Outcomes::default());

    let mut tasks = JoinSet::new();
    for task in 0..TASKS {
        let (users, origin, outcomes) = (Arc::clone(&users), origin.clone(), Arc::clone(&outcomes));
        let (sessions, client) = (sessions.clone(), client.clone());
        tasks.spawn(async move {
            let mut random = StdRng::seed_from_u64(task as u64);
            // A few users whom the task calls for by handle.
            let handles: Vec<UserHandle> =
                (0..3).map(|n| sessions.handle(&users[(task * 3 + n) % USERS])).collect();
            for number in 0..CALLS / TASKS {
                let handle = &handles[number % handles.len()];
                let by_handle = random.random_bool(0.3);
                let user =
                    if by_handle { handle.user() } else { &users[random.random_range(0..USERS)] };
                match random.random_range(0..100) {
                    0..2 => drop(sessions.revoke(user).await.unwrap()),
                    2..10 => login(&sessions, user, number, random.random_bool(0.8)).await,
                    _ => {}
                }
                let mut request = Request::post(&origin)
                    .header("x-expected-user", user.as_str())
                    .body(Body::default())
                    .unwrap();
                if by_handle {
                    request.extensions_mut().insert(handle.clone());
                } else {
                    request.extensions_mut().insert(user.clone());
                }
                call(&client, &sessions, request, user, &outcomes).await;
            }
        });
    }
    while let Some(task) = tasks.join_next().await {
        task.unwrap();
    }

    let count = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
    println!(
        "{} requests arrived, {} answered, {} refused, {} signals, {} left as 401",
        count(&seen.requests),
        count(&outcomes.answered),
        count(&seen.refused),
        count(&outcomes.reauth),
        count(&outcomes.newer),
    );
    assert_eq!(count(&seen.of_another), 0);
    assert_eq!(count(&seen.without_token), 0);
    assert_eq!(count(&outcomes.wrong_echo), 0);
    // The run did what it says: all of it happened, and often.
    assert!(count(&seen.requests) >= 200_000);
    assert!(count(&seen.refused) > 100 && count(&outcomes.reauth) > 100);
}

async fn login(sessions: &SessionManager, user: &UserId, number: usize, good: bool) {
    let session = Session::builder(user.clone(), token(user, number, good))
        .expires_at(Utc::now() + TimeDelta::hours(2));
    sessions.insert(session.build().unwrap()).await.unwrap();
}

/// One call, and a login if that is what it takes.
async fn call<S>(
    client: &S,
    sessions: &SessionManager,
    request: Request<Body>,
    user: &UserId,
    outcomes: &Outcomes,
) where
    S: Service<
            Request<Body>,
            Response = Response<hyper::body::Incoming>,
            Error = Error<hyper_util::client::legacy::Error>,
        > + Clone,
{
    match client.clone().oneshot(request).await {
        Ok(response) if response.status() == StatusCode::UNAUTHORIZED => {
            // The repeat was refused too, and yet another login is there by now.
            outcomes.newer.fetch_add(1, Ordering::Relaxed);
        }
        Ok(response) => {
            let echo = response.into_body().collect().await.unwrap().to_bytes();
            if !echo.starts_with(format!("{user}.").as_bytes()) {
                outcomes.wrong_echo.fetch_add(1, Ordering::Relaxed);
            }
            outcomes.answered.fetch_add(1, Ordering::Relaxed);
        }
        Err(Error::ReauthRequired(signal)) => {
            assert_eq!(signal.user(), user);
            outcomes.reauth.fetch_add(1, Ordering::Relaxed);
            login(sessions, user, usize::MAX, true).await;
        }
        Err(error) => panic!("{error}"),
    }
}
