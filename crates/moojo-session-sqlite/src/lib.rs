//! SQLite as the store of [`moojo_session`]: the sessions, logins under way, quotas and leases of one
//! machine in one file, which survives restarts and crashes and needs no server.
//!
//! ```
//! use moojo_session::SessionManager;
//! use moojo_session_sqlite::SqliteStore;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("sessions.db");
//! let store = SqliteStore::builder(path).open().await?;
//! let sessions = SessionManager::new(store.clone());
//! # Ok(())
//! # }
//! ```
//!
//! [`SqliteStore`] is a [`SessionStore`](moojo_session::SessionStore), a
//! [`SessionAdmin`](moojo_session::SessionAdmin), a [`ChallengeStore`](moojo_session::ChallengeStore)
//! and a [`LeaseStore`](moojo_session::LeaseStore). A tenant has a file of its own, and
//! with it three threads.
//!
//! # What is durable when
//!
//! A call that has succeeded is committed: every process on the file sees it, and a crash of the
//! process, `kill -9` included, does not undo it. With [`Durability::Full`], which is the default, the
//! disk has it, and a power failure does not undo it either, as far as the disk keeps its word. With
//! [`Durability::Normal`] a power failure may take the last changes.
//!
//! A call whose future is dropped happens wholly or not at all, and so does one that ends in
//! [`TimedOut`](moojo_session::StoreErrorKind::TimedOut). After any other error nothing of it has
//! happened, except that a disk that fails while it commits may have it nevertheless.
//!
//! # How it works
//!
//! One thread writes. It takes all calls that wait, does them in one transaction, and answers when that
//! is committed: the wait for the disk is shared by all who came meanwhile. How many times as many
//! saves that makes as single commits depends on the disk: `docs/performance.md` has figures. If one
//! fails, the transaction is undone, and all others are done anew without it, each in a savepoint in case
//! more of them fail. Two more threads read, in
//! SQLite's WAL mode, in which they wait for nobody: each takes its share of the loads that wait, and
//! reads it in one transaction, which begins after the last of them has come. Nothing blocks the runtime.
//!
//! The way of a load to another thread and back takes longer than the load itself.
//! [`Reading::CallingThread`] spares it, for those who know that their disk makes nobody wait for long:
//! sessions and logins are then read where they are called, as long as that is quick.
//!
//! # Several processes
//!
//! Any number of processes of one machine can have the file open; not those of several machines, by
//! whatever network file system. Who writes waits for the others' lock for
//! [`busy_timeout`](SqliteStoreBuilder::busy_timeout). All need the same wall clock, which those of
//! one machine have; leases run by it as well. The [change feed](moojo_session::SessionStore::changes)
//! tells of changes of the own process at once and of those of others within about 150 ms; it costs a
//! thread while somebody listens.
//!
//! # Whether it is ready
//!
//! [`SqliteStore::check`] says whether the file is in its place, has the tables and may be written. What
//! SQLite refuses is [`Refused`](moojo_session::StoreErrorKind::Refused), with the reason in the sources
//! of the error, which [`Chain`](moojo_session::Chain) shows. The log
//! [says it once](moojo_session::StoreLog) for each kind of call of a manager, and of the change feed,
//! and once when it is over.
//!
//! # The file
//!
//! | table | for each | what |
//! |---|---|---|
//! | `sessions` | user | `id`, `issued_at`, `expires_at`, `seq` of the change that told of it, `body` |
//! | `challenges` | user | `revision`, `keep_until`, `body` |
//! | `quotas` | key | `ends`: when each use falls out of the window; `keep_until` |
//! | `leases` | user | `holder`, why the person `declined`, `until`, `time` it was taken for |
//! | `changes` | change | `seq`, `user` and `id`; about the last 16,384 |
//!
//! Times are nanoseconds since 1970. A session's `body` is that of
//! [`Session::to_exposed_bytes`](moojo_session::Session::to_exposed_bytes), a login's the JSON of
//! [`ExposedChallenge`](moojo_session::ExposedChallenge). What has ended is deleted in small pieces,
//! about once a minute. `user_version` is the version of the tables: an older file is brought up to
//! date when it is opened, a newer one is refused.
//!
//! - **Tokens stand in the file in the clear**, and phone numbers, unless the core's `SealedStore` is in
//!   front. It is made for its owner alone (mode 0600), and so are `-wal` and `-shm` beside it, which
//!   belong to it. What is deleted is overwritten in the file; in `-wal`, old pages stand until they are
//!   written over, or until the store has had nothing to write for a minute or two, or the last one on
//!   the file closes. What the disk itself keeps, and memory that SQLite used, is beyond this.
//! - Copy it with SQLite's own means (`vacuum into`, `.backup`) while it is in use. Never delete or
//!   replace it meanwhile: calls then fail until it is back, or the store is opened anew.
//! - Do not open it in the same process but through SQLite: closing any other handle of it drops the
//!   locks that the process has (POSIX).
//! - SQLite is built in. A program has room for one crate that links it.

mod admin;
mod builder;
mod challenges;
mod check;
mod database;
mod error;
mod feed;
mod leases;
mod link;
mod lock;
mod log;
mod migrate;
mod pace;
mod queue;
mod quotas;
mod read_connection;
mod reader;
mod reads;
mod record;
mod sessions;
mod store;
mod times;
mod upkeep;
mod writer;

pub use builder::{Durability, SqliteStoreBuilder};
pub use migrate::OpenError;
pub use reads::Reading;
pub use store::SqliteStore;
