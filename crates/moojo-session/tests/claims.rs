//! Claims of the requests in the queue: who has one, and for how long.

mod common;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use chrono::TimeDelta;
use common::queue::{LEASE, MINUTE, claim, next, soon, wait, want};
use common::{TestStore, fresh, session, setup, start, turns, user};
use futures_util::FutureExt;
use moojo_session::{DeclineReason, Error, ManualClock, MemoryStore, SessionManager};
use parking_lot::Mutex;
use tokio::task::JoinSet;

#[tokio::test]
async fn an_answered_claim_lets_everybody_go_on() {
    let (sessions, _, clock) = setup();
    let (queue, alice) = (sessions.reauth_queue(), user("alice"));
    let call = wait(&sessions, &alice, None);
    let worker = next(&queue);
    let held = soon(worker).await.unwrap();
    held.answer(fresh(&alice, "one", &clock)).await.unwrap();
    assert!(soon(call).await.unwrap().is_ok());
    assert!(sessions.reauth_queue().is_empty());
}

#[tokio::test]
async fn a_claim_whose_answer_the_store_does_not_take_is_given_back() {
    let (sessions, store, clock) = setup();
    let (queue, alice) = (sessions.reauth_queue(), user("alice"));
    want(&sessions, &alice).await;
    let held = claim(&queue).await;
    store.fail(true);
    assert!(matches!(held.answer(fresh(&alice, "one", &clock)).await, Err(Error::Store(_))));
    store.fail(false);
    assert_eq!(claim(&queue).await.request().handed_out(), 2);
}

#[tokio::test]
async fn a_released_request_comes_back_after_its_pause() {
    let (sessions, _, clock) = setup();
    let (queue, alice) = (sessions.reauth_queue(), user("alice"));
    let call = wait(&sessions, &alice, None);
    turns().await;
    claim(&queue).await.release(2 * MINUTE).unwrap();
    assert!(queue.try_next().await.is_none());
    assert_eq!(queue.len(), 1);
    let next = next(&queue);
    turns().await;
    clock.advance(2 * MINUTE - Duration::from_millis(1));
    turns().await;
    assert!(!next.is_finished() && !call.is_finished());
    clock.advance(Duration::from_millis(1));
    let held = soon(next).await.unwrap();
    assert_eq!((held.request().handed_out(), held.request().waiting()), (2, 1));
}

#[tokio::test]
async fn a_request_that_is_put_aside_can_be_claimed_for_its_user() {
    let sessions = SessionManager::new(MemoryStore::new());
    let alice = user("alice");
    sessions.get(&alice).await.unwrap_err();
    let queue = sessions.reauth_queue();
    queue.next().await.release(Duration::from_secs(60)).unwrap();
    assert!(queue.try_next().await.is_none());
    assert!(queue.claim(&alice).await.is_some(), "the person comes by");
}

#[tokio::test]
async fn a_claim_that_comes_to_nothing_leaves_a_request_put_aside() {
    let (sessions, store, clock) = setup();
    let (queue, alice) = (sessions.reauth_queue(), user("alice"));
    want(&sessions, &alice).await;
    claim(&queue).await.release(5 * MINUTE).unwrap();
    // The store does not say whether it is needed, or the person goes at once.
    store.fail(true);
    assert!(queue.claim(&alice).await.is_none());
    store.fail(false);
    let mut cut_short = Box::pin(queue.claim(&alice));
    assert!((&mut cut_short).now_or_never().is_none());
    drop(cut_short);
    clock.advance(5 * MINUTE - Duration::from_secs(1));
    assert!(queue.try_next().await.is_none(), "it comes back too early");
    clock.advance(Duration::from_secs(1));
    assert!(queue.try_next().await.is_some());
}

#[tokio::test]
async fn the_request_of_a_worker_that_crashes_goes_to_another_at_once() {
    let (sessions, _, _) = setup();
    let (queue, alice) = (sessions.reauth_queue(), user("alice"));
    want(&sessions, &alice).await;
    let held = claim(&queue).await;
    let other = next(&queue);
    turns().await;
    assert!(!other.is_finished());
    let crash = tokio::spawn(async move {
        let _held = held;
        panic!("the worker crashes");
    });
    assert!(crash.await.is_err());
    assert_eq!(soon(other).await.unwrap().request().handed_out(), 2);
}

#[tokio::test]
async fn a_request_whose_worker_crashes_again_and_again_holds_up_nobody() {
    let sessions = SessionManager::new(MemoryStore::new());
    for name in ["poison", "patient"] {
        sessions.get(&user(name)).await.unwrap_err();
    }
    let queue = sessions.reauth_queue();
    drop(queue.next().await);
    assert_eq!(queue.next().await.request().user(), &user("patient"));
}

#[tokio::test]
async fn a_lease_runs_out_unless_it_is_renewed() {
    let (sessions, _, clock) = setup();
    let (queue, alice) = (sessions.reauth_queue(), user("alice"));
    want(&sessions, &alice).await;
    let mut held = claim(&queue).await;
    let other = next(&queue);
    for _ in 0..5 {
        clock.advance(LEASE - Duration::from_secs(1));
        turns().await;
        assert!(held.over().now_or_never().is_none());
        held.renew(LEASE).unwrap();
        // A wall clock that is set forward ends nothing.
        clock.jump_wall(TimeDelta::hours(1));
        turns().await;
        assert!(!other.is_finished());
    }
    let over = tokio::spawn(async move {
        held.over().await;
        held
    });
    clock.advance(LEASE);
    let held = soon(over).await.unwrap();
    let mut newer = soon(other).await.unwrap();
    assert_eq!(newer.request().handed_out(), 2);
    assert!(held.refreshed().is_err() && held.renew(LEASE).is_err());
    assert!(held.decline(DeclineReason::NotNow, LEASE).is_err());
    assert!(newer.over().now_or_never().is_none(), "the old claim takes nothing from the new one");
    // Those who wait for a lease to end learn that it ends sooner.
    let third = next(&queue);
    turns().await;
    newer.renew(Duration::from_secs(5)).unwrap();
    turns().await;
    clock.advance(Duration::from_secs(5));
    assert_eq!(soon(third).await.unwrap().request().handed_out(), 3);
}

#[tokio::test]
async fn a_lease_begins_when_the_request_is_handed_out() {
    let clock = ManualClock::new(start());
    let store = TestStore::new(&clock);
    let short = Duration::from_secs(2);
    let sessions = SessionManager::builder(store.clone()).clock(clock.clone()).lease(short).build();
    let (queue, alice) = (sessions.reauth_queue(), user("alice"));
    want(&sessions, &alice).await;
    let gate = store.gate();
    let first = next(&queue);
    gate.arrived.notified().await;
    clock.advance(Duration::from_secs(3));
    let second = next(&queue);
    turns().await;
    store.no_gate();
    turns().await;
    assert!(first.is_finished() && !second.is_finished(), "both have it, or none");
    let held = soon(first).await.unwrap();
    clock.advance(short - Duration::from_millis(1));
    assert!(held.refreshed().is_ok());
    second.abort();
}

#[tokio::test]
async fn a_request_that_a_call_waits_for_is_not_closed() {
    let clock = ManualClock::new(start());
    let sessions = SessionManager::builder(MemoryStore::new()).clock(clock.clone()).build();
    let alice = user("alice");
    sessions.get(&alice).await.unwrap_err();
    let claim = sessions.reauth_queue().next().await;
    let call = tokio::spawn({
        let (sessions, alice) = (sessions.clone(), alice.clone());
        async move { sessions.wait(&alice, Duration::from_secs(300)).await }
    });
    turns().await;
    assert!(!claim.close_unless_awaited());
    assert_eq!(sessions.reauth_queue().len(), 1, "the call that came meanwhile is not forgotten");
    call.abort();
    turns().await;
    assert!(claim.close_unless_awaited());
    assert!(sessions.reauth_queue().is_empty());
}

#[tokio::test]
async fn rule_6_while_the_store_is_down_nobody_is_handed_out() {
    let (sessions, store, clock) = setup();
    let queue = sessions.reauth_queue();
    let people: Vec<_> = (0..3).map(|n| user(&format!("user-{n}"))).collect();
    for person in &people {
        want(&sessions, person).await;
    }
    store.fail(true);
    assert!(queue.try_next().await.is_none());
    assert!(queue.claim(&people[0]).await.is_none());
    let next = next(&queue);
    for _ in 0..10 {
        turns().await;
        clock.advance(Duration::from_secs(2));
    }
    turns().await;
    assert!(!next.is_finished());
    assert_eq!(queue.len(), 3, "nothing is lost");
    store.fail(false);
    // The longest rest of a store that was down.
    clock.advance(Duration::from_secs(30));
    let held = soon(next).await.unwrap();
    assert_eq!(held.request().user(), &people[0], "the oldest first");
    assert_eq!(held.request().handed_out(), 1, "it was not handed out before");
}

#[tokio::test]
async fn rule_6_a_store_that_is_down_is_not_asked_for_each_request() {
    let (sessions, store, clock) = setup();
    let queue = sessions.reauth_queue();
    let people: Vec<_> = (0..1000).map(|n| user(&format!("user-{n}"))).collect();
    for person in &people {
        want(&sessions, person).await;
    }
    store.fail(true);
    let before = store.loads();
    let next = next(&queue);
    for _ in 0..5 {
        turns().await;
        clock.advance(Duration::from_secs(2));
    }
    turns().await;
    let loads = store.loads() - before;
    assert!(loads <= 5 + 4, "{loads} loads in ten seconds");
    assert_eq!(queue.len(), 1000);
    store.fail(false);
    clock.advance(Duration::from_secs(30));
    soon(next).await.unwrap().release(Duration::ZERO).unwrap();
    let mut handed_out = HashSet::new();
    while let Some(held) = queue.try_next().await {
        handed_out.insert(held.request().user().clone());
        held.release(MINUTE).unwrap();
    }
    assert_eq!(handed_out.len(), 1000, "all at once");
}

#[tokio::test]
async fn a_user_whose_record_cannot_be_read_holds_up_nobody() {
    let (sessions, store, _) = setup();
    let queue = sessions.reauth_queue();
    let [poison, patient] = ["poison", "patient"].map(user);
    want(&sessions, &poison).await;
    want(&sessions, &patient).await;
    store.forge(&poison, session(&patient, "of-another", start() + TimeDelta::hours(2)));
    assert_eq!(claim(&queue).await.request().user(), &patient);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_7_two_workers_never_have_the_same_user() {
    let (sessions, _, clock) = setup();
    let queue = sessions.reauth_queue();
    let people: Vec<_> = (0..300).map(|n| user(&format!("user-{n}"))).collect();
    let calls: Vec<_> = people.iter().map(|person| wait(&sessions, person, None)).collect();
    let at_work = Arc::new(Mutex::new(HashSet::new()));
    let handed_out = Arc::new(AtomicUsize::new(0));
    let mut workers = JoinSet::new();
    for worker in 0..4 {
        let (queue, at_work, clock) = (queue.clone(), Arc::clone(&at_work), clock.clone());
        let handed_out = Arc::clone(&handed_out);
        workers.spawn(async move {
            loop {
                let held = queue.next().await;
                let person = held.request().user().clone();
                assert!(at_work.lock().insert(person.clone()), "two have {person}");
                tokio::task::yield_now().await;
                let count = handed_out.fetch_add(1, Ordering::SeqCst);
                at_work.lock().remove(&person);
                match (count + worker) % 3 {
                    0 => drop(held),
                    1 => held.answer(fresh(&person, "token", &clock)).await.unwrap(),
                    _ => held.release(Duration::ZERO).unwrap(),
                }
            }
        });
    }
    for call in calls {
        assert!(soon(call).await.unwrap().is_ok());
    }
    assert!(queue.is_empty());
    assert_eq!(queue.list(None, 9).len(), 0);
    assert!(workers.try_join_next().is_none(), "none has failed");
}

#[tokio::test]
async fn rule_10_a_worker_that_goes_away_at_any_moment_loses_nothing() {
    let (sessions, store, _) = setup();
    let (queue, alice) = (sessions.reauth_queue(), user("alice"));
    want(&sessions, &alice).await;
    let gate = store.gate();
    let mut dropped = 0;
    for polls in 0..12 {
        if polls == 6 {
            store.no_gate();
        }
        let mut next = Box::pin(queue.next());
        for _ in 0..polls {
            if futures_util::poll!(next.as_mut()).is_ready() {
                break;
            }
            dropped += 1;
            tokio::task::yield_now().await;
        }
        drop(next);
        assert_eq!(queue.len(), 1);
    }
    drop(gate);
    assert!(dropped > 10, "the future was dropped while it was at work");
    turns().await;
    assert_eq!(claim(&queue).await.request().user(), &alice);

    // One who waits for the first request, too.
    let bob = user("bob");
    let mut gone = Box::pin(queue.next());
    let mut stays = Box::pin(queue.next());
    // Alice's claim was dropped above: both look for one more after it is taken.
    let held = claim(&queue).await;
    assert!(futures_util::poll!(stays.as_mut()).is_pending());
    assert!(futures_util::poll!(gone.as_mut()).is_pending());
    want(&sessions, &bob).await;
    // It claims, and goes.
    let _ = futures_util::poll!(gone.as_mut());
    drop(gone);
    assert_eq!(soon(stays).await.request().user(), &bob);
    drop(held);
}
