//! The store keeps every rule of the traits, on one server and on a cluster.

use std::sync::atomic::{AtomicU32, Ordering};

use moojo_session::{KeyRing, SealedStore, Sealing, SealingKey, conformance};
use moojo_session_redis::RedisStore;
use moojo_testkit::{Redis, RedisCluster};

/// A tenant that nobody else in this test has: the store is empty.
fn fresh_prefix() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("test-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// The store behind encryption.
fn sealed<S>(store: S) -> SealedStore<S> {
    SealedStore::new(store, KeyRing::new(SealingKey::new("one", &[1; 32]).unwrap()))
}

async fn assert_conforms(new_store: impl Fn(&str) -> RedisStore) {
    let store = async || new_store("shared");
    conformance::session_store(store).await.assert_passed();
    conformance::challenge_store(store).await.assert_passed();
    conformance::lease_store(store).await.assert_passed();
    conformance::session_admin(async || new_store(&fresh_prefix())).await.assert_passed();
    let pair = async || (new_store("shared"), new_store("shared"));
    conformance::change_feed(pair).await.assert_passed();

    for sealing in [Sealing::Allow, Sealing::Prefer, Sealing::Require] {
        let store = async || sealed(new_store("sealed")).sealing(sealing);
        conformance::session_store(store).await.assert_passed();
        conformance::challenge_store(store).await.assert_passed();
        conformance::lease_store(store).await.assert_passed();
        let empty = async || sealed(new_store(&fresh_prefix())).sealing(sealing);
        conformance::session_admin(empty).await.assert_passed();
        conformance::change_feed(async || (store().await, store().await)).await.assert_passed();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_server() {
    let redis = Redis::start();
    // With the permissions that the documentation asks for, and no others.
    let commands = "+get +set +del +getrange +pttl +pexpire +zadd +zcard +zrange +zremrangebylex \
                    +zremrangebyrank +eval +evalsha +publish +subscribe +ping +scan +info";
    let keys = "resetchannels ~shared:* &shared:* ~sealed:* &sealed:* ~test-*:* &test-*:*";
    let user = format!("ACL SETUSER agent reset on >right {keys} {commands}");
    assert_eq!(redis.say(&user).unwrap(), "+OK\r\n");
    let url = redis.url().replace("//", "//agent:right@");
    let new_store =
        |prefix: &str| RedisStore::builder(&url).prefix(prefix).connections(2).build().unwrap();
    assert_conforms(new_store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster() {
    let cluster = RedisCluster::start();
    // One URL is enough: the others are learnt.
    let url = &cluster.urls()[5];
    let new_store = |prefix: &str| RedisStore::cluster([url]).prefix(prefix).build().unwrap();
    assert_conforms(new_store).await;
}
