//! What the server refuses, and what stands in it.

mod common;

use std::time::Duration;

use chrono::{TimeDelta, Utc};
use common::{login, login_until, shown, user};
use moojo_session::{Admission, Quota, SessionAdmin, SessionStore, StoreError, StoreErrorKind};
use moojo_session_redis::RedisStore;
use moojo_testkit::{Redis, free_port};

fn at(url: String) -> RedisStore {
    RedisStore::builder(url).build().unwrap()
}

#[track_caller]
fn assert_kind<T: std::fmt::Debug>(outcome: Result<T, StoreError>, kind: StoreErrorKind) {
    let error = outcome.unwrap_err();
    let shown = shown(&error);
    assert_eq!(error.kind(), kind, "{shown}");
    assert!(!shown.contains("planted"), "rule 13: {shown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_say_what_can_be_done() {
    let redis = Redis::start();
    let store = at(redis.url());
    let alice = login("alice");
    let say = |command: &str| redis.say(command).unwrap();
    store.save(&alice).await.unwrap();

    say("CONFIG SET maxmemory 1");
    assert_kind(store.save(&alice).await, StoreErrorKind::Refused);
    say("CONFIG SET maxmemory 0");

    say(&format!("REPLICAOF 127.0.0.1 {}", free_port()));
    assert_kind(store.save(&alice).await, StoreErrorKind::Unavailable);
    say("REPLICAOF NO ONE");
    say("CONFIG SET min-replicas-to-write 1");
    assert_kind(store.save(&alice).await, StoreErrorKind::Unavailable);
    say("CONFIG SET min-replicas-to-write 0");
    assert_eq!(store.load(alice.user()).await.unwrap().as_ref(), Some(&alice));

    say("LPUSH moojo:s:{list} planted");
    assert_kind(store.load(&user("list")).await, StoreErrorKind::Refused);
    assert_kind(store.remove_if_current(&user("list"), alice.id()).await, StoreErrorKind::Refused);
    say("SET moojo:s:{text} planted");
    assert_kind(store.load(&user("text")).await, StoreErrorKind::Corrupt);
    // The others are listed all the same.
    let page = store.list(None, 100).await.unwrap();
    assert_eq!(page.sessions.len(), 1, "{page:?}");
    // A new login replaces what cannot be read.
    store.save(&login("text")).await.unwrap();
    assert!(store.load(&user("text")).await.unwrap().is_some());

    // Redis quotes what it does not understand: the token is in it.
    say("ACL SETUSER default -evalsha -eval");
    assert_kind(store.save(&alice).await, StoreErrorKind::Refused);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_1_a_record_under_another_users_key_is_corrupt() {
    let redis = Redis::start();
    let store = at(redis.url());
    store.save(&login("alice")).await.unwrap();
    redis.say("COPY moojo:s:{alice} moojo:s:{bob}").unwrap();
    assert_kind(store.load(&user("bob")).await, StoreErrorKind::Corrupt);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_13_a_wrong_login_is_refused_without_the_password() {
    let redis = Redis::start();
    redis.say("ACL SETUSER agent on >right resetchannels ~moojo:* &moojo:* +@all").unwrap();
    redis.say("ACL SETUSER default resetpass >planted-default").unwrap();
    let with = |login: &str| at(redis.url().replace("//", &format!("//{login}")));
    let alice = user("alice");
    assert_kind(with("").load(&alice).await, StoreErrorKind::Refused);
    assert_kind(with("agent:planted@").load(&alice).await, StoreErrorKind::Refused);
    assert_kind(with(":planted@").load(&alice).await, StoreErrorKind::Refused);
    with("agent:right@").save(&login("alice")).await.unwrap();
    assert!(with(":planted-default@").load(&alice).await.unwrap().is_some());
    let other = RedisStore::builder(redis.url().replace("//", "//agent:right@"));
    assert_kind(other.prefix("other").build().unwrap().load(&alice).await, StoreErrorKind::Refused);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_redis_keeps_ends_with_the_session() {
    let redis = Redis::start();
    let store = at(redis.url());
    store.save(&login("alice")).await.unwrap();
    let answer = redis.say("PTTL moojo:s:{alice}").unwrap();
    let left: i64 = answer[1..].trim().parse().unwrap();
    assert!((7_100_000..=7_200_000).contains(&left), "{left}");
    // Replaced by one that has ended: there is nothing left.
    store.save(&login_until("alice", Utc::now() - TimeDelta::seconds(1))).await.unwrap();
    assert_eq!(redis.say("EXISTS moojo:s:{alice}").unwrap(), ":0\r\n");
    // As is one that is replaced in place.
    let bob = login("bob");
    store.save(&bob).await.unwrap();
    assert!(store.replace_if_current(&bob).await.unwrap());
    let answer = redis.say("PTTL moojo:s:{bob}").unwrap();
    assert!(answer[1..].trim().parse::<i64>().unwrap() > 7_000_000, "{answer}");
}

/// Keys of others in the database, and of tenants whose names are alike, are left alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_1_a_tenant_sees_only_its_own() {
    let redis = Redis::start();
    let tenants = ["a", "a:s", "a:b", "b"]
        .map(|prefix| RedisStore::builder(redis.url()).prefix(prefix).build().unwrap());
    for store in &tenants {
        for name in ["alice", "bob", "c{x}"] {
            store.save(&login(name)).await.unwrap();
        }
    }
    redis.say("SET a:something else").unwrap();
    assert_eq!(tenants[0].count().await.unwrap(), 3);
    assert_eq!(tenants[0].remove_all().await.unwrap(), 3);
    for store in &tenants[1..] {
        assert_eq!(store.count().await.unwrap(), 3);
        assert!(store.load(&user("c{x}")).await.unwrap().is_some());
    }
    assert_eq!(redis.say("EXISTS a:something").unwrap(), ":1\r\n");
}

/// A cursor of a server's earlier life leads nowhere: the list begins again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_goes_on_after_a_restart() {
    let mut redis = Redis::start_durable();
    let store = at(redis.url());
    for i in 0..100 {
        store.save(&login(&format!("user-{i}"))).await.unwrap();
    }
    let first = store.list(None, 10).await.unwrap();
    redis.restart();
    let mut found = std::collections::HashSet::new();
    found.extend(first.sessions.iter().map(|info| info.user.clone()));
    let mut after = first.next;
    while let Some(place) = after {
        let list = async || store.list(Some(&place), 10).await.ok();
        let page = common::eventually_some("a page", list).await;
        found.extend(page.sessions.iter().map(|info| info.user.clone()));
        after = page.next;
    }
    assert_eq!(found.len(), 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uses_from_before_the_clock_was_set_back_do_not_count_for_ever() {
    let redis = Redis::start();
    let store = at(redis.url());
    let quota = Quota { key: "sends", limit: 1, window: Duration::from_secs(3600) };
    let admit = async |at| moojo_session::ChallengeStore::admit(&store, &quota, at).await.unwrap();
    let now = Utc::now();
    assert_eq!(admit(now).await, Admission::Granted);
    // By as much as two clocks may differ, it counts.
    let until = now + TimeDelta::hours(1);
    assert_eq!(admit(now - TimeDelta::minutes(30)).await, Admission::Refused { until });
    assert_eq!(admit(now - TimeDelta::days(1)).await, Admission::Granted);
}
