//! Notices before sessions end, and the forecast.

mod common;

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use chrono::TimeDelta;
use common::{fresh, start, user};
use futures_util::FutureExt;
use moojo_session::{Clock, ExpiringSoon, ManualClock, MemoryStore, SessionManager, UserId};

fn minutes(n: u64) -> Duration {
    Duration::from_secs(60 * n)
}

fn manager(store: &MemoryStore, clock: &ManualClock) -> SessionManager {
    SessionManager::builder(store.clone())
        .clock(clock.clone())
        .expiry_notices([minutes(15), minutes(5)])
        .build()
}

fn set_up() -> (SessionManager, MemoryStore, ManualClock) {
    let clock = ManualClock::new(start());
    let store = MemoryStore::builder().clock(clock.clone()).build();
    (manager(&store, &clock), store, clock)
}

fn users(notices: &[ExpiringSoon]) -> Vec<&UserId> {
    notices.iter().map(|notice| &notice.user).collect()
}

#[tokio::test]
async fn each_time_before_the_end_gives_one_notice() {
    let (sessions, _, clock) = set_up();
    let alice = user("alice");
    let session = fresh(&alice, "one", &clock); // two hours
    sessions.insert(session.clone()).await.unwrap();
    let notices = sessions.expiry_notices().unwrap();
    assert!(notices.next().now_or_never().is_none());

    clock.advance(minutes(105));
    let [notice] = &notices.next().await[..] else { panic!("one notice") };
    assert_eq!((&notice.user, notice.id, notice.lead), (&alice, session.id(), minutes(15)));
    assert_eq!(notice.expires_at, session.expires_at());
    assert!(notices.next().now_or_never().is_none());

    // One who waits is woken by the clock.
    let next = tokio::spawn(async move { notices.next().await });
    tokio::task::yield_now().await;
    clock.advance(minutes(10));
    assert_eq!(next.await.unwrap()[0].lead, minutes(5));
}

#[tokio::test]
async fn a_reader_is_woken_by_a_session_that_ends_before_the_others() {
    let (sessions, _, clock) = set_up();
    sessions.insert(fresh(&user("alice"), "one", &clock)).await.unwrap();
    let notices = sessions.expiry_notices().unwrap();
    let next = tokio::spawn(async move { notices.next().await });
    tokio::task::yield_now().await;

    let token = moojo_session::AccessToken::new("two").unwrap();
    let soon = moojo_session::Session::builder(user("bob"), token)
        .expires_at(clock.now() + TimeDelta::minutes(16));
    sessions.insert(soon.build().unwrap()).await.unwrap();
    clock.advance(minutes(1));
    assert_eq!(users(&next.await.unwrap()), [&user("bob")]);
}

#[tokio::test]
async fn quiet_hours_that_panic_over_one_user_cost_nobody_else_a_notice() {
    let (sessions, _, clock) = set_up();
    let all = ["alice", "bob", "carol"].map(user);
    for user in &all {
        sessions.insert(fresh(user, "one", &clock)).await.unwrap();
    }
    clock.advance(minutes(105));
    let notices = sessions.expiry_notices().unwrap();
    let panics = AtomicBool::new(true);
    let notices = notices.quiet_hours(move |user, _| {
        assert!(user.as_str() != "bob" || !panics.swap(false, Relaxed), "no time zone");
        None
    });
    let given = notices.next().await;
    let mut given = users(&given);
    given.sort_unstable();
    assert_eq!(given, [&all[0], &all[2]]);
    // Nobody knows whether bob may be disturbed: it is asked again.
    assert!(notices.next().now_or_never().is_none());
    clock.advance(Duration::from_secs(31));
    assert_eq!(users(&notices.next().await), [&all[1]]);
}

#[tokio::test]
async fn who_logs_in_again_or_out_gives_no_notice_of_the_old_session() {
    let (sessions, _, clock) = set_up();
    let notices = sessions.expiry_notices().unwrap();
    let [again, revoked, rejected] = ["again", "revoked", "rejected"].map(user);
    for user in [&again, &revoked, &rejected] {
        sessions.insert(fresh(user, "old", &clock)).await.unwrap();
    }
    clock.advance(minutes(60));
    sessions.insert(fresh(&again, "new", &clock)).await.unwrap();
    sessions.revoke(&revoked).await.unwrap();
    let session = sessions.get(&rejected).await.unwrap();
    sessions.reject(&session).await.unwrap();

    clock.advance(minutes(50));
    assert!(notices.next().now_or_never().is_none());
    assert_eq!(notices.scheduled(), 1);
    clock.advance(minutes(60));
    assert_eq!(users(&notices.next().await), [&again]);
}

#[tokio::test]
async fn what_another_process_does_counts() {
    let (here, store, clock) = set_up();
    let there = manager(&store, &clock);
    let [moved, gone] = ["moved", "gone"].map(user);
    for user in [&moved, &gone] {
        here.insert(fresh(user, "old", &clock)).await.unwrap();
    }
    there.insert(fresh(&moved, "new", &clock)).await.unwrap();
    there.revoke(&gone).await.unwrap();
    let notices = here.expiry_notices().unwrap();
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(notices.scheduled(), 0);
    // It is scheduled again when it is seen.
    here.get(&moved).await.unwrap();
    assert_eq!(notices.scheduled(), 1);
}

#[tokio::test]
async fn notices_of_quiet_hours_are_given_together_when_they_are_over() {
    let (sessions, _, clock) = set_up();
    let wakes = clock.now() + TimeDelta::minutes(110);
    let notices = sessions
        .expiry_notices()
        .unwrap()
        .quiet_hours(move |user, _| (user.as_str() != "owl").then_some(wakes));
    let lark = ["lark", "wren"].map(user);
    for user in &lark {
        sessions.insert(fresh(user, "one", &clock)).await.unwrap();
    }
    clock.advance(Duration::from_secs(1));
    sessions.insert(fresh(&user("owl"), "one", &clock)).await.unwrap();

    clock.advance(minutes(106));
    assert_eq!(users(&notices.next().await), [&user("owl")]);
    clock.advance(minutes(4));
    let mut together = notices.next().await;
    together.sort_by(|a, b| a.user.cmp(&b.user));
    assert_eq!(users(&together), [&lark[0], &lark[1]]);
}

#[tokio::test]
async fn the_forecast_says_how_many_end_in_which_minute() {
    let (sessions, _, clock) = set_up();
    for (name, at) in [("a", 0), ("b", 0), ("c", 10)] {
        let token = moojo_session::AccessToken::new(name).unwrap();
        let ends = clock.now() + TimeDelta::minutes(3) + TimeDelta::seconds(at * 60 + 30);
        let session = moojo_session::Session::builder(user(name), token).expires_at(ends);
        sessions.insert(session.build().unwrap()).await.unwrap();
    }
    assert_eq!(sessions.forecast(5).unwrap(), [0, 0, 0, 2, 0]);
    clock.advance(minutes(10));
    assert_eq!(sessions.forecast(5).unwrap(), [0, 0, 0, 1, 0]);
    let without = SessionManager::new(MemoryStore::new());
    assert!(without.forecast(5).is_none() && without.expiry_notices().is_none());
}

#[tokio::test]
async fn who_only_forecasts_keeps_no_place_for_sessions_that_have_ended() {
    let clock = ManualClock::new(start());
    let sessions = SessionManager::builder(MemoryStore::new())
        .clock(clock.clone())
        .expiry_notices([minutes(15)])
        .max_users(2)
        .build();
    for name in ["a", "b", "c", "d", "e", "f"] {
        sessions.insert(fresh(&user(name), "one", &clock)).await.unwrap();
        clock.advance(minutes(70));
    }
    let notices = sessions.expiry_notices().unwrap();
    assert_eq!((notices.left_out(), notices.scheduled()), (0, 2));
    let forecast = sessions.forecast(120).unwrap();
    assert_eq!(forecast.iter().sum::<usize>(), 1);
    // There is no room for a third that is live.
    for name in ["g", "h"] {
        sessions.insert(fresh(&user(name), "one", &clock)).await.unwrap();
    }
    assert_eq!(notices.left_out(), 1);
}
