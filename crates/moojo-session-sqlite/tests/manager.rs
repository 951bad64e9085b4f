//! Managers of two processes on one file.

use std::path::Path;
use std::time::{Duration, Instant};

use chrono::{TimeDelta, Utc};
use moojo_session::{AccessToken, Session, SessionManager, UserId};
use moojo_session_sqlite::SqliteStore;

async fn manager(path: &Path) -> SessionManager {
    SessionManager::new(SqliteStore::builder(path).open().await.unwrap())
}

fn login(user: &UserId) -> Session {
    Session::builder(user.clone(), AccessToken::new("6c0350a00925b9bb").unwrap())
        .expires_at(Utc::now() + TimeDelta::hours(2))
        .build()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_of_one_process_is_had_by_the_other_and_a_logout_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sessions.db");
    let (here, there) = (manager(&path).await, manager(&path).await);
    let alice = UserId::new("alice").unwrap();
    assert!(here.get(&alice).await.is_err());

    // Somebody waits in one process, and she logs in at the other.
    let session = login(&alice);
    let waiting = there.wait(&alice, Duration::from_secs(60));
    let (waited, inserted) = tokio::join!(waiting, here.insert(session.clone()));
    inserted.unwrap();
    assert_eq!(waited.unwrap(), session);
    assert_eq!(there.get(&alice).await.unwrap(), session);

    here.revoke(&alice).await.unwrap();
    let started = Instant::now();
    while there.get(&alice).await.is_ok() {
        assert!(started.elapsed() < Duration::from_secs(30), "the logout is not heard of");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_logs_nobody_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sessions.db");
    let alice = UserId::new("alice").unwrap();
    let session = login(&alice);
    manager(&path).await.insert(session.clone()).await.unwrap();
    assert_eq!(manager(&path).await.get(&alice).await.unwrap(), session);
}
