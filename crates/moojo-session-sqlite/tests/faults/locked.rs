//! Another process has the lock.

use std::io::Read;
use std::path::Path;
use std::time::{Duration, Instant};

use moojo_session::{SessionStore, StoreErrorKind};
use moojo_session_sqlite::SqliteStore;

use crate::{chain, child, file, login, raw};

const BUSY: Duration = Duration::from_millis(200);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_6_a_lock_of_another_process_is_an_outage() {
    let (_folder, path) = file();
    let store = SqliteStore::builder(&path).busy_timeout(BUSY).open().await.unwrap();
    let alice = login("alice");
    store.save(&alice).await.unwrap();
    let mut process = child::start("lock", &path);
    let mut lines = child::lines(&mut process);
    assert!(lines.any(|line| line == "locked"));

    let started = Instant::now();
    let error = store.save(&login("bob")).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{}", chain(&error));
    assert!(started.elapsed() >= BUSY);
    let error = store.remove(alice.user()).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{}", chain(&error));
    // Who reads does not wait for it.
    assert_eq!(store.load(alice.user()).await.unwrap(), Some(alice));

    // It ends, which the other end of its input says to it.
    drop(process.stdin.take());
    process.wait().unwrap();
    store.save(&login("carol")).await.unwrap();
    assert_eq!(store.load(login("bob").user()).await.unwrap(), None);
}

/// Our own limit is over first: nobody knows whether it happens.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_own_time_limit_is_told_from_an_outage() {
    let (_folder, path) = file();
    let store = SqliteStore::builder(&path)
        .busy_timeout(Duration::from_secs(20))
        .operation_timeout(BUSY)
        .queue(2)
        .open()
        .await
        .unwrap();
    let other = raw(&path);
    other.execute_batch("begin immediate").unwrap();
    let (alice, bob, carol) = (login("alice"), login("bob"), login("carol"));
    let (first, second) = (store.save(&alice), store.save(&bob));
    let (first, second, third) = tokio::join!(first, second, store.save(&carol));
    for outcome in [first, second] {
        assert_eq!(outcome.unwrap_err().kind(), StoreErrorKind::TimedOut);
    }
    // There was no place in the queue for the third: it has certainly not happened.
    assert_eq!(third.unwrap_err().kind(), StoreErrorKind::Unavailable);
    other.execute_batch("rollback").unwrap();
    crate::eventually("the store works again", async || store.save(&login("dave")).await.is_ok())
        .await;
    // Those whose callers had left have not happened either.
    for session in [alice, bob, carol] {
        assert_eq!(store.load(session.user()).await.unwrap(), None);
    }
}

/// The child: has the lock until its parent lets go.
pub(crate) fn hold_lock(path: &Path) {
    let db = raw(path);
    db.execute_batch("begin immediate").unwrap();
    child::say("locked");
    let _ = std::io::stdin().read(&mut [0]);
    db.execute_batch("rollback").unwrap();
}
