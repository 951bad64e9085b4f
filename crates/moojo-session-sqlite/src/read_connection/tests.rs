use std::path::Path;
use std::sync::{Arc, OnceLock};

use crossbeam_channel::Receiver;
use futures_util::future::join_all;
use moojo_session::StoreErrorKind;

use super::*;
use crate::builder::Durability;
use crate::database::Database;
use crate::queue::Queue;
use crate::reader::Reader;

/// So long that a test never ends that waits for it.
const FOR_EVER: Duration = Duration::from_secs(24 * 3600);

/// A file that is not in WAL mode, in which a writer keeps readers out.
fn file(folder: &Path) -> Connection {
    let db = Connection::open(folder.join("x.db")).unwrap();
    db.execute_batch("create table numbers (n); insert into numbers values (7)").unwrap();
    db
}

fn connection(folder: &Path, busy_timeout: Duration) -> ReadConnection {
    let database = Arc::new(Database {
        path: folder.join("x.db"),
        durability: Durability::Full,
        busy_timeout,
        max_bytes: None,
        cache_bytes: 1 << 20,
        opened: OnceLock::new(),
    });
    let open = |database: &Database| {
        let db = database.connect()?;
        db.busy_timeout(Duration::ZERO)?;
        Ok(db)
    };
    ReadConnection::new(Link::new(database, open)).unwrap()
}

fn number(db: &Connection) -> Result<i64, Failure> {
    Ok(db.prepare_cached("select n from numbers")?.query_row((), |row| row.get(0))?)
}

/// A reader for each connection, in a thread of its own.
fn start(
    connections: Vec<ReadConnection>,
    jobs: &Receiver<Box<dyn Job>>,
) -> Vec<std::thread::JoinHandle<()>> {
    let connections: Arc<[ReadConnection]> = connections.into();
    let reader =
        |number| Reader { connections: Arc::clone(&connections), number, jobs: jobs.clone() };
    let readers: Vec<_> = (0..connections.len()).map(reader).collect();
    readers.into_iter().map(|reader| std::thread::spawn(move || reader.run())).collect()
}

#[test]
fn a_caller_waits_neither_for_a_lock_nor_for_who_reads() {
    let folder = tempfile::tempdir().unwrap();
    let other = file(folder.path());
    let connection = connection(folder.path(), FOR_EVER);
    let read = || connection.try_read(Instant::now(), number);
    assert_eq!(read(), Some(7));
    other.execute_batch("begin exclusive").unwrap();
    assert_eq!(read(), None);
    other.execute_batch("update numbers set n = 8; commit").unwrap();
    assert_eq!(read(), Some(8), "it was not spoilt");
    connection.read_all(|| {
        assert_eq!(read(), None, "somebody uses it");
        Vec::new()
    });
    assert_eq!(read(), Some(8));
    let panics = |_: &Connection| -> Result<i64, Failure> { panic!("planted") };
    assert_eq!(connection.try_read(Instant::now(), panics), None);
    assert_eq!(read(), Some(8));
}

/// Those who come together wait for a lock together, and the first one's wait is all there is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_meet_a_lock_keep_their_limit_and_go_on_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let other = file(folder.path());
    for (patience, kind) in [
        (Duration::from_millis(500), StoreErrorKind::Unavailable),
        (Duration::from_secs(6), StoreErrorKind::TimedOut),
    ] {
        let (queue, jobs) = Queue::new(64, Duration::from_secs(4));
        let connection = connection(folder.path(), patience);
        other.execute_batch("begin exclusive").unwrap();
        let calls = join_all((0..20).map(|_| queue.call(number)));
        let (outcomes, threads) = tokio::join!(calls, async { start(vec![connection], &jobs) });
        for outcome in outcomes {
            assert_eq!(outcome.unwrap_err().kind(), kind);
        }
        other.execute_batch("rollback").unwrap();
        assert_eq!(queue.call(number).await.unwrap(), 7);
        drop(queue);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_panics_or_fails_fails_alone() {
    let folder = tempfile::tempdir().unwrap();
    drop(file(folder.path()));
    let (queue, jobs) = Queue::new(64, Duration::from_secs(30));
    let connection = connection(folder.path(), FOR_EVER);
    let calls = join_all((0..30).map(|at| {
        queue.call(move |db: &Connection| match at % 3 {
            0 => panic!("planted"),
            1 => Ok(db.prepare("no such thing").map(|_| 0)?),
            _ => number(db),
        })
    }));
    let (outcomes, threads) = tokio::join!(calls, async { start(vec![connection], &jobs) });
    for (at, outcome) in outcomes.into_iter().enumerate() {
        match at % 3 {
            2 => assert_eq!(outcome.unwrap(), 7),
            _ => assert_eq!(outcome.unwrap_err().kind(), StoreErrorKind::Unavailable),
        }
    }
    drop(queue);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

/// What is committed after some were taken is seen by those who come then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_later_does_not_join_a_view_that_was_taken_before() {
    let folder = tempfile::tempdir().unwrap();
    let other = file(folder.path());
    other.pragma_update(None, "journal_mode", "wal").unwrap();
    let (queue, jobs) = Queue::new(64, Duration::from_secs(30));
    let connection = connection(folder.path(), FOR_EVER);
    let other = Arc::new(Mutex::new(other));
    let early = join_all((0..2).map(|_| {
        let other = Arc::clone(&other);
        queue.call(move |db: &Connection| {
            let seen = number(db)?;
            // The view of all who were taken together stands by now.
            other.lock().execute("update numbers set n = n + 1", ())?;
            Ok(seen)
        })
    }));
    let (early, threads) = tokio::join!(early, async { start(vec![connection], &jobs) });
    let early: Vec<_> = early.into_iter().map(Result::unwrap).collect();
    assert_eq!(early, [7, 7], "they had one view");
    assert_eq!(queue.call(number).await.unwrap(), 9);
    drop(queue);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_waits_behind_a_call_that_takes_long_while_a_reader_is_free() {
    let folder = tempfile::tempdir().unwrap();
    drop(file(folder.path()));
    let (queue, jobs) = Queue::new(64, Duration::from_secs(20));
    let connections =
        vec![connection(folder.path(), FOR_EVER), connection(folder.path(), FOR_EVER)];
    let (open, gate) = crossbeam_channel::bounded::<()>(0);
    let long = queue.long_call(move |db| {
        let _ = gate.recv();
        number(db)
    });
    let before = queue.call(number);
    let others = async {
        let after = join_all((0..30).map(|_| queue.call(number)));
        let threads = async { start(connections, &jobs) };
        let (outcomes, threads) = tokio::join!(after, threads);
        for outcome in outcomes {
            assert_eq!(outcome.unwrap(), 7);
        }
        drop(open);
        threads
    };
    // Polled in this order: all wait before the readers start.
    let (before, long, threads) = tokio::join!(before, long, others);
    assert_eq!((before.unwrap(), long.unwrap()), (7, 7));
    drop(queue);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}
