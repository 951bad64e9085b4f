//! The change feed over connections that break.

mod common;

use std::time::Duration;

use common::{eventually, login, next, saved};
use moojo_session::{Change, SessionStore};
use moojo_session_redis::RedisStore;
use moojo_testkit::{Proxy, Redis};

fn at(port: u16) -> RedisStore {
    RedisStore::builder(format!("redis://127.0.0.1:{port}")).build().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_feed_that_is_cut_says_so_and_comes_back() {
    let redis = Redis::start();
    let proxy = Proxy::start(redis.port()).await;
    let (here, there) = (at(redis.port()), at(proxy.port()));
    let mut feed = there.changes();
    assert_eq!(next(&mut feed).await, Change::Disconnected);
    assert_eq!(next(&mut feed).await, Change::Lagged);
    // Cut; down for a while; silent, with the connection open.
    let faults: [fn(&Proxy); 3] = [Proxy::cut, Proxy::go_down, Proxy::freeze];
    for fault in faults {
        let alice = login("alice");
        here.save(&alice).await.unwrap();
        assert_eq!(next(&mut feed).await, saved(&alice));
        fault(&proxy);
        assert_eq!(next(&mut feed).await, Change::Disconnected);
        proxy.heal();
        assert_eq!(next(&mut feed).await, Change::Lagged);
        here.remove(alice.user()).await.unwrap();
        assert_eq!(next(&mut feed).await, Change::Removed { user: alice.user().clone() });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_feed_begins_without_a_server() {
    let mut redis = Redis::start();
    redis.kill();
    let store = at(redis.port());
    let mut feed = store.changes();
    assert_eq!(next(&mut feed).await, Change::Disconnected);
    redis.restart();
    assert_eq!(next(&mut feed).await, Change::Lagged);
    let alice = login("alice");
    eventually("a save", async || store.save(&alice).await.is_ok()).await;
    assert_eq!(next(&mut feed).await, saved(&alice));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_share_one_connection_which_goes_with_them() {
    let redis = Redis::start();
    let store = at(redis.port());
    let subscribers = async |count: usize| {
        let counted = async || {
            let list = redis.say("CLIENT LIST TYPE pubsub").unwrap();
            list.matches("sub=2").count() == count
        };
        eventually(&format!("{count} subscribers"), counted).await;
    };
    let mut first = store.changes();
    assert_eq!(next(&mut first).await, Change::Disconnected);
    assert_eq!(next(&mut first).await, Change::Lagged);
    // One that joins when the connection is there.
    let mut second = store.clone().changes();
    assert_eq!(next(&mut second).await, Change::Disconnected);
    assert_eq!(next(&mut second).await, Change::Lagged);
    subscribers(1).await;
    drop(first);
    let alice = login("alice");
    store.save(&alice).await.unwrap();
    assert_eq!(next(&mut second).await, saved(&alice));
    drop(store);
    subscribers(1).await;
    drop(second);
    subscribers(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_who_is_too_slow_is_told() {
    let redis = Redis::start();
    let store = at(redis.port());
    let mut feed = store.changes();
    assert_eq!(next(&mut feed).await, Change::Disconnected);
    assert_eq!(next(&mut feed).await, Change::Lagged);
    let writers = (0..16).map(|i| {
        let store = store.clone();
        tokio::spawn(async move {
            for _ in 0..400 {
                store.save(&login(&format!("user-{i}"))).await.unwrap();
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    let last = login("last");
    store.save(&last).await.unwrap();
    let mut lagged = false;
    loop {
        match next(&mut feed).await {
            Change::Lagged => lagged = true,
            change if change == saved(&last) => break,
            _ => {}
        }
    }
    assert!(lagged);
}

/// Redis has one space of channels for all databases.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_1_databases_and_tenants_do_not_hear_each_other() {
    let redis = Redis::start();
    let url = redis.url();
    let store = RedisStore::builder(format!("{url}/1")).build().unwrap();
    let other = RedisStore::builder(format!("{url}/2")).build().unwrap();
    let tenant = RedisStore::builder(format!("{url}/1")).prefix("tenant").build().unwrap();
    let mut feed = store.changes();
    assert_eq!(next(&mut feed).await, Change::Disconnected);
    assert_eq!(next(&mut feed).await, Change::Lagged);
    let alice = login("alice");
    other.save(&login("alice")).await.unwrap();
    tenant.save(&login("alice")).await.unwrap();
    assert_eq!(store.load(alice.user()).await.unwrap(), None);
    store.save(&alice).await.unwrap();
    assert_eq!(next(&mut feed).await, saved(&alice));
    let nothing = tokio::time::timeout(Duration::from_millis(50), feed.next()).await;
    assert!(nothing.is_err(), "{nothing:?}");
}
