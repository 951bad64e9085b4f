//! No thread is left behind.

use std::path::Path;

use moojo_session::{Change, SessionStore};

use crate::{child, eventually, file, login, open, raw};

/// In a process of its own, whose threads nobody else's are among.
#[cfg(target_os = "linux")]
#[test]
fn threads_end_with_the_store_and_the_listeners() {
    let (_folder, path) = file();
    let output = child::command("threads", &path).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(String::from_utf8_lossy(&output.stdout).contains("all have ended"));
}

fn count(name: &str) -> usize {
    let threads = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    let names = threads.map(|thread| std::fs::read_to_string(thread.path().join("comm")));
    names.flatten().filter(|found| found.trim_end().starts_with(name)).count()
}

/// The child.
pub(crate) async fn end_with_the_store(path: &Path) {
    let store = open(path).await;
    store.save(&login("alice")).await.unwrap();
    assert_eq!(count("moojo-sql"), 3, "one writes and two read");
    assert_eq!(count("moojo-sql-feed"), 0, "nobody listens");
    let (mut first, second) = (store.changes(), store.changes());
    store.save(&login("bob")).await.unwrap();
    first.next().await.unwrap();
    assert_eq!(count("moojo-sql-feed"), 1, "one listens for all");
    drop((first, second));
    eventually("the listener ends", async || count("moojo-sql-feed") == 0).await;

    // What was told of before is not told again to who listens now.
    let mut feed = store.changes();
    raw(path).execute_batch("insert into changes (user) values ('of another')").unwrap();
    feed.next().await.unwrap();
    drop(feed);
    eventually("the listener ends", async || count("moojo-sql-feed") == 0).await;
    let (mut changes, carol) = (store.changes(), login("carol"));
    store.save(&carol).await.unwrap();
    let told = Change::Saved { user: carol.user().clone(), id: carol.id() };
    assert_eq!(changes.next().await, Some(told));

    drop(store);
    assert_eq!(changes.next().await, None, "the feed ends with the store");
    eventually("all threads end", async || count("moojo-sql") == 0).await;
    // The last connection has emptied the log and removed it.
    assert!(!path.with_extension("db-wal").exists());
    child::say("all have ended");
}
