//! Figures for the documentation: `cargo test --release -p moojo-session-postgres --test throughput
//! -- --ignored --nocapture`.

#![allow(clippy::print_stdout)]

use std::time::{Duration, Instant};

use chrono::{TimeDelta, Utc};
use moojo_session::{AccessToken, LeaseHolder, LeaseStore, Session, SessionStore, UserId};
use moojo_session_postgres::PostgresStore;
use moojo_testkit::Postgres;

fn login(number: usize) -> Session {
    let user = UserId::new(format!("user-{number}")).unwrap();
    Session::builder(user, AccessToken::new("6c0350a00925b9bb".repeat(4)).unwrap())
        .expires_at(Utc::now() + TimeDelta::hours(2))
        .build()
        .unwrap()
}

/// How often a second `call` is made by so many at once.
async fn rate<F: Future<Output = ()> + Send + 'static>(
    at_once: usize,
    call: impl Fn(usize) -> F + Clone + Send + 'static,
) -> f64 {
    let begun = Instant::now();
    let time = Duration::from_secs(2);
    let tasks: Vec<_> = (0..at_once)
        .map(|task| {
            let call = call.clone();
            tokio::spawn(async move {
                let mut calls = 0;
                while begun.elapsed() < time {
                    call(task * 1_000_000 + calls).await;
                    calls += 1;
                }
                calls
            })
        })
        .collect();
    let mut calls = 0;
    for task in tasks {
        calls += task.await.unwrap();
    }
    calls as f64 / begun.elapsed().as_secs_f64()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures, and proves nothing"]
async fn throughput() {
    for (durability, settings) in [
        ("fsync=on, synchronous_commit=on", ["fsync=on", "synchronous_commit=on"]),
        ("fsync=on, synchronous_commit=off", ["fsync=on", "synchronous_commit=off"]),
    ] {
        let server = Postgres::start(&settings).await;
        for connections in [1, 4, 8] {
            let store = PostgresStore::builder(server.url())
                .connections(connections)
                .migrate_on_first_use(true)
                .build()
                .unwrap();
            for number in 0..1000 {
                store.save(&login(number)).await.unwrap();
            }
            let saves = store.clone();
            let saves = rate(64, move |number| {
                let store = saves.clone();
                async move { store.save(&login(number)).await.unwrap() }
            });
            let saves = saves.await;
            let mut feed = store.changes();
            while feed.next().await != Some(moojo_session::Change::Lagged) {}
            let heard = store.clone();
            let heard = rate(64, move |number| {
                let store = heard.clone();
                async move { store.save(&login(number)).await.unwrap() }
            });
            let heard = heard.await;
            // A lease is a write that tells nobody.
            let leases = store.clone();
            let leases = rate(64, move |number| {
                let store = leases.clone();
                async move {
                    let user = UserId::new(format!("user-{number}")).unwrap();
                    let holder = LeaseHolder::random();
                    store.acquire(&user, holder, Duration::from_secs(60)).await.unwrap();
                }
            });
            let leases = leases.await;
            let loads = store.clone();
            let loads = rate(64, move |number| {
                let (store, user) = (loads.clone(), login(number % 1000).user().clone());
                async move { drop(store.load(&user).await.unwrap()) }
            });
            let loads = loads.await;
            println!(
                "{durability}, {connections} connections: {saves:.0} saves/s, {heard:.0} with a \
                 listener, {leases:.0} leases/s (no notice), {loads:.0} loads/s"
            );
        }
    }
}
