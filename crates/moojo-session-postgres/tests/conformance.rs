//! The rules of the store traits, on a real server.

use std::sync::atomic::{AtomicUsize, Ordering};

use moojo_session::{KeyRing, SealedStore, SealingKey, conformance};
use moojo_session_postgres::PostgresStore;
use moojo_testkit::Postgres;

/// A store in a schema of its own.
async fn empty(server: &Postgres) -> PostgresStore {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    in_schema(server, NEXT.fetch_add(1, Ordering::Relaxed))
}

fn in_schema(server: &Postgres, number: usize) -> PostgresStore {
    PostgresStore::builder(server.url())
        .schema(format!("tenant-{number}"))
        .connections(2)
        .migrate_on_first_use(true)
        .build()
        .unwrap()
}

fn keys() -> KeyRing {
    KeyRing::new(SealingKey::new("2025-02", &[7; 32]).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_keeps_the_rules() {
    let server = Postgres::start(&[]).await;
    conformance::session_admin(async || empty(&server).await).await.assert_passed();
    let shared = empty(&server).await;
    conformance::session_store(async || shared.clone()).await.assert_passed();
    let sealed = async || SealedStore::new(shared.clone(), keys());
    conformance::session_store(sealed).await.assert_passed();
    conformance::challenge_store(async || shared.clone()).await.assert_passed();
    conformance::lease_store(async || shared.clone()).await.assert_passed();
    let pair = async || (in_schema(&server, 1000), in_schema(&server, 1000));
    conformance::change_feed(pair).await.assert_passed();
}
