use std::fmt;
use std::hash::RandomState;
use std::sync::Arc;
use std::time::Duration;

use moojo_session::{Clock, SystemClock};
use tokio::sync::OnceCell;
use zeroize::Zeroizing;

use crate::config::{self, ConfigError};
use crate::connector::Connector;
use crate::database::Database;
use crate::feed::Feed;
use crate::link::Link;
use crate::loads::Loads;
use crate::names::Names;
use crate::store::{Inner, PostgresStore};
use crate::upkeep::Upkeep;

/// Settings of a [`PostgresStore`]; from [`PostgresStore::builder`].
#[derive(Clone)]
#[must_use]
pub struct PostgresStoreBuilder {
    url: Zeroizing<String>,
    schema: String,
    connections: usize,
    connect_timeout: Duration,
    operation_timeout: Duration,
    migrate_on_first_use: bool,
    clock: Arc<dyn Clock>,
    #[cfg(feature = "tls")]
    ca_certificates: Option<Vec<u8>>,
}

impl PostgresStoreBuilder {
    pub(crate) fn new(url: &str) -> Self {
        Self {
            url: Zeroizing::new(url.to_owned()),
            schema: "moojo".to_owned(),
            connections: 2,
            connect_timeout: Duration::from_secs(3),
            operation_timeout: Duration::from_secs(3),
            migrate_on_first_use: false,
            clock: Arc::new(SystemClock),
            #[cfg(feature = "tls")]
            ca_certificates: None,
        }
    }

    /// The schema that everything is in: one for each tenant. 1 to 40 ASCII letters, digits, `_` and
    /// `-`, not beginning with `pg_`. `moojo` unless set.
    pub fn schema(mut self, schema: impl Into<String>) -> Self {
        self.schema = schema.into();
        self
    }

    /// How many connections carry what is written. 2 unless set. A further one is for what is read,
    /// one for what takes long, one for the change feed; each is opened when it is first needed.
    ///
    /// Calls do not wait for each other's answers, so few are enough: more let the server work on
    /// several at once, and fewer calls wait behind one that takes long.
    pub fn connections(mut self, connections: usize) -> Self {
        self.connections = connections;
        self
    }

    /// How long it may take to connect to a server, until that is ready. 3 seconds unless set.
    pub fn connect_timeout(mut self, limit: Duration) -> Self {
        self.connect_timeout = limit;
        self
    }

    /// How long a call may take as a whole. 3 seconds unless set; below the manager's
    /// `store_timeout`, so that the error says why. The server is told to give up somewhat earlier.
    /// [`SessionAdmin`](moojo_session::SessionAdmin)'s calls and
    /// [`delete_expired`](PostgresStore::delete_expired) have ten times as long for each step.
    pub fn operation_timeout(mut self, limit: Duration) -> Self {
        self.operation_timeout = limit;
        self
    }

    /// Calls [`migrate`](PostgresStore::migrate) before the first use. Not unless set: as a rule, the
    /// user that may make tables is not the one that serves.
    pub fn migrate_on_first_use(mut self, migrate: bool) -> Self {
        self.migrate_on_first_use = migrate;
        self
    }

    /// The clock by which sessions have ended. The system's unless set.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Certificates in PEM, of which one has to be behind the server's. The system's unless set.
    #[cfg(feature = "tls")]
    pub fn ca_certificates(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.ca_certificates = Some(pem.into());
        self
    }

    /// Makes the store. It does not connect yet.
    ///
    /// # Errors
    /// [`ConfigError`] says which setting is not possible.
    pub fn build(self) -> Result<PostgresStore, ConfigError> {
        let names = Names::new(&self.schema).ok_or(ConfigError::Schema)?;
        if self.connections == 0 {
            return Err(ConfigError::NoConnections);
        }
        if self.connect_timeout.is_zero() || self.operation_timeout.is_zero() {
            return Err(ConfigError::NoTime);
        }
        let config = config::read(&self.url, self.connect_timeout)?;
        let servers = u32::try_from(config.get_hosts().len()).unwrap_or(1).max(1);
        let connector = Connector {
            #[cfg(feature = "tls")]
            tls: crate::tls::connector(&config, self.ca_certificates.as_deref())?,
            config,
            limit: self.connect_timeout.saturating_mul(servers),
        };
        let migrated = self.migrate_on_first_use.then(OnceCell::new);
        let database = Arc::new(Database { connector, names, migrated });
        let link = |limit| Link::new(Arc::clone(&database), limit);
        let reads = Arc::new(link(self.operation_timeout));
        Ok(PostgresStore::new(Inner {
            clock: self.clock,
            loads: Loads::new(Arc::clone(&reads)),
            reads,
            writes: (0..self.connections).map(|_| link(self.operation_timeout)).collect(),
            slow: link(self.operation_timeout.saturating_mul(10)),
            spread: RandomState::new(),
            feed: Feed::new(Arc::clone(&database)),
            upkeep: Upkeep::default(),
            database,
        }))
    }
}

/// Nothing of the URL: a password is in it.
impl fmt::Debug for PostgresStoreBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStoreBuilder")
            .field("schema", &self.schema)
            .field("connections", &self.connections)
            .field("connect_timeout", &self.connect_timeout)
            .field("operation_timeout", &self.operation_timeout)
            .field("migrate_on_first_use", &self.migrate_on_first_use)
            .finish_non_exhaustive()
    }
}
