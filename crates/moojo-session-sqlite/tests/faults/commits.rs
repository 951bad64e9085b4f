//! Calls that come together share a commit, and nothing else.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::future::join_all;
use moojo_session::{
    Clock, LeaseHolder, LeaseStore, Session, SessionStore, StoreErrorKind, SystemClock,
};
use moojo_session_sqlite::SqliteStore;

use crate::{chain, file, login, open, raw, user};

/// How many transactions the write-ahead log has, by SQLite's file format, section 4.1: the frame
/// that ends one holds the size of the database, the others 0.
fn commits(path: &Path) -> usize {
    let wal = std::fs::read(path.with_extension("db-wal")).unwrap();
    let word = |at: usize| u32::from_be_bytes(wal[at..at + 4].try_into().unwrap());
    let (page, salt) = (word(8) as usize, &wal[16..24]);
    let frames = (32..).step_by(24 + page).take_while(|at| at + 24 + page <= wal.len());
    // Frames with other salts are left over from before.
    let valid = frames.filter(|at| &wal[at + 8..at + 16] == salt);
    valid.filter(|at| word(at + 4) != 0).count()
}

/// All of these at once: they wait for a lock that another has until all have been called.
async fn together(
    path: &Path,
    store: &SqliteStore,
    sessions: &[Session],
) -> Vec<Result<(), moojo_session::StoreError>> {
    let other = raw(path);
    other.execute_batch("begin immediate").unwrap();
    let saves = join_all(sessions.iter().map(|session| store.save(session)));
    // Polled in this order: all are called before the lock is let go.
    let (outcomes, ()) = tokio::join!(saves, async {
        other.execute_batch("rollback").unwrap();
    });
    outcomes
}

fn logins(count: usize) -> Vec<Session> {
    (0..count).map(|number| login(format!("user-{number}"))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_saves_at_once_are_one_commit() {
    let (_folder, path) = file();
    let store = open(&path).await;
    store.save(&login("first")).await.unwrap();
    let before = commits(&path);
    for one_by_one in logins(5) {
        store.save(&one_by_one).await.unwrap();
    }
    assert_eq!(commits(&path) - before, 5, "commits are counted");
    let before = commits(&path);
    let sessions = logins(64);
    for outcome in together(&path, &store, &sessions).await {
        outcome.unwrap();
    }
    let needed = commits(&path) - before;
    assert!((1..=2).contains(&needed), "64 saves took {needed} commits");
    for session in sessions {
        assert_eq!(store.load(session.user()).await.unwrap(), Some(session));
    }
}

/// `abort` undoes the statement; `rollback` the transaction that others are in.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_save_that_fails_does_not_harm_those_beside_it() {
    for way in ["abort", "fail", "rollback"] {
        let (_folder, path) = file();
        let store = open(&path).await;
        let trigger = format!(
            "create trigger no before insert on sessions when new.user like 'user-_3' \
             begin select raise({way}, 'planted 6c0350a00925b9bb'); end"
        );
        raw(&path).execute_batch(&trigger).unwrap();
        let sessions = logins(64);
        for (session, outcome) in sessions.iter().zip(together(&path, &store, &sessions).await) {
            let name = session.user().as_str();
            let loaded = store.load(session.user()).await.unwrap();
            if name.len() == 7 && name.ends_with('3') {
                let error = outcome.unwrap_err();
                assert_eq!(error.kind(), StoreErrorKind::Refused, "{way}: {name}");
                assert!(!chain(&error).contains("planted"), "rule 13");
                assert_eq!(loaded, None, "{way}: {name}");
            } else {
                outcome.unwrap();
                assert_eq!(loaded.as_ref(), Some(session), "{way}: {name}");
            }
        }
        // Nothing is told of what did not happen.
        let told: u32 =
            raw(&path).query_row("select count(*) from changes", (), |row| row.get(0)).unwrap();
        assert_eq!(told, 58, "{way}");
    }
}

/// Says how often it is read: whoever takes a lease reads it each time it is done.
#[derive(Debug, Clone, Default)]
struct Counting(Arc<AtomicUsize>);

impl Clock for Counting {
    fn now(&self) -> DateTime<Utc> {
        self.0.fetch_add(1, Ordering::SeqCst);
        SystemClock.now()
    }

    fn monotonic(&self) -> Duration {
        SystemClock.monotonic()
    }
}

/// Many that fail hold up those beside them no longer than twice the work.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_10_calls_that_fail_are_not_paid_for_by_the_others_again_and_again() {
    let (_folder, path) = file();
    let clock = Counting::default();
    let store = SqliteStore::builder(&path).clock(clock.clone()).open().await.unwrap();
    let trigger = "create trigger no before insert on leases when new.user like 'bad-%' \
                   begin select raise(abort, 'planted'); end";
    raw(&path).execute_batch(trigger).unwrap();
    let users: Vec<_> =
        (0..200).map(|number| user(format!("{}-{number}", ["good", "bad"][number % 2]))).collect();
    let other = raw(&path);
    other.execute_batch("begin immediate").unwrap();
    let minute = Duration::from_secs(60);
    let calls = users.iter().map(|user| store.acquire(user, LeaseHolder::random(), minute));
    let before = clock.0.load(Ordering::SeqCst);
    let (outcomes, ()) = tokio::join!(join_all(calls), async {
        other.execute_batch("rollback").unwrap();
    });
    for (user, outcome) in users.iter().zip(outcomes) {
        assert_eq!(outcome.is_ok(), user.as_str().starts_with("good"), "{user}: {outcome:?}");
    }
    let runs = clock.0.load(Ordering::SeqCst) - before;
    assert!(runs <= 3 * users.len(), "{} calls were done {runs} times", users.len());
    let kept: u32 =
        raw(&path).query_row("select count(*) from leases", (), |row| row.get(0)).unwrap();
    assert_eq!(kept, 100);
}
