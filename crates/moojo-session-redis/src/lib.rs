//! Sessions, logins under way and leases in Redis 6 or later, Valkey and Redis Cluster: what the
//! processes of an agent platform share, so that a person logs in once for all of them.
//!
//! [`RedisStore`] implements [`SessionStore`], [`SessionAdmin`], [`ChallengeStore`] and
//! [`LeaseStore`]. It is built without a server being there, connects when it is first used, and
//! again by itself whenever a connection fails.
//!
//! ```no_run
//! use moojo_session::{SessionManager, UserId};
//! use moojo_session_redis::RedisStore;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let url = std::env::var("REDIS_URL").map_err(|_| "REDIS_URL is not set")?;
//! let store = RedisStore::builder(url).prefix("tenant-7").build()?;
//! let sessions = SessionManager::new(store.clone());
//! let alice = UserId::new("alice")?;
//! let session = sessions.get(&alice).await?;
//! # Ok(())
//! # }
//! ```
//!
//! Three kinds of installations: [one server](RedisStore::builder), [a cluster](RedisStore::cluster),
//! [a master that sentinels watch](RedisStore::sentinel).
//!
//! # What it promises
//!
//! - **Each call is one step.** It is one command, or one Lua script on one key. What a script
//!   changes it also publishes: the feed tells of a change if and only if it happened. (Redis undoes
//!   nothing that a script did before it failed, as it does where a user may write and not publish:
//!   [`check`](RedisStore::check) finds that out.)
//! - **Each call is sent once.** If the answer does not come, the call fails, and nobody but the caller
//!   decides whether to try again. A save that a client repeats by itself could displace a login that
//!   came in between, and a quota would be used twice.
//! - **Loads share the way.** A load that begins while others are under way on its connection goes out
//!   with those that wait, at most 64 in one piece, as a pipeline of `GET`s: each gets its own answer,
//!   or its own error. Four such pieces are under way at once, and the next load waits for the first
//!   of them to be answered. None joins a piece that has gone out: a load sees all that was
//!   acknowledged before it began. When more than 4,096 wait, the others go out one by one.
//! - **No answer goes to another caller.** A connection that owes an answer when the time is over is
//!   given up, with whatever comes on it later.
//! - **Callers may leave.** A call whose future is dropped goes on in a task of its own: it happens
//!   wholly or not at all. (A load that has not gone out is not sent.) Nobody else notices.
//! - **The server's clock does not matter.** A key lives for the rest of its session by the clock of
//!   the process that saves it, and who loads it looks at the end again.
//! - **No secret is shown.** Errors have the first word of what Redis said and no more, because Redis
//!   quotes commands that it does not know. A server that is away is named by its host and port; no
//!   user and no password of a URL is in an error or in `Debug`.
//!
//! A call that [timed out](moojo_session::StoreErrorKind::TimedOut) may have happened or not, or may
//! still happen when a server that hangs goes on with what it had received.
//!
//! # What the server has to be told
//!
//! Redis keeps what it is configured to keep. A session that is lost is a person who types a code
//! again, and an SMS:
//!
//! | setting | what it gives |
//! |---|---|
//! | `appendonly yes`, `appendfsync always` | what was acknowledged survives a crash of the server; each write waits for the disk |
//! | `appendfsync everysec` | the same for a crash of the process; a crash of the machine takes the last second or two |
//! | `appendonly no` | a restart takes all changes since the last snapshot |
//! | `maxmemory-policy noeviction` | no session is dropped for want of memory: saves are [refused](moojo_session::StoreErrorKind::Refused) instead. **Any other policy logs people out**, and [`check`](RedisStore::check) refuses it |
//! | `min-replicas-to-write 1` | a master that is cut off from its replicas takes no logins that a failover would lose, after `min-replicas-max-lag` seconds |
//!
//! Replication is asynchronous: a failover, by Sentinel or in a cluster, can lose writes that were
//! acknowledged just before it, whatever is set. What may be lost is a login (the person logs in
//! again), a removal (the refused session is found out again by its next use), or a count of a quota
//! (one SMS too many). Where that is too much, keep sessions in a database with synchronous commits.
//!
//! The records hold tokens and phone numbers in the clear: use `rediss://` (feature `tls`), a login,
//! and where the memory, disk or slow log of the server is not to be trusted with them, put the core's
//! `SealedStore` in front.
//!
//! With access lists, the user needs `~<prefix>:*`, `&<prefix>:*` (before Redis 7 after
//! `resetchannels`) and `+get +set +del +getrange +pttl +pexpire +zadd +zcard +zrange`
//! `+zremrangebylex +zremrangebyrank +eval +evalsha +publish +subscribe +ping`; for the
//! administration `+scan`; in a cluster `+cluster|slots +asking`; `+client|setinfo` does no harm.
//! `+info` is optional: the administration uses it if it may, and [`check`](RedisStore::check) sees the
//! `maxmemory-policy` by it.
//!
//! # Whether it is ready
//!
//! [`RedisStore::check`] asks the server whether the store may do what it does, in one round trip. What
//! it refuses is [`Refused`](moojo_session::StoreErrorKind::Refused): the sources of the error say
//! whether that is the user or the password, the database, a right, memory or a `maxmemory-policy` that
//! drops sessions, and [`Chain`](moojo_session::Chain) shows them. The log
//! [says it once](moojo_session::StoreLog) for each kind of call of a manager, and of the change feed,
//! and once when it is over.
//!
//! # Keys
//!
//! `<user>` is percent-encoded, and stands in braces: all that is one user's is in one slot.
//!
//! | key | value | lives until |
//! |---|---|---|
//! | `<prefix>:s:{<user>}` | what [`Session::to_exposed_bytes`](moojo_session::Session::to_exposed_bytes) gives | the session ends |
//! | `<prefix>:c:{<user>}` | the revision in 16 hexadecimal digits, then JSON of an `ExposedChallenge` | the login lapses |
//! | `<prefix>:q:{<key>}` | a sorted set: when each use falls out of the window, as 20 digits of nanoseconds since 1677-09-21T00:12:43.145224192Z | the last use falls out |
//! | `<prefix>:l:{<user>}` | `h` and the holder, or `d:` and why the person declined | the lease or the decline ends |
//! | `<prefix>:t:{<random>}` | what a [`check`](RedisStore::check) writes | the check ends; a minute if it is refused halfway |
//!
//! Changes are published on `<prefix>:changes:<database>`: `s`, the session's id and the user, or `r`
//! and the user, neither of them encoded. On `<prefix>:probe:<random>` a subscriber hears itself.
//!
//! # The change feed
//!
//! One connection for each store, while anybody listens, whichever number of streams there are. Every
//! two seconds it asks the server for a sign of life, and has something published where changes are
//! published, to see whether that still arrives. If either fails, the feed says
//! [`Disconnected`](moojo_session::Change::Disconnected), and connects again after a pause with jitter.
//! The log has a warning with the reason, once, and a line when it hears again.
//! Redis' publishing promises nothing: between nodes of a cluster a message can be lost with a link
//! that breaks for less than those seconds, and nobody is told.
//!
//! # Features
//!
//! - `tls`: `rediss://`, by rustls with aws-lc-rs. If the process has no default crypto provider yet,
//!   building such a store makes aws-lc-rs the default.
//!
//! [`SessionStore`]: moojo_session::SessionStore
//! [`SessionAdmin`]: moojo_session::SessionAdmin
//! [`ChallengeStore`]: moojo_session::ChallengeStore
//! [`LeaseStore`]: moojo_session::LeaseStore

mod admin;
mod challenges;
mod check;
mod client;
mod cluster;
mod config;
mod error;
mod feed;
mod finish;
mod keys;
mod leases;
mod millis;
mod node;
mod record;
mod request;
mod script;
mod sentinel;
mod sessions;
mod store;

pub use config::{RedisConfigError, RedisStoreBuilder};
pub use store::RedisStore;
