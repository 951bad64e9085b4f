//! Calls that wait for a login or a load.

use std::time::Duration;

use moojo_session::{Error, ManualClock, OnReauth, ReauthReason, SessionManager, SessionStore};
use tower::{Layer, ServiceExt};

use crate::common::{TestStore, fresh, setup, start, user};
use crate::{Server, layer, reason, request};

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
