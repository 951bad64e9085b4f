//! Listeners that are behind, come late or stay.

use futures_util::future::join_all;
use moojo_session::{Change, ChangeStream, Session, SessionStore};
use moojo_session_sqlite::{Durability, SqliteStore};
use tokio::time::{Duration, Instant, timeout};

use crate::{file, login, open, raw};

fn saved(session: &Session) -> Change {
    Change::Saved { user: session.user().clone(), id: session.id() }
}

async fn next(feed: &mut ChangeStream) -> Change {
    let next = timeout(Duration::from_secs(30), feed.next()).await;
    next.expect("a change within 30 seconds").expect("a feed with no end")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_feed_hears_from_the_start() {
    let (_folder, path) = file();
    let here = open(&path).await;
    here.save(&login("before")).await.unwrap();
    let there = open(&path).await;
    for (store, listener) in [(&here, &there), (&there, &here), (&here, &here)] {
        let mut feed = listener.changes();
        let login = login("alice");
        store.save(&login).await.unwrap();
        assert_eq!(next(&mut feed).await, saved(&login), "nothing comes before it");
    }
}

/// Who listens in the process that commits does not wait until it is looked again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_own_changes_are_told_at_once() {
    let (_folder, path) = file();
    let builder = SqliteStore::builder(&path).durability(Durability::Normal);
    let store = builder.open().await.unwrap();
    let mut feed = store.changes();
    let started = Instant::now();
    for number in 0..100 {
        let login = login(format!("user-{number}"));
        store.save(&login).await.unwrap();
        assert_eq!(next(&mut feed).await, saved(&login));
    }
    // It would be 15 seconds.
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_who_does_not_listen_is_told_so() {
    let (_folder, path) = file();
    let store = open(&path).await;
    let mut slow = store.changes();
    let sessions: Vec<_> = (0..512).map(|number| login(format!("user-{number}"))).collect();
    for _ in 0..10 {
        let saves = join_all(sessions.iter().map(|session| store.save(session))).await;
        assert!(saves.iter().all(Result::is_ok));
    }
    let last = login("last");
    store.save(&last).await.unwrap();
    let mut changes = Vec::new();
    while changes.last() != Some(&saved(&last)) {
        changes.push(next(&mut slow).await);
    }
    assert!(changes.contains(&Change::Lagged), "5000 changes were kept for it");
    assert!(changes.len() < 5000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_that_were_deleted_before_they_were_read_are_lagged() {
    let (_folder, path) = file();
    let store = open(&path).await;
    let mut feed = store.changes();
    store.save(&login("alice")).await.unwrap();
    next(&mut feed).await;
    // Others have done much, and deleted what was too old.
    let other = raw(&path);
    let many = "with recursive n(i) as (select 1 union all select i + 1 from n where i < {})
        insert into changes (user) select 'user-' || i from n";
    other
        .execute_batch(&format!(
            "begin; {}; delete from changes where seq <= 50; commit",
            many.replace("{}", "100")
        ))
        .unwrap();
    assert_eq!(next(&mut feed).await, Change::Lagged);
    assert_eq!(next(&mut feed).await, Change::Removed { user: crate::user("user-50") });
    for _ in 0..50 {
        assert!(matches!(next(&mut feed).await, Change::Removed { .. }));
    }
    // More than a listener can be behind.
    other.execute_batch(&many.replace("{}", "20000")).unwrap();
    assert_eq!(next(&mut feed).await, Change::Lagged);
    // It goes on from there.
    let bob = login("bob");
    store.save(&bob).await.unwrap();
    assert_eq!(next(&mut feed).await, saved(&bob));
    // The table does not grow without end.
    let rows: u32 = other.query_row("select count(*) from changes", (), |row| row.get(0)).unwrap();
    assert!(rows <= 16_384, "{rows} changes are kept");
    // Somebody has emptied it: numbers begin anew.
    other.execute_batch("delete from changes").unwrap();
    store.save(&login("carol")).await.unwrap();
    assert_eq!(next(&mut feed).await, Change::Lagged);
    store.save(&bob).await.unwrap();
    assert_eq!(next(&mut feed).await, saved(&bob));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn remove_all_is_told() {
    use moojo_session::SessionAdmin;
    let (_folder, path) = file();
    let (here, there) = (open(&path).await, open(&path).await);
    here.save(&login("alice")).await.unwrap();
    let mut feed = there.changes();
    assert_eq!(here.remove_all().await.unwrap(), 1);
    while next(&mut feed).await != Change::Lagged {}
}
