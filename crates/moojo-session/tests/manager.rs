//! The session manager over a store that a test can look into and break.

mod common;

use std::time::Duration;

use chrono::TimeDelta;
use common::{TestStore, fresh, session, setup, start, user};
use moojo_session::{
    Clock, Error, Event, Limit, ManualClock, MemoryStore, ReauthReason, ReauthRequired, Session,
    SessionManager, SessionStore, StoreErrorKind,
};

fn reason(result: Result<Session, Error>) -> ReauthReason {
    match result {
        Err(Error::ReauthRequired(signal)) => signal.reason(),
        other => panic!("not the signal: {other:?}"),
    }
}

fn store_error(result: Result<Session, Error>) -> StoreErrorKind {
    match result {
        Err(Error::Store(error)) => error.kind(),
        other => panic!("not a store error: {other:?}"),
    }
}

#[tokio::test]
async fn every_reason_of_the_signal() {
    let (sessions, _, clock) = setup();
    let alice = user("alice");
    assert_eq!(reason(sessions.get(&alice).await), ReauthReason::Missing);

    sessions.insert(fresh(&alice, "one", &clock)).await.unwrap();
    clock.advance(Duration::from_secs(7200));
    assert_eq!(reason(sessions.get(&alice).await), ReauthReason::Expired);
    assert_eq!(reason(sessions.get(&alice).await), ReauthReason::Expired);

    let refused = fresh(&alice, "two", &clock);
    sessions.insert(refused.clone()).await.unwrap();
    assert!(sessions.reject(&refused).await.unwrap());
    assert_eq!(reason(sessions.get(&alice).await), ReauthReason::Rejected);

    sessions.insert(fresh(&alice, "three", &clock)).await.unwrap();
    assert!(sessions.revoke(&alice).await.unwrap());
    assert!(!sessions.revoke(&alice).await.unwrap());
    let signal = match sessions.get(&alice).await {
        Err(Error::ReauthRequired(signal)) => signal,
        other => panic!("{other:?}"),
    };
    assert_eq!((signal.user(), signal.reason()), (&alice, ReauthReason::Revoked));
    assert_eq!((signal.at(), signal.trace_id()), (clock.now(), None));
}

#[tokio::test]
async fn a_live_session_costs_the_store_nothing() {
    let (sessions, store, clock) = setup();
    let alice = user("alice");
    sessions.insert(fresh(&alice, "one", &clock)).await.unwrap();
    for _ in 0..100 {
        sessions.get(&alice).await.unwrap();
    }
    assert_eq!(store.loads(), 0);
}

#[tokio::test]
async fn rule_1_a_session_of_another_user_is_neither_used_nor_kept() {
    let (sessions, store, clock) = setup();
    let (alice, mallory) = (user("alice"), user("mallory"));
    store.forge(&alice, fresh(&mallory, "mallorys", &clock));
    assert_eq!(store_error(sessions.get(&alice).await), StoreErrorKind::Corrupt);
    assert_eq!(store_error(sessions.get(&alice).await), StoreErrorKind::Corrupt);
    assert_eq!(store.loads(), 2);
}

#[tokio::test]
async fn rule_4_the_margin_is_part_of_the_end() {
    let (sessions, _, clock) = setup();
    let alice = user("alice");
    sessions.insert(fresh(&alice, "one", &clock)).await.unwrap();
    clock.advance(Duration::from_secs(7200 - 30) - Duration::from_nanos(1));
    assert!(sessions.get(&alice).await.is_ok());
    clock.advance(Duration::from_nanos(1));
    assert_eq!(reason(sessions.get(&alice).await), ReauthReason::Expired);
}

#[tokio::test]
async fn rule_4_a_margin_can_be_set() {
    let clock = ManualClock::new(start());
    let sessions = SessionManager::builder(MemoryStore::new())
        .clock(clock.clone())
        .expiry_margin(Duration::ZERO)
        .build();
    let alice = user("alice");
    sessions.insert(fresh(&alice, "one", &clock)).await.unwrap();
    clock.advance(Duration::from_secs(7199));
    assert!(sessions.get(&alice).await.is_ok());
    clock.advance(Duration::from_secs(1));
    assert_eq!(reason(sessions.get(&alice).await), ReauthReason::Expired);
}

#[tokio::test]
async fn rule_4_a_wall_clock_set_back_gives_no_session_more_time() {
    let (sessions, store, clock) = setup();
    let alice = user("alice");
    sessions.insert(fresh(&alice, "one", &clock)).await.unwrap();
    clock.jump_wall(TimeDelta::hours(-5));
    clock.advance(Duration::from_secs(7200 - 31));
    assert!(sessions.get(&alice).await.is_ok());
    clock.advance(Duration::from_secs(1));
    // By the wall clock it would live for five more hours, and the store goes by that.
    assert!(store.memory().load(&alice).await.unwrap().is_some());
    assert_eq!(reason(sessions.get(&alice).await), ReauthReason::Expired);
    assert_eq!(reason(sessions.get(&alice).await), ReauthReason::Expired);
    // Other processes judge for themselves: the store keeps it.
    assert!(store.memory().load(&alice).await.unwrap().is_some());
}

#[tokio::test]
async fn rule_4_a_wall_clock_set_forward_ends_the_session_at_once() {
    let (sessions, _, clock) = setup();
    let alice = user("alice");
    sessions.insert(fresh(&alice, "one", &clock)).await.unwrap();
    clock.jump_wall(TimeDelta::hours(3));
    assert_eq!(reason(sessions.get(&alice).await), ReauthReason::Expired);
}

#[tokio::test]
async fn a_session_that_has_ended_is_not_taken_and_displaces_nothing() {
    let (sessions, _, clock) = setup();
    let alice = user("alice");
    sessions.insert(fresh(&alice, "good", &clock)).await.unwrap();
    let ended = session(&alice, "ended", clock.now());
    assert!(matches!(sessions.insert(ended).await, Err(Error::AlreadyExpired { .. })));
    assert_eq!(sessions.get(&alice).await.unwrap().access_token().expose_secret(), "good");
}

#[tokio::test]
async fn rule_5_a_late_refusal_leaves_the_newer_session() {
    let (sessions, store, clock) = setup();
    let alice = user("alice");
    let old = fresh(&alice, "old", &clock);
    sessions.insert(old.clone()).await.unwrap();
    let new = fresh(&alice, "new", &clock);
    sessions.insert(new.clone()).await.unwrap();
    assert!(!sessions.reject(&old).await.unwrap());
    assert_eq!(sessions.get(&alice).await.unwrap(), new);
    assert_eq!(store.memory().load(&alice).await.unwrap(), Some(new));
    assert_eq!(store.loads(), 0);
}

#[tokio::test]
async fn rule_5_a_refusal_makes_a_newer_login_of_another_process_seen() {
    let (sessions, store, clock) = setup();
    let alice = user("alice");
    let old = fresh(&alice, "old", &clock);
    sessions.insert(old.clone()).await.unwrap();
    let new = fresh(&alice, "new", &clock);
    store.memory().save(&new).await.unwrap();
    assert_eq!(sessions.get(&alice).await.unwrap(), old);
    assert!(!sessions.reject(&old).await.unwrap());
    assert_eq!(sessions.get(&alice).await.unwrap(), new);
}

#[tokio::test]
async fn rule_6_an_outage_is_no_signal_and_removes_nothing() {
    let (sessions, store, clock) = setup();
    let (alice, bob) = (user("alice"), user("bob"));
    let mut events = sessions.events();
    sessions.insert(fresh(&alice, "one", &clock)).await.unwrap();
    let bobs = fresh(&bob, "two", &clock);
    store.memory().save(&bobs).await.unwrap();

    store.fail(true);
    assert!(sessions.get(&alice).await.is_ok(), "what is in memory goes on working");
    assert_eq!(store_error(sessions.get(&bob).await), StoreErrorKind::Unavailable);
    assert_eq!(store_error(sessions.get(&user("carol")).await), StoreErrorKind::Unavailable);
    store.fail(false);
    assert_eq!(sessions.get(&bob).await.unwrap(), bobs);

    assert!(matches!(events.next().await, Some(Event::Saved { .. })));
    drop((sessions, store));
    assert!(events.next().await.is_none(), "nobody was prompted");
}

#[tokio::test(start_paused = true)]
async fn rule_6_a_store_that_hangs_times_out_as_a_store_error() {
    let (sessions, store, clock) = setup();
    let alice = user("alice");
    store.hang(true);
    assert_eq!(store_error(sessions.get(&alice).await), StoreErrorKind::TimedOut);
    let insert = sessions.insert(fresh(&alice, "one", &clock)).await;
    assert!(matches!(insert, Err(Error::Store(error)) if error.kind() == StoreErrorKind::TimedOut));
    assert!(matches!(sessions.revoke(&alice).await, Err(Error::Store(_))));
    store.hang(false);
    assert_eq!(reason(sessions.get(&alice).await), ReauthReason::Missing);
}

#[tokio::test]
async fn rule_6_a_panic_in_the_store_is_an_outage() {
    let (sessions, store, clock) = setup();
    let alice = user("alice");
    store.panic(true);
    assert_eq!(store_error(sessions.get(&alice).await), StoreErrorKind::Unavailable);
    store.panic(false);
    sessions.insert(fresh(&alice, "one", &clock)).await.unwrap();
    assert!(sessions.get(&alice).await.is_ok());
}

#[tokio::test]
async fn an_expired_session_is_no_signal_while_the_store_is_away() {
    let (sessions, store, clock) = setup();
    let alice = user("alice");
    sessions.insert(fresh(&alice, "one", &clock)).await.unwrap();
    clock.advance(Duration::from_secs(7200));
    store.fail(true);
    assert_eq!(store_error(sessions.get(&alice).await), StoreErrorKind::Unavailable);
    store.fail(false);
    assert_eq!(reason(sessions.get(&alice).await), ReauthReason::Expired);
}

#[tokio::test]
async fn a_failed_revocation_is_not_forgotten_by_this_process() {
    let (sessions, store, clock) = setup();
    let alice = user("alice");
    sessions.insert(fresh(&alice, "one", &clock)).await.unwrap();
    store.fail(true);
    assert!(matches!(sessions.revoke(&alice).await, Err(Error::Store(_))));
    assert_eq!(store_error(sessions.get(&alice).await), StoreErrorKind::Unavailable);
}

#[tokio::test]
async fn rule_12_slots_are_bounded_and_losing_one_is_no_logout() {
    let clock = ManualClock::new(start());
    let store = TestStore::new(&clock);
    let sessions =
        SessionManager::builder(store.clone()).clock(clock.clone()).max_users(10).build();
    for n in 0..1000 {
        let user = user(&format!("user-{n}"));
        sessions.insert(fresh(&user, "t", &clock)).await.unwrap();
        clock.advance(Duration::from_secs(1));
        assert!(sessions.users() <= 10);
    }
    assert_eq!(store.loads(), 0);
    assert!(sessions.get(&user("user-0")).await.is_ok(), "still in the store");
    assert_eq!(store.loads(), 1);
}

#[tokio::test]
async fn rule_12_when_every_slot_is_in_use_the_refusal_is_typed() {
    let clock = ManualClock::new(start());
    let store = TestStore::new(&clock);
    let sessions = SessionManager::builder(store.clone()).clock(clock.clone()).max_users(2).build();
    let held = [sessions.handle(&user("a")), sessions.handle(&user("b"))];
    let error = sessions.get(&user("c")).await.unwrap_err();
    assert!(matches!(error, Error::Overloaded { limit: Limit::Users(2) }), "{error:?}");
    // A login is taken all the same: it is in the store.
    let carols = fresh(&user("c"), "t", &clock);
    sessions.insert(carols.clone()).await.unwrap();
    drop(held);
    assert_eq!(sessions.get(&user("c")).await.unwrap(), carols);
}

#[tokio::test]
async fn idle_slots_go() {
    let (sessions, _, clock) = setup();
    for n in 0..20_000 {
        sessions.insert(fresh(&user(&format!("first-{n}")), "t", &clock)).await.unwrap();
    }
    assert_eq!(sessions.users(), 20_000);
    clock.advance(Duration::from_secs(16 * 60));
    for n in 0..20_000 {
        sessions.insert(fresh(&user(&format!("second-{n}")), "t", &clock)).await.unwrap();
    }
    assert!(sessions.users() < 30_000, "{}", sessions.users());
    for n in 0..20_000 {
        let second = user(&format!("second-{n}"));
        sessions.get(&second).await.unwrap();
    }
}

#[tokio::test]
async fn rule_12_handles_that_are_gone_leave_no_slots() {
    let clock = ManualClock::new(start());
    let sessions =
        SessionManager::builder(TestStore::new(&clock)).clock(clock.clone()).max_users(100).build();
    for n in 0..20_000 {
        drop(sessions.handle(&user(&format!("u{n}"))));
    }
    assert!(sessions.users() <= 200, "{} slots, none in use", sessions.users());
}

#[tokio::test]
async fn a_handle_always_sees_the_latest_session() {
    let clock = ManualClock::new(start());
    let sessions =
        SessionManager::builder(MemoryStore::new()).clock(clock.clone()).max_users(1).build();
    let alice = user("alice");
    let handle = sessions.handle(&alice);
    sessions.insert(fresh(&alice, "one", &clock)).await.unwrap();
    for n in 0..100 {
        let _ = sessions.insert(fresh(&user(&format!("user-{n}")), "t", &clock)).await;
    }
    assert_eq!(handle.user(), &alice);
    assert_eq!(sessions.users(), 1, "only the slot that is held");
}

#[tokio::test]
async fn events_tell_what_happened_once() {
    let (sessions, _, clock) = setup();
    let alice = user("alice");
    let mut events = sessions.events();
    let one = fresh(&alice, "one", &clock);
    sessions.insert(one.clone()).await.unwrap();
    clock.advance(Duration::from_secs(7200));
    for _ in 0..3 {
        sessions.get(&alice).await.unwrap_err();
    }
    let two = fresh(&alice, "two", &clock);
    sessions.insert(two.clone()).await.unwrap();
    sessions.reject(&two).await.unwrap();
    sessions.get(&alice).await.unwrap_err();
    sessions.revoke(&alice).await.unwrap();
    drop(sessions);

    assert!(matches!(events.next().await, Some(Event::Saved { id, .. }) if id == one.id()));
    assert!(matches!(events.next().await, Some(Event::Expired { id, .. }) if id == one.id()));
    let is_signal = |event: Option<Event>, reason| matches!(event, Some(Event::ReauthRequired(signal)) if signal.reason() == reason);
    assert!(is_signal(events.next().await, ReauthReason::Expired));
    assert!(matches!(events.next().await, Some(Event::Saved { id, .. }) if id == two.id()));
    assert!(matches!(events.next().await, Some(Event::Rejected { id, .. }) if id == two.id()));
    assert!(is_signal(events.next().await, ReauthReason::Rejected));
    assert!(matches!(events.next().await, Some(Event::Revoked { .. })));
    assert!(events.next().await.is_none());
}

#[tokio::test]
async fn a_slow_reader_of_events_is_told_of_its_losses() {
    let clock = ManualClock::new(start());
    let sessions =
        SessionManager::builder(MemoryStore::new()).clock(clock.clone()).event_buffer(4).build();
    let mut events = sessions.events();
    for n in 0..10 {
        sessions.insert(fresh(&user(&format!("user-{n}")), "t", &clock)).await.unwrap();
    }
    assert!(matches!(events.next().await, Some(Event::Lagged(6))));
    assert!(
        matches!(events.next().await, Some(Event::Saved { user, .. }) if user.as_str() == "user-6")
    );
}

#[tokio::test]
async fn the_signal_is_found_through_boxes() {
    let (sessions, _, _) = setup();
    let error = sessions.get(&user("alice")).await.unwrap_err();
    let boxed = error.widen::<std::io::Error>().into_boxed();
    let twice: Box<dyn std::error::Error + Send + Sync> = Box::new(std::io::Error::other(boxed));
    assert_eq!(ReauthRequired::find(&*twice).unwrap().user(), &user("alice"));
    assert!(ReauthRequired::find(&std::io::Error::other("no signal")).is_none());
}
