//! The queue of those who have to log in again, and the calls that wait for them.

mod common;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use chrono::TimeDelta;
use common::{TestStore, fresh, setup, start, turns, user};
use futures_util::FutureExt;
use http::{Request, Response, StatusCode};
use moojo_session::{
    Claim, DeclineReason, Error, Limit, ManualClock, MemoryStore, OnReauth, Purpose, ReauthQueue,
    ReauthReason, Session, SessionLayer, SessionManager, UserId, Wait,
};
use parking_lot::Mutex;
use tokio::task::{JoinHandle, JoinSet};
use tower::util::BoxCloneService;
use tower::{Layer, ServiceExt, service_fn};

const MINUTE: Duration = Duration::from_secs(60);
const LEASE: Duration = MINUTE;
const LIFE: Duration = Duration::from_secs(15 * 60);

fn purpose(text: &str) -> Purpose {
    Purpose::new(text).unwrap()
}

type Waiting = JoinHandle<Result<Session, Error>>;

/// A call that waits for an hour.
fn wait(sessions: &SessionManager, user: &UserId, purpose: impl Into<Option<Purpose>>) -> Waiting {
    let (sessions, user) = (sessions.clone(), user.clone());
    let wait = Wait::up_to(60 * MINUTE).purpose(purpose);
    tokio::spawn(async move { sessions.wait_with(&user, &wait).await })
}

/// Has the user in the queue, with no call that waits.
async fn want(sessions: &SessionManager, user: &UserId) {
    assert!(matches!(sessions.get(user).await, Err(Error::ReauthRequired(_))));
}

/// The claim that there has to be now.
async fn claim(queue: &ReauthQueue) -> Claim {
    queue.try_next().await.expect("there is an open request")
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("it comes to an end")
}

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
async fn an_answered_claim_lets_everybody_go_on() {
    let (sessions, _, clock) = setup();
    let (queue, alice) = (sessions.reauth_queue(), user("alice"));
    let call = wait(&sessions, &alice, None);
    let worker = tokio::spawn(async move { queue.next().await });
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
async fn everybody_learns_that_the_person_declined_until_it_is_over() {
    let (sessions, _, clock) = setup();
    let (queue, alice) = (sessions.reauth_queue(), user("alice"));
    let calls: Vec<_> = (0..10).map(|_| wait(&sessions, &alice, None)).collect();
    turns().await;
    claim(&queue).await.decline(DeclineReason::NotNow, 10 * MINUTE).unwrap();
    let until = start() + TimeDelta::minutes(10);
    let is_declined = |result: Result<Session, Error>| match result {
        Err(Error::Declined(declined)) => {
            let Declined { user, reason, until: told } = Declined::of(&declined);
            assert_eq!((user, reason, told), (alice.clone(), DeclineReason::NotNow, until));
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

/// What a [`moojo_session::Declined`] says.
struct Declined {
    user: UserId,
    reason: DeclineReason,
    until: chrono::DateTime<chrono::Utc>,
}

impl Declined {
    fn of(declined: &moojo_session::Declined) -> Self {
        let (user, reason) = (declined.user().clone(), declined.reason());
        Self { user, reason, until: declined.until() }
    }
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
async fn a_released_request_comes_back_after_its_pause() {
    let (sessions, _, clock) = setup();
    let (queue, alice) = (sessions.reauth_queue(), user("alice"));
    let call = wait(&sessions, &alice, None);
    turns().await;
    claim(&queue).await.release(2 * MINUTE).unwrap();
    assert!(queue.try_next().await.is_none());
    assert_eq!(queue.len(), 1);
    let next = tokio::spawn(async move { queue.next().await });
    turns().await;
    clock.advance(2 * MINUTE - Duration::from_millis(1));
    turns().await;
    assert!(!next.is_finished() && !call.is_finished());
    clock.advance(Duration::from_millis(1));
    let held = soon(next).await.unwrap();
    assert_eq!((held.request().handed_out(), held.request().waiting()), (2, 1));
}

#[tokio::test]
async fn the_request_of_a_worker_that_crashes_goes_to_another_at_once() {
    let (sessions, _, _) = setup();
    let (queue, alice) = (sessions.reauth_queue(), user("alice"));
    want(&sessions, &alice).await;
    let held = claim(&queue).await;
    let other = tokio::spawn({
        let queue = queue.clone();
        async move { queue.next().await }
    });
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
async fn a_lease_runs_out_unless_it_is_renewed() {
    let (sessions, _, clock) = setup();
    let (queue, alice) = (sessions.reauth_queue(), user("alice"));
    want(&sessions, &alice).await;
    let mut held = claim(&queue).await;
    let other = tokio::spawn({
        let queue = queue.clone();
        async move { queue.next().await }
    });
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
    let third = tokio::spawn(async move { queue.next().await });
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
    let first = tokio::spawn({
        let queue = queue.clone();
        async move { queue.next().await }
    });
    gate.arrived.notified().await;
    clock.advance(Duration::from_secs(3));
    let second = tokio::spawn({
        let queue = queue.clone();
        async move { queue.next().await }
    });
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
    let next = tokio::spawn({
        let queue = queue.clone();
        async move { queue.next().await }
    });
    for _ in 0..10 {
        turns().await;
        clock.advance(Duration::from_secs(2));
    }
    turns().await;
    assert!(!next.is_finished());
    assert_eq!(queue.len(), 3, "nothing is lost");
    store.fail(false);
    clock.advance(Duration::from_secs(2));
    let held = soon(next).await.unwrap();
    assert_eq!(held.request().user(), &people[0], "the oldest first");
    assert_eq!(held.request().handed_out(), 1, "it was not handed out before");
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
    want(&sessions, &alice).await;
    want(&sessions, &bob).await;
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
    call.abort();
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
