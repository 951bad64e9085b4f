//! The queue of those who have to log in again: what is in it, and for how long.

mod common;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use common::queue::{LIFE, MINUTE, claim, purpose, soon, wait, want};
use common::{TestStore, fresh, setup, start, turns, user};
use futures_util::FutureExt;
use moojo_session::{
    DeclineReason, Error, Limit, ManualClock, MemoryStore, ReauthReason, SessionManager,
};

#[tokio::test]
async fn rule_7_however_many_calls_wait_one_request_is_open() {
    let (sessions, _, clock) = setup();
    let (queue, alice) = (sessions.reauth_queue(), user("alice"));
    let texts = ["calendar", "mail"];
    let calls: Vec<_> = (0..100).map(|n| wait(&sessions, &alice, purpose(texts[n % 2]))).collect();
    turns().await;
    want(&sessions, &alice).await;
    assert_eq!(queue.len(), 1);
    let mut held = claim(&queue).await;
    let request = held.request();
    assert_eq!(request.user(), &alice);
    assert_eq!((request.reason(), request.since()), (ReauthReason::Missing, start()));
    assert_eq!((request.waiting(), request.handed_out()), (100, 1));
    let purposes: HashSet<_> = request.purposes().iter().cloned().collect();
    assert_eq!(purposes, HashSet::from(["calendar", "mail"].map(purpose)));
    assert!(queue.try_next().await.is_none(), "it is claimed");
    assert!(queue.claim(&alice).await.is_none());
    assert!(held.over().now_or_never().is_none());
    let login = fresh(&alice, "one", &clock);
    sessions.insert(login.clone()).await.unwrap();
    soon(held.over()).await;
    soon(held.over()).await;
    assert!(held.refreshed().is_err());
    for call in calls {
        assert_eq!(soon(call).await.unwrap().unwrap(), login);
    }
    assert!(queue.is_empty());
    drop(held);
    assert!(queue.try_next().await.is_none(), "a claim that is over brings nothing back");
}

#[tokio::test]
async fn rule_12_at_most_eight_purposes_are_told_and_those_who_leave_take_theirs_with_them() {
    let (sessions, _, _) = setup();
    let (queue, alice) = (sessions.reauth_queue(), user("alice"));
    let mut calls = Vec::new();
    for n in 0..20 {
        calls.push(wait(&sessions, &alice, purpose(&format!("purpose {n}"))));
        turns().await;
    }
    let request = queue.list(None, 9).remove(0);
    assert_eq!((request.waiting(), request.purposes().len()), (20, 8));
    for (n, call) in calls.iter().enumerate() {
        call.abort();
        turns().await;
        let request = queue.list(None, 9).remove(0);
        assert_eq!(request.waiting(), 19 - n);
        assert_eq!(request.purposes().len(), 7_usize.saturating_sub(n));
    }
}

#[tokio::test]
async fn a_request_lapses_when_nobody_has_wanted_it_for_long() {
    let (sessions, _, clock) = setup();
    let (queue, alice, bob) = (sessions.reauth_queue(), user("alice"), user("bob"));
    want(&sessions, &alice).await;
    let call = wait(&sessions, &bob, None);
    turns().await;
    clock.advance(LIFE - Duration::from_secs(1));
    want(&sessions, &alice).await;
    clock.advance(LIFE - Duration::from_secs(1));
    assert_eq!(queue.len(), 2);
    clock.advance(Duration::from_secs(1));
    let open = queue.list(None, 9);
    assert_eq!(open.len(), 1);
    assert_eq!(open[0].user(), &bob, "a call waits for it");
    call.abort();
    turns().await;
    assert!(queue.is_empty(), "nobody does any more");
}

#[tokio::test]
async fn the_list_can_be_read_page_by_page() {
    let (sessions, _, _) = setup();
    let queue = sessions.reauth_queue();
    let mut people: Vec<_> = (0..25).map(|n| user(&format!("user-{n}"))).collect();
    for person in &people {
        want(&sessions, person).await;
    }
    let held = claim(&queue).await;
    people.sort();
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = queue.list(after.as_ref(), 10);
        let Some(last) = page.last() else { break };
        after = Some(last.user().clone());
        assert!(page.len() <= 10);
        seen.extend(page.iter().map(|request| request.user().clone()));
    }
    assert_eq!(seen, people, "each once, claimed or not");
    assert!(queue.list(None, 0).is_empty());
    drop(held);
}

#[tokio::test]
async fn rule_12_one_request_too_many_is_refused_by_its_type() {
    let clock = ManualClock::new(start());
    let store = TestStore::new(&clock);
    let sessions = SessionManager::builder(store).clock(clock.clone()).max_requests(2).build();
    let queue = sessions.reauth_queue();
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(user);
    let calls = [&alice, &bob].map(|user| wait(&sessions, user, None));
    turns().await;
    want(&sessions, &carol).await;
    let too_many = |error| matches!(error, Error::Overloaded { limit: Limit::Requests(2) });
    assert!(too_many(soon(wait(&sessions, &carol, None)).await.unwrap().unwrap_err()));
    assert_eq!(queue.len(), 2);
    // Who declined takes a place as well: it has to be remembered.
    claim(&queue).await.decline(DeclineReason::NotNow, MINUTE).unwrap();
    assert!(too_many(soon(wait(&sessions, &carol, None)).await.unwrap().unwrap_err()));
    sessions.insert(fresh(&bob, "one", &clock)).await.unwrap();
    let call = wait(&sessions, &carol, None);
    turns().await;
    assert_eq!(claim(&queue).await.request().user(), &carol);
    for call in calls.into_iter().chain([call]) {
        call.abort();
    }
}

#[tokio::test]
async fn rule_12_calls_that_failed_keep_out_none_that_waits() {
    let clock = ManualClock::new(start());
    let store = TestStore::new(&clock);
    let sessions = SessionManager::builder(store).clock(clock.clone()).max_requests(3).build();
    let queue = sessions.reauth_queue();
    for n in 0..100 {
        want(&sessions, &user(&format!("nobody-{n}"))).await;
    }
    let people = ["alice", "bob", "carol"].map(user);
    let calls = people.clone().map(|user| wait(&sessions, &user, None));
    turns().await;
    let open: Vec<_> = queue.list(None, 9).iter().map(|r| r.user().clone()).collect();
    assert_eq!(open, people);
    for call in calls {
        call.abort();
    }
}

#[tokio::test]
async fn a_login_closes_its_request_though_the_table_is_full() {
    let clock = ManualClock::new(start());
    let store = TestStore::new(&clock);
    let sessions = SessionManager::builder(store).clock(clock.clone()).max_users(1).build();
    let (queue, alice) = (sessions.reauth_queue(), user("alice"));
    want(&sessions, &alice).await;
    // Bob takes the only place, and keeps it.
    let call = wait(&sessions, &user("bob"), None);
    turns().await;
    sessions.insert(fresh(&alice, "one", &clock)).await.unwrap();
    let open: Vec<_> = queue.list(None, 9).iter().map(|r| r.user().to_string()).collect();
    assert_eq!(open, ["bob"]);
    call.abort();
}

#[tokio::test]
async fn rule_11_who_has_logged_in_elsewhere_is_not_handed_out() {
    let clock = ManualClock::new(start());
    let store = MemoryStore::builder().clock(clock.clone()).build();
    let manager = || SessionManager::builder(Arc::new(store.clone())).clock(clock.clone()).build();
    let quiet = TestStore::new(&clock);
    let here = SessionManager::builder(quiet.clone()).clock(clock.clone()).build();
    let there = SessionManager::builder(quiet.memory().clone()).clock(clock.clone()).build();
    let [alice, bob] = ["alice", "bob"].map(user);
    want(&here, &alice).await;
    want(&here, &bob).await;
    // No feed tells of it.
    there.insert(fresh(&alice, "one", &clock)).await.unwrap();
    let queue = here.reauth_queue();
    assert_eq!(queue.len(), 2);
    assert!(queue.claim(&alice).await.is_none());
    assert_eq!(queue.len(), 1, "and it is closed");
    assert_eq!(claim(&queue).await.request().user(), &bob);

    // Where a feed tells of it, it is over for who has claimed it, and whoever waits goes on.
    let (here, there) = (manager(), manager());
    let queue = here.reauth_queue();
    let call = wait(&here, &alice, None);
    turns().await;
    let mut held = claim(&queue).await;
    there.insert(fresh(&alice, "two", &clock)).await.unwrap();
    soon(held.over()).await;
    assert!(soon(call).await.unwrap().is_ok());
}

#[tokio::test]
async fn a_login_in_another_process_ends_a_request_that_nobody_waits_for() {
    let (clock, store) = (ManualClock::new(start()), MemoryStore::new());
    let manager = || SessionManager::builder(store.clone()).clock(clock.clone()).build();
    let (here, there) = (manager(), manager());
    let alice = user("alice");
    here.get(&alice).await.unwrap_err();
    assert_eq!(here.reauth_queue().len(), 1);
    there.insert(fresh(&alice, "one", &clock)).await.unwrap();
    turns().await;
    assert!(here.reauth_queue().is_empty());
}
