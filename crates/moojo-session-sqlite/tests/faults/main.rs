//! What goes wrong with files, disks, processes and callers.

mod check;
mod child;
mod commits;
mod crash;
mod dropped;
mod feed;
mod full;
mod locked;
mod open;
mod read_only;
mod reading;
mod records;
mod secrets;
mod threads;
mod upkeep;

use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use moojo_session::{AccessToken, Session, UserId};
use moojo_session_sqlite::SqliteStore;
use moojo_testkit::eventually;
use rusqlite::Connection;
use tempfile::TempDir;

/// A folder of its own, and the path of a store in it.
fn file() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sessions.db");
    (folder, path)
}

async fn open(path: &Path) -> SqliteStore {
    SqliteStore::builder(path).open().await.unwrap()
}

/// SQLite without us: what another program does to the file.
fn raw(path: &Path) -> Connection {
    let db = Connection::open(path).unwrap();
    db.busy_timeout(Duration::from_secs(10)).unwrap();
    db
}

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

/// An error and all that is under it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = format!("{error} {error:?}");
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error} {error:?}");
        source = error.source();
    }
    text
}
