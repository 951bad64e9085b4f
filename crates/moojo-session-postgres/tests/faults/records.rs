//! What stands in the tables.

use std::time::Duration;

use chrono::{TimeDelta, Utc};
use moojo_session::{
    Admission, Challenge, ChallengeStore, ManualClock, Quota, Session, SessionAdmin, SessionStore,
    StoreErrorKind,
};
use moojo_testkit::Postgres;
use tokio_postgres::Client;

use crate::{builder, chain, client, login, store, user};

/// One server: each of these has a schema of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_are_checked_and_cleared_away() {
    let server = Postgres::start(&[]).await;
    let url = server.url();
    let control = client(&url).await;
    rule_1_a_record_in_the_wrong_place_is_not_given_out(&url, &control).await;
    what_has_run_out_is_deleted(&url, &control).await;
    sessions_end_by_the_callers_clock(&url).await;
    the_times_of_a_session_are_exact(&url).await;
    remove_all_leaves_what_came_later(&url, &control).await;
    a_quota_outlives_other_clocks(&url).await;
}

async fn rule_1_a_record_in_the_wrong_place_is_not_given_out(url: &str, control: &Client) {
    let store = store(url);
    let (alice, bob) = (login("alice"), login("bob"));
    store.save(&alice).await.unwrap();
    store.save(&bob).await.unwrap();
    let expect_corrupt = async |sql: &str| {
        control.batch_execute(sql).await.unwrap();
        let error = SessionStore::load(&store, bob.user()).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{error:?}");
        assert!(!chain(&error).contains("6c0350"), "{}", chain(&error));
    };
    let body = "update moojo.sessions set body = ";
    let of_alice = "(select body from moojo.sessions where user_id = 'alice')";
    expect_corrupt(&format!("{body} {of_alice} where user_id = 'bob'")).await;
    // Of the same user, but not the login that the row is found by.
    let of_bob = login("bob").to_exposed_bytes();
    let of_bob: String = of_bob.iter().map(|byte| format!("{byte:02x}")).collect();
    expect_corrupt(&format!("{body} '\\x{of_bob}' where user_id = 'bob'")).await;
    expect_corrupt(&format!("{body} '6c0350a00925b9bb' where user_id = 'bob'")).await;
    // It is still listed, and can be removed.
    assert_eq!(store.list(None, 10).await.unwrap().sessions.len(), 2);
    assert!(SessionStore::remove(&store, bob.user()).await.unwrap());
    assert_eq!(SessionStore::load(&store, alice.user()).await.unwrap(), Some(alice));

    let now = Utc::now();
    let lapses_at = now + TimeDelta::minutes(10);
    let login = Challenge::open(user("alice"), "+15559876543", now, now, lapses_at);
    assert!(store.swap(None, &login, now).await.unwrap());
    control.batch_execute("update moojo.challenges set user_id = 'bob'").await.unwrap();
    let error = ChallengeStore::load(&store, &user("bob")).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Corrupt);
    assert!(!chain(&error).contains("555"), "{}", chain(&error));
}

async fn what_has_run_out_is_deleted(url: &str, control: &Client) {
    let store = builder(url).schema("expiry").build().unwrap();
    for number in 0..3 {
        store.save(&login(format!("live-{number}"))).await.unwrap();
    }
    // As if they had been written long ago.
    let past = "clock_timestamp() - interval '1 day'";
    let sessions = format!(
        "insert into expiry.sessions select 'u' || n, sha224(n::text::bytea)::bytea, \
         {past}, {past}, {past}, '' from generate_series(1, 1200) as n"
    );
    let sessions = sessions.replace("sha224(n::text::bytea)::bytea", "decode(md5(n::text), 'hex')");
    control.batch_execute(&sessions).await.unwrap();
    for (table, values) in [
        ("challenges", "'a', 1"),
        ("quotas (key, ends, granted, keep_until)", "'a', '{1}', true"),
        ("leases (user_id, holder, declined, keep_until)", "'a', decode(md5('a'), 'hex'), null"),
    ] {
        let end = if table == "challenges" { ", ''" } else { "" };
        let row = format!("insert into expiry.{table} values ({values}, {past}{end})");
        control.batch_execute(&row).await.unwrap();
    }
    // Two at once share the work.
    let (here, there) = tokio::join!(store.delete_expired(), store.delete_expired());
    assert_eq!(here.unwrap() + there.unwrap(), 1203);
    assert_eq!(store.delete_expired().await.unwrap(), 0);
    let left = control.query_one("select count(*) from expiry.sessions", &[]).await.unwrap();
    assert_eq!(left.get::<_, i64>(0), 3, "live sessions stay");
}

async fn sessions_end_by_the_callers_clock(url: &str) {
    let clock = ManualClock::new(Utc::now());
    let store = builder(url).schema("clock").clock(clock.clone()).build().unwrap();
    let alice = login("alice");
    store.save(&alice).await.unwrap();
    assert!(SessionStore::load(&store, alice.user()).await.unwrap().is_some());
    clock.advance(Duration::from_secs(3 * 3600));
    assert_eq!(SessionStore::load(&store, alice.user()).await.unwrap(), None);
    assert_eq!(store.count().await.unwrap(), 0);
    assert!(!SessionStore::remove(&store, alice.user()).await.unwrap(), "it had ended");
}

async fn the_times_of_a_session_are_exact(url: &str) {
    let store = builder(url).schema("exact").build().unwrap();
    let at = "2250-02-16T15:12:52.123456789Z".parse().unwrap();
    let alice = login("alice");
    let exact = Session::builder(user("alice"), alice.access_token())
        .expires_at(at)
        .issued_at("1999-02-16T15:12:52.987654321Z".parse().unwrap())
        .build()
        .unwrap();
    store.save(&exact).await.unwrap();
    let loaded = SessionStore::load(&store, exact.user()).await.unwrap().unwrap();
    assert_eq!((loaded.issued_at(), loaded.expires_at()), (exact.issued_at(), exact.expires_at()));
}

async fn remove_all_leaves_what_came_later(url: &str, control: &Client) {
    let store = builder(url).schema("leaving").build().unwrap();
    for number in 0..10 {
        store.save(&login(format!("user-{number}"))).await.unwrap();
    }
    // One that is saved while the removal is under way.
    let later = "update leaving.sessions set saved_at = clock_timestamp() + interval '1 hour' \
                 where user_id = 'user-7'";
    control.batch_execute(later).await.unwrap();
    assert_eq!(store.remove_all().await.unwrap(), 9);
    assert_eq!(store.count().await.unwrap(), 1);
}

async fn a_quota_outlives_other_clocks(url: &str) {
    let store = builder(url).schema("quota").build().unwrap();
    let quota = |limit| Quota { key: "tenant:é'\"", limit, window: Duration::from_secs(3600) };
    let now = Utc::now();
    let none = store.admit(&quota(0), now).await.unwrap();
    assert!(matches!(none, Admission::Refused { .. }), "a quota of none gives none");
    // A caller whose clock is ahead, then one whose clock is behind.
    for at in [now + TimeDelta::minutes(5), now] {
        assert_eq!(store.admit(&quota(2), at).await.unwrap(), Admission::Granted);
    }
    let until = now + TimeDelta::hours(1);
    assert_eq!(store.admit(&quota(2), now).await.unwrap(), Admission::Refused { until });
    // A clock that was set back by far: what was counted before does not count for ever.
    let before = now - TimeDelta::days(1);
    assert_eq!(store.admit(&quota(2), before).await.unwrap(), Admission::Granted);
    let long = Quota { window: Duration::MAX, ..quota(2) };
    assert_eq!(store.admit(&long, now).await.unwrap_err().kind(), StoreErrorKind::Refused);
}
