//! Rule 13: what is secret stays out of what is shown, and of the file once it is deleted.

use std::path::Path;
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use moojo_session::{Challenge, ChallengeStore, Quota, SessionStore, StoreErrorKind};
use moojo_session_sqlite::SqliteStore;

use crate::{chain, eventually, file, open, raw, user, with_token};

const NUMBER: &str = "+15559876543";

fn contains(path: &Path, secret: &str) -> bool {
    std::fs::read(path).unwrap().windows(secret.len()).any(|bytes| bytes == secret.as_bytes())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_13_what_was_removed_is_not_in_the_file() {
    let (_folder, path) = file();
    let wal = path.with_extension("db-wal");
    let store = open(&path).await;
    let kept = with_token("alice", &"kept-token".repeat(100));
    let replaced = with_token("bob", &"replaced-token".repeat(100));
    let removed = with_token("carol", &"removed-token".repeat(600));
    let (now, later) = (Utc::now(), Utc::now() + TimeDelta::minutes(10));
    let challenge = Challenge::open(user("dave"), NUMBER, now, now, later);
    for session in [&kept, &replaced, &removed] {
        store.save(session).await.unwrap();
    }
    assert!(store.swap(None, &challenge, now).await.unwrap());
    assert!(contains(&wal, "removed-token"), "the test sees what is there");
    store.save(&with_token("bob", "short")).await.unwrap();
    assert!(SessionStore::remove(&store, removed.user()).await.unwrap());
    let revision = challenge.revision();
    assert!(ChallengeStore::remove(&store, challenge.user(), revision).await.unwrap());
    drop(store);
    // While it was open, this process could not look into the file without losing its locks.
    eventually("the store closes", async || !wal.exists()).await;
    assert!(contains(&path, "kept-token"));
    for secret in ["replaced-token", "removed-token", &NUMBER[1..]] {
        assert!(!contains(&path, secret), "{secret} is still there");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_13_no_secret_in_errors_and_debug() {
    let (_folder, path) = file();
    let builder = SqliteStore::builder(&path);
    let store = builder.clone().open().await.unwrap();
    let session = with_token("alice", "planted-token");
    let (now, later) = (Utc::now(), Utc::now() + TimeDelta::minutes(10));
    let challenge = Challenge::open(user("alice"), NUMBER, now, now, later);
    let quota = Quota { key: "sends:+15559876543", limit: 3, window: Duration::from_secs(60) };
    for table in ["sessions", "challenges", "quotas"] {
        let trigger = format!(
            "create trigger no_{table} before insert on {table} \
             begin select raise(abort, 'planted'); end"
        );
        raw(&path).execute_batch(&trigger).unwrap();
    }
    let errors = [
        store.save(&session).await.unwrap_err(),
        store.swap(None, &challenge, now).await.unwrap_err(),
        store.admit(&quota, now).await.unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind(), StoreErrorKind::Refused);
        let text = chain(&error);
        assert!(!text.contains("planted") && !text.contains("5559876543"), "{text}");
    }
    assert!(!format!("{store:?} {builder:?}").contains("planted"));
}
