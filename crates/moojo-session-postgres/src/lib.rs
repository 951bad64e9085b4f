//! PostgreSQL as the store of [`moojo_session`]: one database that many processes share.
//!
//! [`PostgresStore`] keeps sessions ([`SessionStore`], [`SessionAdmin`]), logins under way and their
//! quotas ([`ChallengeStore`]) and leases ([`LeaseStore`]), and tells every process of the changes that
//! any of them makes.
//!
//! ```no_run
//! use moojo_session::SessionManager;
//! use moojo_session_postgres::PostgresStore;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! // postgres://moojo:…@db.example/moojo
//! let url = std::env::var("DATABASE_URL").map_err(|_| "DATABASE_URL is not set")?;
//! let store = PostgresStore::builder(url).schema("moojo").build()?;
//! store.migrate().await?;
//! let sessions = SessionManager::new(store);
//! # Ok(())
//! # }
//! ```
//!
//! [`SessionStore`]: moojo_session::SessionStore
//! [`SessionAdmin`]: moojo_session::SessionAdmin
//! [`ChallengeStore`]: moojo_session::ChallengeStore
//! [`LeaseStore`]: moojo_session::LeaseStore
//!
//! # What PostgreSQL has to be
//!
//! Version 14 or later, a database with the encoding UTF8, and a direct connection or one through a
//! pooler in session mode: prepared statements and LISTEN do not live through PgBouncer's transaction
//! mode. A replica is not used, as it may be behind: calls fail as `Unavailable`, until it takes over.
//! With several hosts in the URL, add `target_session_attrs=read-write`, and
//! `load_balance_hosts=random` so that one that hangs is not the first to be tried each time. A store
//! opens up to 5 connections (see [`connections`](PostgresStoreBuilder::connections)), each when it is
//! first needed; a store for each tenant has its own.
//!
//! # What is promised, and by which settings
//!
//! A call that returned `Ok` is as durable as a commit is at the `synchronous_commit` that a new
//! connection of the store's user has, whether that is set for the server, the database or the user:
//!
//! | settings | what survives |
//! |---|---|
//! | `fsync=on`, `synchronous_commit=on` (the defaults) | a crash of the server and of its machine |
//! | and `synchronous_standby_names`, `synchronous_commit=on` or `remote_apply` | the loss of its disk as well |
//! | `synchronous_commit=off` | a crash loses up to three times `wal_writer_delay`: **some logins, and that some codes were sent** (rule 8) |
//! | `fsync=off` | nothing, after a crash of the machine |
//!
//! - Each call is one statement that takes effect wholly or not at all, also if its future is dropped
//!   or its connection lost.
//! - What is left of a call whose future was dropped, or whose connection was lost, takes effect before
//!   the later changes of this process to the same user, or not at all: they go over one connection, and
//!   before one that was lost is replaced, its end in the server is ended (`pg_terminate_backend`).
//! - Others may see a change, and be told of it, some milliseconds before it is durable and its caller
//!   is told. If the server crashes in that time, the change is gone, its caller has an error, and the
//!   feed of those who were told says `Disconnected` and `Lagged`.
//! - After a failover to a replica that is not synchronous, what it had not received is gone, and users
//!   log in again.
//!
//! An outage is never "no session": a server that cannot be reached, is starting, or has no room for a
//! connection gives `Unavailable`, one that takes too long `TimedOut`, one that is read-only, full, not
//! migrated or without the permission `Refused`. Calls that come while there is no connection wait for
//! the next attempt, which is at most a second away, and have its outcome. The server's disk of the
//! tables can be full while loads and logouts go on; without room for its log the server ends.
//!
//! # Loads
//!
//! A load is one `select` by the user's id. While four of these or a statement for several users are
//! under way, those that come are collected, and go out as one statement for up to 128 users as soon
//! as the one before it is answered: that takes the server and this process much less than a statement
//! for each. A load then waits, at worst, for the answer to the statement before its own. Each has its
//! own time limit and its own outcome, whoever leaves, and sees whatever was acknowledged before it
//! began.
//!
//! # Clocks
//!
//! Sessions end by the callers' clocks, quotas count by the callers' `now`, leases run by the server's
//! clock. Rows are kept by the server's clock for as long as the caller's says that they are needed, and
//! a minute more, so no difference between the two deletes anything that lives.
//!
//! # The change feed
//!
//! What saves or removes a session also calls `pg_notify`, in the same transaction, so a change is told
//! if and only if it happened. All [`changes`](moojo_session::SessionStore::changes) of a store share
//! one connection that listens, while anybody reads. It is probed every 2 seconds; a server that does
//! not answer for 3 counts as lost. The log has a warning with the reason, once, and a line when the
//! feed hears again.
//!
//! A commit with a notice takes a lock of the whole database, which PostgreSQL holds until the commit
//! is on the disk: no two go there together. With commits that wait for the disk, that made 200 to 330
//! saves a second on a small busy machine with an fsync of 3.5 ms, with 1, 4 or 8 connections alike,
//! where leases, which tell nobody, came to 2,900. So the store commits without waiting, and then waits
//! for an empty commit that does wait, one for all who are waiting: 3,400 to 8,600 saves a second there,
//! 64 at a time (`docs/performance.md` has another run). Tables of changes that
//! are polled would need no lock, but tell later and have to be cleared away; notices from outside of
//! the transaction would be lost with the process that owes them.
//!
//! # The tables
//!
//! In the schema, as `migrations/` says; `keep_until` is when a row may be deleted, which the store does
//! by itself about once a minute.
//!
//! | table | key | what else |
//! |---|---|---|
//! | `sessions` | `user_id` | `session_id`, `expires_at`, `saved_at`, `keep_until`, `body`: the record, as [`Session::to_exposed_bytes`](moojo_session::Session::to_exposed_bytes) has it, **with the token** |
//! | `challenges` | `user_id` | `revision`, `keep_until`, `body`: the record as JSON, **with the phone number** |
//! | `quotas` | `key`, with a **phone number** in some | `ends`: when each use falls out of its window; `granted`, `keep_until` |
//! | `leases` | `user_id` | `holder`, `declined`, `keep_until` |
//! | `migrations` | `version` | `applied_at` |
//!
//! # Who may do what
//!
//! The user that calls [`migrate`](PostgresStore::migrate) owns the schema and the tables. Where the
//! processes are to have no more rights than they need, they are another user, `moojo_server` here, in
//! a database and a schema that are called `moojo`:
//!
//! ```sql
#![doc = include_str!("../grants.sql")]
//! ```
//!
//! # Whether it is ready
//!
//! [`PostgresStore::check`] says whether the server can be reached and which of these rights are
//! missing, in one round trip. What the server refuses is
//! [`Refused`](moojo_session::StoreErrorKind::Refused), with the reason in the sources of the error,
//! which [`Chain`](moojo_session::Chain) shows. The log [says it once](moojo_session::StoreLog) for each
//! kind of call of a manager, and of the change feed, and once when it is over.
//!
//! # Secrets
//!
//! Tokens go over the connection and stand in the tables. Connections are encrypted (feature `tls`) and
//! the server's certificate and name are checked, unless the server is on this machine or the URL says
//! `sslmode=disable`. Who can read the database or its backups can act as the users, unless a
//! `SealedStore` (feature `sealed` of the core) is in front.
//!
//! The *server's* log is the server's: with `log_statement`, `log_min_duration_statement` or
//! `auto_explain`, it writes the parameters of statements, tokens among them, unless
//! `log_parameter_max_length` is 0. No error, `Debug` or log of this crate holds any, nor does what
//! tokio-postgres logs of its statements.
//!
//! # Features
//!
//! None is on by default.
//!
//! - `tls`: encrypted connections, by rustls with aws-lc-rs.

mod admin;
mod backoff;
mod builder;
mod challenges;
mod check;
mod config;
mod connector;
mod database;
mod error;
mod feed;
mod hidden;
mod leases;
mod link;
mod loads;
mod migrate;
mod names;
mod quotas;
mod sessions;
mod store;
mod times;
#[cfg(feature = "tls")]
mod tls;
mod upkeep;

pub use builder::PostgresStoreBuilder;
pub use config::ConfigError;
pub use migrate::MigrateError;
pub use store::PostgresStore;

use link::Parameter;
use moojo_session::StoreError;
use tokio_postgres::Row;
use tokio_postgres::types::FromSql;

/// A value of a row. What is not of its type, we did not write.
fn column<'a, T: FromSql<'a>>(row: &'a Row, index: usize) -> Result<T, StoreError> {
    row.try_get(index).map_err(|_| StoreError::corrupt("a column is not of the type expected"))
}
