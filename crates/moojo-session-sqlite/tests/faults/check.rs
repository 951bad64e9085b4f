//! What a check finds: a file that is there and is ours, whoever else is at work on it.

use moojo_session::{SessionStore, StoreErrorKind};
use moojo_session_sqlite::{Reading, SqliteStore};

use crate::{chain, eventually, file, login, open, raw};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_says_whether_the_file_is_there() {
    for reading in [Reading::OwnThreads, Reading::CallingThread] {
        let (folder, path) = file();
        let store = SqliteStore::builder(&path).reading(reading).open().await.unwrap();
        store.check().await.unwrap();
        let elsewhere = folder.path().join("elsewhere.db");
        std::fs::rename(&path, &elsewhere).unwrap();
        let error = store.check().await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{}", chain(&error));
        // Another file in its place is none of ours.
        std::fs::write(&path, "").unwrap();
        let error = store.check().await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{}", chain(&error));
        std::fs::rename(&elsewhere, &path).unwrap();
        eventually("a check", async || store.check().await.is_ok()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_waits_for_nobody_who_writes_and_misses_a_table() {
    let (_folder, path) = file();
    let store = open(&path).await;
    store.save(&login("alice")).await.unwrap();
    let other = raw(&path);
    other.execute_batch("begin immediate").unwrap();
    store.check().await.unwrap();
    other.execute_batch("alter table leases rename to gone; commit").unwrap();
    let error = store.check().await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{}", chain(&error));
    other.execute_batch("alter table gone rename to leases").unwrap();
    store.check().await.unwrap();
}
