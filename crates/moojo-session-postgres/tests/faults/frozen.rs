//! A server that stands still and keeps its connections.

use std::time::{Duration, Instant};

use chrono::Utc;
use moojo_session::{
    ChallengeStore, LeaseHolder, LeaseStore, Quota, SessionAdmin, SessionId, SessionStore,
    StoreError,
};
use moojo_session_postgres::PostgresStore;
use moojo_testkit::{Postgres, Proxy};

use crate::{PATIENCE, builder, client, eventually, is_outage, login, user};

const LIMIT: Duration = Duration::from_millis(400);

/// One of each kind of call.
async fn call(store: &PostgresStore, kind: usize) -> Result<(), StoreError> {
    let (alice, holder) = (user("alice"), LeaseHolder::random());
    let quota = Quota { key: "sends:+1", limit: 3, window: Duration::from_secs(60) };
    match kind {
        0 => SessionStore::load(store, &alice).await.map(drop),
        1 => store.save(&login("alice")).await,
        2 => SessionStore::remove(store, &alice).await.map(drop),
        3 => store.remove_if_current(&alice, SessionId::random()).await.map(drop),
        4 => ChallengeStore::load(store, &alice).await.map(drop),
        5 => store.admit(&quota, Utc::now()).await.map(drop),
        6 => store.acquire(&alice, holder, LIMIT).await.map(drop),
        7 => store.clear(&alice).await,
        8 => store.count().await.map(drop),
        _ => store.list(None, 10).await.map(drop),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_ends_within_its_limit_and_works_after() {
    let server = Postgres::start(&[]).await;
    let store = builder(&server.url())
        .operation_timeout(LIMIT)
        .connect_timeout(Duration::from_secs(1))
        .build()
        .unwrap();
    // A first use has to make the tables, which can take longer.
    eventually("the store works", async || call(&store, 8).await.is_ok()).await;
    for kind in 0..10 {
        eventually("the store works", async || call(&store, kind).await.is_ok()).await;
    }

    server.freeze();
    let begun = Instant::now();
    let calls: Vec<_> = (0..100)
        .map(|number| {
            let store = store.clone();
            tokio::spawn(async move {
                let begun = Instant::now();
                let error = call(&store, number % 10).await.unwrap_err();
                assert!(is_outage(&error), "{error:?}");
                // The administrator's calls have ten times as long.
                let limit = if number % 10 < 8 { LIMIT } else { 10 * LIMIT };
                assert!(begun.elapsed() < limit + Duration::from_secs(8), "{:?}", begun.elapsed());
            })
        })
        .collect();
    for call in calls {
        call.await.unwrap();
    }
    // By then the connections were given up; it goes on to end in time.
    eventually("time goes by", async || begun.elapsed() > 6 * LIMIT).await;
    assert!(is_outage(&call(&store, 0).await.unwrap_err()));

    server.thaw();
    for kind in 0..10 {
        eventually("the store works again", async || call(&store, kind).await.is_ok()).await;
    }
}

/// A save that failed because its connection was lost while it waited in the server does not happen
/// after a later call on the store succeeded.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_failed_does_not_happen_later() {
    let server = Postgres::start(&[]).await;
    let proxy = Proxy::start(server.port()).await;
    let store = builder(&server.url_through(proxy.port()))
        // The server gives up a lock after half of it: long after this test.
        .operation_timeout(Duration::from_secs(120))
        .build()
        .unwrap();
    let first = login("alice");
    store.save(&first).await.unwrap();

    let other = client(&server.url()).await;
    other.batch_execute("begin; select from moojo.sessions for update").await.unwrap();
    let late = tokio::spawn({
        let store = store.clone();
        async move { store.save(&login("alice")).await }
    });
    let waits = async || {
        let waiting = "select count(*) from pg_stat_activity where wait_event_type = 'Lock'";
        other.query_one(waiting, &[]).await.unwrap().get::<_, i64>(0)
    };
    eventually("the save waits for the row", async || waits().await == 1).await;
    proxy.cut();
    assert!(is_outage(&late.await.unwrap().unwrap_err()));
    assert_eq!(waits().await, 1, "the server does not notice by itself");
    eventually("the store works again", async || store.save(&login("bob")).await.is_ok()).await;
    assert_eq!(waits().await, 0, "a save that failed may still happen");
    other.batch_execute("rollback").await.unwrap();
    assert_eq!(SessionStore::load(&store, first.user()).await.unwrap(), Some(first));
}

/// A network that swallows everything, under callers that leave before any time limit of the
/// store's: it notices all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_into_nothing_is_replaced() {
    let server = Postgres::start(&[]).await;
    let proxy = Proxy::start(server.port()).await;
    let store = builder(&server.url_through(proxy.port()))
        .operation_timeout(Duration::from_secs(1))
        .build()
        .unwrap();
    store.save(&login("alice")).await.unwrap();

    // The server's process for what the store writes.
    let process = async || {
        let asked = "select max(pid) from pg_stat_activity \
                     where application_name = 'moojo-session' and query like '%with saved%'";
        let client = client(&server.url()).await;
        client.query_one(asked, &[]).await.unwrap().get::<_, Option<i32>>(0)
    };
    let before = process().await;
    assert!(before.is_some());
    let connections = proxy.connections();
    proxy.freeze();
    let hurried = Duration::from_millis(50);
    let left = tokio::time::timeout(hurried, store.save(&login("alice"))).await;
    assert!(!matches!(left, Ok(Ok(()))), "a call through a frozen network ends");
    let replaced = proxy.reaches(connections + 1);
    tokio::time::timeout(PATIENCE, replaced).await.expect("another connection");
    proxy.heal();
    eventually("the store works again", async || store.save(&login("bob")).await.is_ok()).await;
    assert_ne!(process().await, before);
}
