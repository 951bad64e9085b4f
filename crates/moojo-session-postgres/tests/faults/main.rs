//! What the store does when the server or the network fails, and what it refuses, on real servers.

mod check;
mod crash;
mod cut;
mod feed;
mod frozen;
mod full;
mod loads;
mod migrate;
mod processes;
mod read_only;
mod records;
mod secrets;
#[cfg(feature = "tls")]
mod tls;

use chrono::{TimeDelta, Utc};
use moojo_session::{AccessToken, Session, StoreError, StoreErrorKind, UserId};
use moojo_session_postgres::{PostgresStore, PostgresStoreBuilder};
use moojo_testkit::{PATIENCE, eventually};
use tokio_postgres::{Client, NoTls};

fn user(name: impl AsRef<str>) -> UserId {
    UserId::new(name).unwrap()
}

fn login(name: impl AsRef<str>) -> Session {
    with_token(name, "6c0350a00925b9bb")
}

fn with_token(name: impl AsRef<str>, token: &str) -> Session {
    Session::builder(user(name), AccessToken::new(token).unwrap())
        .expires_at(Utc::now() + TimeDelta::hours(2))
        .build()
        .unwrap()
}

fn builder(url: &str) -> PostgresStoreBuilder {
    PostgresStore::builder(url).connections(1).migrate_on_first_use(true)
}

fn store(url: &str) -> PostgresStore {
    builder(url).build().unwrap()
}

/// Another client of the server, which the store knows nothing of.
async fn client(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// An outage: nothing is wrong with the record or the call.
fn is_outage(error: &StoreError) -> bool {
    matches!(error.kind(), StoreErrorKind::Unavailable | StoreErrorKind::TimedOut)
}

/// All that an error says.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = format!("{error} {error:?}");
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error} {error:?}");
        source = error.source();
    }
    text
}
