//! Rows that are not as they were written, and clocks that are not as they were.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use moojo_session::{
    AccessToken, Admission, Challenge, ChallengeStore, Clock, Lease, LeaseHolder, LeaseStore,
    ManualClock, MemoryChallengeStore, Quota, Session, SessionAdmin, SessionStore, StoreErrorKind,
};
use moojo_session_sqlite::{Durability, SqliteStore};

use crate::{file, login, open, raw, user};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_1_a_row_of_another_user_is_not_given_out() {
    let (_folder, path) = file();
    let store = open(&path).await;
    let (alice, bob) = (login("alice"), login("bob"));
    store.save(&alice).await.unwrap();
    store.save(&bob).await.unwrap();
    raw(&path)
        .execute_batch(
            "update sessions set (id, body) = (select id, body from sessions where user = 'bob')
             where user = 'alice'",
        )
        .unwrap();
    let error = SessionStore::load(&store, alice.user()).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Corrupt);
    assert_eq!(SessionStore::load(&store, bob.user()).await.unwrap(), Some(bob));
    // A new login replaces it.
    store.save(&alice).await.unwrap();
    assert_eq!(SessionStore::load(&store, alice.user()).await.unwrap(), Some(alice));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_cannot_be_read_are_corrupt() {
    let (_folder, path) = file();
    let store = open(&path).await;
    let (now, later) = (Utc::now(), Utc::now() + TimeDelta::minutes(10));
    let challenge = Challenge::open(user("alice"), "+15559876543", now, now, later);
    assert!(store.swap(None, &challenge, now).await.unwrap());
    let breaks = [
        "update sessions set body = substr(body, 1, length(body) - 1)",
        "update sessions set id = x'00'",
        "update sessions set id = randomblob(16)",
    ];
    for sql in breaks {
        store.save(&login("alice")).await.unwrap();
        raw(&path).execute_batch(sql).unwrap();
        let error = SessionStore::load(&store, &user("alice")).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{sql}");
        assert!(!crate::chain(&error).contains("6c0350a0"), "rule 13");
    }
    raw(&path).execute_batch("update challenges set revision = revision + 1").unwrap();
    let error = ChallengeStore::load(&store, &user("alice")).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Corrupt);
    assert!(!crate::chain(&error).contains("5559876543"), "rule 13");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_4_sessions_end_by_the_stores_clock() {
    let (_folder, path) = file();
    let start: DateTime<Utc> = "2025-02-16T13:12:52Z".parse().unwrap();
    let clock = ManualClock::new(start);
    let store = SqliteStore::builder(&path).clock(clock.clone()).open().await.unwrap();
    let session = Session::builder(user("alice"), AccessToken::new("6c0350a0").unwrap())
        .expires_at(start + TimeDelta::hours(2))
        .build()
        .unwrap();
    store.save(&session).await.unwrap();
    clock.advance(Duration::from_secs(7199));
    assert!(SessionStore::load(&store, session.user()).await.unwrap().is_some());
    assert_eq!(store.count().await.unwrap(), 1);
    clock.advance(Duration::from_secs(1));
    assert_eq!(SessionStore::load(&store, session.user()).await.unwrap(), None);
    assert_eq!(store.count().await.unwrap(), 0);
    assert!(!SessionStore::remove(&store, session.user()).await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_set_back_does_not_make_leases_last() {
    let (_folder, path) = file();
    let late: DateTime<Utc> = "2025-02-16T13:12:52Z".parse().unwrap();
    let before = SqliteStore::builder(&path).clock(ManualClock::new(late)).open().await.unwrap();
    let (user, other) = (user("alice"), LeaseHolder::random());
    let minute = Duration::from_secs(60);
    let lease = before.acquire(&user, LeaseHolder::random(), minute).await.unwrap();
    assert_eq!(lease, Lease::Acquired);

    let clock = ManualClock::new(late - TimeDelta::hours(5));
    let store = SqliteStore::builder(&path).clock(clock.clone()).open().await.unwrap();
    assert_eq!(store.acquire(&user, other, minute).await.unwrap(), Lease::Held(minute));
    clock.advance(minute / 2);
    assert_eq!(store.acquire(&user, other, minute).await.unwrap(), Lease::Held(minute / 2));
    clock.advance(minute / 2);
    assert_eq!(store.acquire(&user, other, minute).await.unwrap(), Lease::Acquired);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uses_that_were_counted_before_the_clock_was_set_back_do_not_count_for_ever() {
    let (_folder, path) = file();
    let store = open(&path).await;
    let late = Utc::now();
    let quota = Quota { key: "sends:+15559876543", limit: 1, window: Duration::from_secs(3600) };
    assert_eq!(store.admit(&quota, late).await.unwrap(), Admission::Granted);
    let until = late + TimeDelta::hours(1);
    let soon_before = late - TimeDelta::minutes(5);
    let refused = store.admit(&quota, soon_before).await.unwrap();
    assert_eq!(refused, Admission::Refused { until });
    let long_before = late - TimeDelta::hours(5);
    assert_eq!(store.admit(&quota, long_before).await.unwrap(), Admission::Granted);
}

/// What is granted and when the next is, over time, is what the store in memory says.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn quotas_are_those_of_the_store_in_memory() {
    let (_folder, path) = file();
    let builder = SqliteStore::builder(&path).durability(Durability::Normal);
    let (store, memory) = (builder.open().await.unwrap(), MemoryChallengeStore::new());
    let mut random = fastrand::Rng::with_seed(11);
    let mut now = Utc::now();
    let mut granted = 0;
    for _ in 0..1500 {
        now += TimeDelta::seconds(random.i64(0..8));
        let key = ["sends:+15559876543", "sends:+15559876544"][random.usize(0..2)];
        let quota = Quota { key, limit: 5, window: Duration::from_secs(60) };
        if random.u8(0..5) > 0 {
            let ours = store.admit(&quota, now).await.unwrap();
            assert_eq!(ours, memory.admit(&quota, now).await.unwrap());
            granted += usize::from(ours == Admission::Granted);
        } else if random.bool() {
            // One that counts, as whoever gives one back has just had one.
            assert_eq!(
                store.admit(&quota, now).await.unwrap(),
                memory.admit(&quota, now).await.unwrap()
            );
            store.give_back(&quota, now).await.unwrap();
            memory.give_back(&quota, now).await.unwrap();
        }
    }
    assert!((200..1200).contains(&granted), "{granted} were granted");
}

/// A clock that is asked by the threads of the store.
#[derive(Debug, Clone, Default)]
struct Broken(Arc<AtomicBool>);

impl Clock for Broken {
    fn now(&self) -> DateTime<Utc> {
        let name = std::thread::current().name().unwrap_or_default().to_owned();
        let asked = name == "moojo-sql-write" && self.0.load(Ordering::SeqCst);
        assert!(!asked, "the clock is broken, as the test wants it");
        Utc::now()
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_10_a_clock_that_panics_ends_a_call_and_not_the_store() {
    let (_folder, path) = file();
    let clock = Broken::default();
    let store = SqliteStore::builder(&path).clock(clock.clone()).open().await.unwrap();
    let (holder, minute) = (LeaseHolder::random(), Duration::from_secs(60));
    clock.0.store(true, Ordering::SeqCst);
    let error = store.acquire(&user("alice"), holder, minute).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    clock.0.store(false, Ordering::SeqCst);
    let lease = store.acquire(&user("alice"), holder, minute).await.unwrap();
    assert_eq!(lease, Lease::Acquired);
}

/// Sessions that are saved while all are removed stay.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn remove_all_leaves_who_logs_in_meanwhile() {
    let (_folder, path) = file();
    let store = open(&path).await;
    let old: Vec<_> = (0..2500).map(|number| login(format!("user-{number:04}"))).collect();
    let saved = futures_util::future::join_all(old.iter().map(|login| store.save(login))).await;
    assert!(saved.iter().all(Result::is_ok));
    let new = login("user-9999");
    let removing = store.remove_all();
    let saving = async {
        // Once the first have gone.
        crate::eventually("some are removed", async || store.count().await.unwrap() < 2500).await;
        store.save(&new).await.unwrap();
    };
    let (removed, ()) = tokio::join!(removing, saving);
    assert_eq!(removed.unwrap(), 2500);
    assert_eq!(SessionStore::load(&store, new.user()).await.unwrap(), Some(new));
    assert_eq!(store.count().await.unwrap(), 1);
}
