//! What the log says of a feed that hears nothing. It is a program of its own: the feed has a thread of
//! its own, and the log is that of the process.

use std::time::Duration;

use moojo_session::{Change, ChangeStream, SessionStore};
use moojo_session_sqlite::SqliteStore;
use moojo_testkit::{Log, PATIENCE};

async fn next(feed: &mut ChangeStream) -> Option<Change> {
    let next = tokio::time::timeout(PATIENCE, feed.next()).await;
    next.expect("the feed says something")
}

/// A feed that is begun when the thread before it, which hears nothing, has ended.
async fn of_another_thread(store: &SqliteStore) -> ChangeStream {
    loop {
        let mut feed = store.changes();
        // That one's listeners are told at once that it hears nothing.
        if tokio::time::timeout(Duration::ZERO, feed.next()).await.is_err() {
            return feed;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_feed_that_hears_nothing_says_so_once() {
    let log = Log::of_process();
    let folder = tempfile::tempdir().unwrap();
    let (path, elsewhere) = (folder.path().join("a.db"), folder.path().join("elsewhere.db"));
    let store = SqliteStore::builder(&path).open().await.unwrap();
    let mut feed = store.changes();
    std::fs::rename(&path, &elsewhere).unwrap();
    assert_eq!(next(&mut feed).await, Some(Change::Disconnected));
    let warned = log.lines_with(&["WARN", "the session store fails", "what=\"change feed\""]);
    assert_eq!(warned.len(), 1, "{warned:?}");
    assert!(warned[0].contains("the store is unavailable: "), "{warned:?}");

    // Whoever listens later has another thread, which does not say it again.
    drop(feed);
    let mut feed = tokio::time::timeout(PATIENCE, of_another_thread(&store)).await.unwrap();
    assert_eq!(next(&mut feed).await, Some(Change::Disconnected));
    assert_eq!(log.lines_with(&["WARN"]).len(), 1, "{:?}", log.lines_with(&[]));

    std::fs::rename(&elsewhere, &path).unwrap();
    assert_eq!(next(&mut feed).await, Some(Change::Lagged));
    let works = ["INFO", "the session store works again", "what=\"change feed\""];
    assert_eq!(log.lines_with(&works).len(), 1);
    assert_eq!(log.lines_with(&["WARN"]).len(), 1, "{:?}", log.lines_with(&[]));
}
