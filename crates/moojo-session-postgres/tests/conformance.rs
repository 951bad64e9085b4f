//! The rules of the store traits, on a real server.

use std::sync::atomic::{AtomicUsize, Ordering};

use moojo_session::{KeyRing, SealedStore, Sealing, SealingKey, conformance};
use moojo_session_postgres::PostgresStore;
use moojo_testkit::Postgres;
use tokio_postgres::NoTls;

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
    conformance::challenge_store(async || shared.clone()).await.assert_passed();
    conformance::lease_store(async || shared.clone()).await.assert_passed();
    let pair = async || (in_schema(&server, 1000), in_schema(&server, 1000));
    conformance::change_feed(pair).await.assert_passed();
}

/// What the documentation gives to the user who serves, in this schema.
fn grants(schema: &str) -> String {
    let quoted = format!("\"{schema}\"");
    include_str!("../grants.sql")
        .replace("database moojo ", "database postgres ")
        .replace("schema moojo ", &format!("schema {quoted} "))
        .replace("moojo.", &format!("{quoted}."))
}

/// An owner who makes the tables, and a user who has nothing that was not granted to it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_keeps_the_rules_with_the_documented_rights_alone() {
    let server = Postgres::start(&[]).await;
    let (owner, connection) = tokio_postgres::connect(&server.url(), NoTls).await.unwrap();
    tokio::spawn(connection);
    let nothing = "create role moojo_server login; revoke all on database postgres from public; \
                   revoke all on schema public from public";
    owner.batch_execute(nothing).await.unwrap();
    let url = server.url().replace("postgres@", "moojo_server@");
    let next = AtomicUsize::new(0);
    let served = async || {
        let schema = format!("served-{}", next.fetch_add(1, Ordering::Relaxed));
        let maker = PostgresStore::builder(server.url()).schema(&schema).build().unwrap();
        maker.migrate().await.unwrap();
        owner.batch_execute(&grants(&schema)).await.unwrap();
        // It looks whether there is anything to do.
        let store = PostgresStore::builder(&url).schema(&schema).migrate_on_first_use(true);
        store.build().unwrap()
    };
    conformance::session_admin(served).await.assert_passed();
    let shared = served().await;
    shared.check().await.unwrap();
    shared.migrate().await.unwrap();
    conformance::session_store(async || shared.clone()).await.assert_passed();
    conformance::challenge_store(async || shared.clone()).await.assert_passed();
    conformance::lease_store(async || shared.clone()).await.assert_passed();
    conformance::change_feed(async || (shared.clone(), shared.clone())).await.assert_passed();
    shared.delete_expired().await.unwrap();

    // One that does not look needs one right less.
    let plain = served().await;
    let schema = format!("served-{}", next.load(Ordering::Relaxed) - 1);
    let revoke = format!("revoke all on \"{schema}\".migrations from moojo_server");
    owner.batch_execute(&revoke).await.unwrap();
    drop(plain);
    let plain = || PostgresStore::builder(&url).schema(&schema).build().unwrap();
    plain().check().await.unwrap();
    conformance::session_store(async || plain()).await.assert_passed();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_keeps_them_sealed() {
    let server = Postgres::start(&[]).await;
    let shared = empty(&server).await;
    for sealing in [Sealing::Allow, Sealing::Prefer, Sealing::Require] {
        let sealed = |store| SealedStore::new(store, keys()).sealing(sealing);
        let store = async || sealed(shared.clone());
        conformance::session_store(store).await.assert_passed();
        conformance::challenge_store(store).await.assert_passed();
        conformance::lease_store(store).await.assert_passed();
        let empty = async || sealed(empty(&server).await);
        conformance::session_admin(empty).await.assert_passed();
        let pair = async || (sealed(in_schema(&server, 1000)), sealed(in_schema(&server, 1000)));
        conformance::change_feed(pair).await.assert_passed();
    }
}
