//! Managers of two processes on one file.

use std::path::Path;
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use moojo_session::{AccessToken, Event, Session, SessionManager, UserId};
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

    // Whoever waits there hears of a login after the logout, and so of both.
    let bob = UserId::new("bob").unwrap();
    let mut events = there.events();
    let waiting = tokio::spawn({
        let (there, bob) = (there.clone(), bob.clone());
        async move { there.wait(&bob, Duration::from_secs(60)).await }
    });
    let is_bobs =
        |event: &Event| matches!(event, Event::ReauthRequired(signal) if signal.user() == &bob);
    while !events.next().await.is_some_and(|event| is_bobs(&event)) {}
    here.revoke(&alice).await.unwrap();
    here.insert(login(&bob)).await.unwrap();
    waiting.await.unwrap().unwrap();
    assert!(there.get(&alice).await.is_err());
}

/// As behind a load balancer: a page of one process sends her to the login of another, and back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_7_nobody_is_asked_to_log_in_again_who_has_just_done_so_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sessions.db");
    let (here, there) = (manager(&path).await, manager(&path).await);
    for number in 0..20 {
        let user = UserId::new(format!("user-{number}")).unwrap();
        assert!(here.get(&user).await.is_err());
        let session = login(&user);
        there.insert(session.clone()).await.unwrap();
        assert_eq!(here.get(&user).await.unwrap(), session);
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
