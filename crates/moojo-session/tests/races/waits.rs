//! Calls that wait for a login, and how many may.

use std::time::Duration;

use http::{Request, Response, StatusCode};
use moojo_session::{
    Clock, Error, Limit, ManualClock, MemoryStore, OnReauth, SessionLayer, SessionManager,
    SessionStore, UserId,
};
use tower::util::BoxCloneService;
use tower::{Layer, ServiceExt, service_fn};

use crate::common::{TestStore, fresh, setup, start, turns, user};

#[tokio::test]
async fn a_waiter_gets_the_session_that_arrives() {
    let (sessions, _, clock) = setup();
    let alice = user("alice");
    let waiters: Vec<_> = (0..100)
        .map(|_| {
            let (sessions, alice) = (sessions.clone(), alice.clone());
            tokio::spawn(async move { sessions.wait(&alice, Duration::from_secs(300)).await })
        })
        .collect();
    tokio::task::yield_now().await;
    let one = fresh(&alice, "one", &clock);
    sessions.insert(one.clone()).await.unwrap();
    for waiter in waiters {
        assert_eq!(waiter.await.unwrap().unwrap(), one);
    }
    assert_eq!(sessions.wait(&alice, Duration::ZERO).await.unwrap(), one);
}

#[tokio::test]
async fn rule_10_a_waiter_has_a_deadline() {
    let (sessions, _, clock) = setup();
    let alice = user("alice");
    let mut waiter = tokio::spawn({
        let (sessions, alice) = (sessions.clone(), alice.clone());
        async move { sessions.wait(&alice, Duration::from_secs(300)).await }
    });
    let mut events = sessions.events();
    events.next().await;
    clock.advance(Duration::from_secs(299));
    tokio::task::yield_now().await;
    assert!(futures_util::poll!(&mut waiter).is_pending());
    clock.advance(Duration::from_secs(1));
    let Err(Error::ReauthRequired(signal)) = waiter.await.unwrap() else { panic!() };
    assert_eq!(signal.waited(), Some(Duration::from_secs(300)));
}

#[tokio::test(start_paused = true)]
async fn rule_10_a_waiter_has_a_deadline_by_the_runtimes_timer_too() {
    let (sessions, _, _) = setup();
    assert!(sessions.wait(&user("alice"), Duration::from_secs(300)).await.is_err());
}

#[tokio::test]
async fn rule_11_a_waiter_that_times_out_looks_at_the_store_again() {
    // No feed: the login of another process is told to nobody.
    let (sessions, store, clock) = setup();
    let alice = user("alice");
    let mut events = sessions.events();
    let waiter = tokio::spawn({
        let (sessions, alice) = (sessions.clone(), alice.clone());
        async move { sessions.wait(&alice, Duration::from_secs(300)).await }
    });
    events.next().await;
    let one = fresh(&alice, "one", &clock);
    store.memory().save(&one).await.unwrap();
    clock.advance(Duration::from_secs(300));
    assert_eq!(waiter.await.unwrap().unwrap(), one);
}

#[tokio::test]
async fn rule_11_the_waiter_is_registered_before_anybody_is_prompted() {
    let (sessions, _, clock) = setup();
    let alice = user("alice");
    // Whoever is prompted logs in at once, in the very moment of the prompt.
    let mut events = sessions.events();
    let person = tokio::spawn({
        let (sessions, alice) = (sessions.clone(), alice.clone());
        async move {
            events.next().await;
            sessions.insert(fresh(&alice, "one", &clock)).await
        }
    });
    // Neither the clock nor the runtime's timer ends this wait in the time of a test.
    sessions.wait(&alice, Duration::from_secs(1 << 30)).await.unwrap();
    person.await.unwrap().unwrap();
}

#[tokio::test]
async fn rule_12_waiters_are_bounded_and_their_places_come_back() {
    let clock = ManualClock::new(start());
    let sessions = SessionManager::builder(MemoryStore::new())
        .clock(clock.clone())
        .max_waiters(3)
        .max_waiters_per_user(2)
        .build();
    let (alice, bob) = (user("alice"), user("bob"));
    let wait = |user| {
        let sessions = sessions.clone();
        tokio::spawn(async move { sessions.wait(&user, Duration::from_secs(300)).await })
    };
    let alices = [wait(alice.clone()), wait(alice.clone())];
    tokio::task::yield_now().await;
    let error = sessions.wait(&alice, Duration::from_secs(1)).await.unwrap_err();
    assert!(matches!(error, Error::Overloaded { limit: Limit::WaitersOfUser(2) }), "{error}");
    let bobs = wait(bob.clone());
    tokio::task::yield_now().await;
    let error = sessions.wait(&user("carol"), Duration::from_secs(1)).await.unwrap_err();
    assert!(matches!(error, Error::Overloaded { limit: Limit::Waiters(3) }), "{error}");

    for waiter in alices.into_iter().chain([bobs]) {
        waiter.abort();
        let _ = waiter.await;
    }
    sessions.insert(fresh(&bob, "t", &clock)).await.unwrap();
    sessions.wait(&bob, Duration::from_secs(1)).await.unwrap();
    let again = [wait(alice.clone()), wait(alice.clone())];
    tokio::task::yield_now().await;
    sessions.insert(fresh(&alice, "t", &clock)).await.unwrap();
    for waiter in again {
        waiter.await.unwrap().unwrap();
    }
}

type Client = BoxCloneService<Request<String>, Response<String>, std::io::Error>;

/// Refuses the token `old`.
fn server() -> Client {
    BoxCloneService::new(service_fn(|request: Request<String>| {
        let old = request.headers()["authorization"] == "Bearer old";
        let status = if old { StatusCode::UNAUTHORIZED } else { StatusCode::OK };
        std::future::ready(Ok(Response::builder().status(status).body(String::new()).unwrap()))
    }))
}

fn request(alice: &UserId) -> Request<String> {
    Request::post("https://api.moojo.id/x").extension(alice.clone()).body(String::new()).unwrap()
}

#[tokio::test]
async fn a_repeat_takes_no_waiters_place() {
    let clock = ManualClock::new(start());
    let store = TestStore::new(&clock);
    let sessions =
        SessionManager::builder(store.clone()).clock(clock.clone()).max_waiters(0).build();
    let alice = user("alice");
    sessions.insert(fresh(&alice, "old", &clock)).await.unwrap();
    store.memory().save(&fresh(&alice, "new", &clock)).await.unwrap();
    let client = SessionLayer::new(sessions)
        .allow_origin("https://api.moojo.id")
        .unwrap()
        .repeat_bodies::<String>()
        .layer(server());
    let got = client.oneshot(request(&alice)).await;
    assert!(got.is_ok(), "{got:?}");
}

#[tokio::test]
async fn rule_10_all_waiting_of_a_call_has_one_deadline() {
    let (sessions, _store, clock) = setup();
    let alice = user("alice");
    let client = SessionLayer::new(sessions.clone())
        .allow_origin("https://api.moojo.id")
        .unwrap()
        .repeat_bodies::<String>()
        .on_reauth(OnReauth::Wait(Duration::from_secs(100)))
        .layer(server());
    let began = clock.monotonic();
    let call = tokio::spawn(client.oneshot(request(&alice)));
    turns().await;
    clock.advance(Duration::from_secs(99));
    sessions.insert(fresh(&alice, "old", &clock)).await.unwrap(); // will be refused
    turns().await;
    clock.advance(Duration::from_secs(50));
    turns().await;
    assert!(call.is_finished(), "waits still after {:?} of 100 s", clock.monotonic() - began);
}

#[tokio::test]
async fn who_need_not_wait_takes_no_waiters_place() {
    let clock = ManualClock::new(start());
    let sessions =
        SessionManager::builder(TestStore::new(&clock)).clock(clock.clone()).max_waiters(0).build();
    let alice = user("alice");
    sessions.insert(fresh(&alice, "one", &clock)).await.unwrap();
    let got = sessions.wait(&alice, Duration::from_secs(1)).await;
    assert!(got.is_ok(), "{got:?}");
}
