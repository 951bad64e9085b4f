//! `SqliteStore` beside rusqlite.

use std::path::Path;
use std::time::Duration;

use moojo_session_sqlite::{Reading, SqliteStore};
use rusqlite::{Connection, OpenFlags};
use tokio::runtime::Runtime;

use super::contest::{self, Entrant};
use super::records::{People, parse};
use super::{Bytes, Figures, IN_FLIGHT, Plan, turns};

/// As many threads as the store reads with, if nothing is set.
const READERS: usize = 2;

/// Who writes at once.
const WRITERS: usize = 64;

const LOAD: &str = "select id, body from sessions where user = ?1";

/// One save, as the store writes it, without the note for the change feed.
const SAVE: &str = "
    insert into sessions (user, id, issued_at, expires_at, seq, body)
    values (?1, zeroblob(16), 1, ?2, 0, ?3)
    on conflict (user) do update set expires_at = excluded.expires_at, body = excluded.body";

/// Measures in files of its own.
pub fn measure(plan: &Plan, runtime: &Runtime, people: &People) -> Figures {
    let folder = tempfile::tempdir().expect("a folder for the files");
    let path = folder.path().join("sessions.db");
    let store = open(runtime, &path);
    let builder = SqliteStore::builder(&path).reading(Reading::CallingThread);
    let on_caller = runtime.block_on(builder.open()).expect("the file is there");
    let bytes = bytes(runtime, people, &store, &path);
    let loads = IN_FLIGHT.map(|in_flight| {
        let select = |parses: bool| {
            let mut connections: Vec<_> =
                (0..in_flight.min(READERS)).map(|_| connect(&path)).collect();
            move || {
                turns::threads(plan.turn, &mut connections, |db, pick| {
                    let mut sql = db.prepare_cached(LOAD).expect("the table is there");
                    let id = people.id(pick);
                    let mut rows = sql.query((id.as_str(),)).expect("it is read");
                    let row = rows.next().expect("it is read").expect("a session");
                    let body = row.get_ref(1).expect("a column").as_blob().expect("bytes");
                    if parses {
                        parse(body, id);
                    } else {
                        std::hint::black_box(body.to_owned());
                    }
                })
            }
        };
        let entrants = vec![
            Entrant::new("rusqlite, prepared `select`, in threads", select(false)),
            Entrant::new("the same, and the record read", select(true)),
            Entrant::new("**`SqliteStore::load`**, `OwnThreads`", || {
                super::load(runtime, in_flight, plan.turn, &store, people)
            }),
            Entrant::new("**`SqliteStore::load`**, `CallingThread`", || {
                super::load(runtime, in_flight, plan.turn, &on_caller, people)
            }),
        ];
        contest::hold(in_flight, plan.rounds, entrants)
    });
    // The same tables in a file of its own.
    let single = folder.path().join("single.db");
    drop(open(runtime, &single));
    let commit_singly = |writers: usize| {
        let mut connections: Vec<_> = (0..writers).map(|_| connect(&single)).collect();
        for db in &connections {
            db.busy_timeout(Duration::from_secs(60)).expect("it is set");
        }
        move || {
            turns::threads(plan.turn, &mut connections, |db, pick| {
                let mut sql = db.prepare_cached(SAVE).expect("the table is there");
                let id = people.id(pick).as_str();
                // As long as a record is.
                sql.execute((id, pick as i64, [0; 230].as_slice())).expect("it is written");
            })
        }
    };
    let entrants = vec![
        Entrant::new("rusqlite, one durable commit at a time", commit_singly(1)),
        Entrant::new("the same by 64 writers", commit_singly(WRITERS)),
        Entrant::new("**`SqliteStore::save`**, 64 at once", || {
            super::save(runtime, WRITERS, plan.turn, &store, people)
        }),
    ];
    let saves = vec![contest::hold(WRITERS, plan.rounds.div_ceil(3), entrants)];
    Figures { loads: loads.into(), saves, bytes }
}

fn bytes(runtime: &Runtime, people: &People, store: &SqliteStore, path: &Path) -> Bytes {
    let db = connect(path);
    let mut before = size(&db);
    let mut share = || {
        let now = size(&db);
        let grown = now - before;
        before = now;
        grown / people.count() as f64
    };
    people.log_in(runtime, store);
    let session = share();
    people.log_in(runtime, store);
    let session_renewed = session + share();
    people.begin_logins(runtime, store);
    let login = share();
    people.count_sends(runtime, store);
    let quota = share();
    Bytes { session, session_renewed, login, quota }
}

/// The pages that are in use, those in the write-ahead log included.
fn size(db: &Connection) -> f64 {
    let pragma = |name: &str| -> i64 {
        db.pragma_query_value(None, name, |row| row.get(0)).expect("a number")
    };
    ((pragma("page_count") - pragma("freelist_count")) * pragma("page_size")) as f64
}

fn open(runtime: &Runtime, path: &Path) -> SqliteStore {
    runtime.block_on(SqliteStore::builder(path).open()).expect("the file is made")
}

/// A connection with the store's settings.
fn connect(path: &Path) -> Connection {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags).expect("the file is there");
    db.execute_batch(
        "pragma busy_timeout = 2000; pragma synchronous = full; pragma secure_delete = on; \
         pragma temp_store = memory; pragma cell_size_check = on;",
    )
    .expect("it is set");
    db
}
