use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use moojo_session::{ChangeStream, Clock, StoreError};

use crate::builder::PostgresStoreBuilder;
use crate::database::Database;
use crate::feed::Feed;
use crate::link::Link;
use crate::loads::Loads;
use crate::migrate::{self, MigrateError};
use crate::upkeep::{self, Upkeep};

/// Sessions, logins under way, quotas and leases in a PostgreSQL database, which many processes
/// share.
///
/// It connects by itself when it is first used, whether the server is up by then or not, and again
/// when a connection is lost. Clones are the same store. Its tasks run on the tokio runtime on which
/// it is used, and end with the last clone.
///
/// The [crate's documentation](crate) says what PostgreSQL has to be set to.
#[derive(Clone)]
pub struct PostgresStore(Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) database: Arc<Database>,
    pub(crate) clock: Arc<dyn Clock>,
    /// So that those who read do not wait behind those who write.
    pub(crate) reads: Arc<Link>,
    pub(crate) loads: Loads,
    pub(crate) writes: Box<[Link]>,
    /// For what takes long.
    pub(crate) slow: Link,
    pub(crate) spread: RandomState,
    pub(crate) feed: Arc<Feed>,
    pub(crate) upkeep: Upkeep,
}

impl PostgresStore {
    /// Starts a store on the database at `url`: `postgres://user:password@host:port/database`, with
    /// options after a `?`, or the form `host=… user=…`. What can be in it, tokio-postgres's
    /// [`Config`](https://docs.rs/tokio-postgres/0.7/tokio_postgres/config/struct.Config.html) says.
    pub fn builder(url: impl AsRef<str>) -> PostgresStoreBuilder {
        PostgresStoreBuilder::new(url.as_ref())
    }

    /// Makes the schema and its tables, or brings those of an older version up to date. Many
    /// processes may do so at once: one of them does it, the others wait.
    ///
    /// Processes of the version before go on working meanwhile and after. Where there is nothing to
    /// do, it takes no more rights than reading.
    ///
    /// # Errors
    /// [`MigrateError::Newer`] if the schema is of a later version than this crate, and what else
    /// [`MigrateError`] says. It is one transaction: if it fails, nothing has changed.
    pub async fn migrate(&self) -> Result<(), MigrateError> {
        migrate::run(&self.0.database).await
    }

    /// Deletes what has run out, in small transactions, and says how many rows that were. The store
    /// does this by itself about once a minute while it is used: nobody has to call it.
    ///
    /// # Errors
    /// A [`StoreError`] if the server fails or refuses. Some rows may be deleted.
    pub async fn delete_expired(&self) -> Result<u64, StoreError> {
        upkeep::delete_expired(self.upkeep()).await
    }

    pub(crate) fn new(inner: Inner) -> Self {
        Self(Arc::new(inner))
    }

    /// The store that this is the inside of.
    pub(crate) fn of(inner: Arc<Inner>) -> Self {
        Self(inner)
    }

    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.0.clock.now()
    }

    pub(crate) fn feed(&self) -> ChangeStream {
        self.0.feed.changes()
    }

    pub(crate) fn schema(&self) -> &str {
        self.0.database.names.schema()
    }

    pub(crate) fn reads(&self) -> &Link {
        &self.in_use().reads
    }

    pub(crate) fn loads(&self) -> &Loads {
        &self.in_use().loads
    }

    /// One connection for all writes of a key: what a caller who left has sent comes before what is
    /// sent later.
    pub(crate) fn writes(&self, key: &str) -> &Link {
        let links = &self.in_use().writes;
        &links[(self.0.spread.hash_one(key) % links.len() as u64) as usize]
    }

    pub(crate) fn upkeep(&self) -> &Link {
        &self.0.slow
    }

    /// What is used is kept up.
    fn in_use(&self) -> &Inner {
        self.0.upkeep.keep_up(|| Arc::downgrade(&self.0));
        &self.0
    }
}

/// Where and in which schema; no user and no password.
impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let config = &self.0.database.connector.config;
        f.debug_struct("PostgresStore")
            .field("hosts", &config.get_hosts())
            .field("database", &config.get_dbname())
            .field("schema", &self.0.database.names.schema())
            .finish_non_exhaustive()
    }
}
