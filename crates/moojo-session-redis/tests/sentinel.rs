//! A master that the sentinels replace.

mod common;

use std::time::Duration;

use common::{eventually, eventually_some, login, next, saved};
use moojo_session::{Change, SessionStore};
use moojo_session_redis::RedisStore;
use moojo_testkit::{Redis, Sentinel, free_port};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_follows_the_master() {
    let mut master = Redis::start();
    let of_master = master.port().to_string();
    let replica = Redis::start_with(&["--replicaof", "127.0.0.1", &of_master]);
    let sentinel = Sentinel::start(master.port());
    // One of the sentinels is down.
    let urls = [free_port(), sentinel.port()].map(|port| format!("redis://127.0.0.1:{port}"));
    let store = RedisStore::sentinel(urls, "mymaster").build().unwrap();

    let alice = login("alice");
    eventually("a save", async || store.save(&alice).await.is_ok()).await;
    let replicated = async || {
        let says = replica.say("EXISTS moojo:s:{alice}").unwrap();
        says == ":1\r\n"
    };
    eventually("the replica has it", replicated).await;
    let mut feed = store.changes();
    assert_eq!(next(&mut feed).await, Change::Disconnected);
    assert_eq!(next(&mut feed).await, Change::Lagged);

    master.kill();
    assert_eq!(next(&mut feed).await, Change::Disconnected);
    let load = async || store.load(alice.user()).await.ok();
    assert_eq!(eventually_some("a load from the new master", load).await, Some(alice));
    let bob = login("bob");
    eventually("a save on the new master", async || store.save(&bob).await.is_ok()).await;
    assert_eq!(next(&mut feed).await, Change::Lagged);
    let told = async || {
        store.save(&bob).await.unwrap();
        let told = async { while next(&mut feed).await != saved(&bob) {} };
        tokio::time::timeout(Duration::from_millis(500), told).await.is_ok()
    };
    eventually("a change", told).await;
}
