use std::fmt;
use std::sync::Arc;

use moojo_session::{Change, StoreError, UserId};

use crate::client::Client;
use crate::config::{Kind, RedisStoreBuilder};
use crate::feed::{self, Feed};
use crate::keys::{Key, Keys};
use crate::request::{Request, yes_or_no};
use crate::script;

/// Sessions, logins under way and leases in Redis. Clones are the same store.
///
/// The [crate's documentation](crate) says what it promises and what it needs of the server.
#[derive(Clone)]
pub struct RedisStore(Arc<Shared>);

struct Shared {
    client: Client,
    keys: Keys,
    feed: Arc<Feed>,
}

impl RedisStore {
    /// A store on one server: `redis://[[user]:password@]host[:port][/database]`, or `rediss://`
    /// for TLS, or the socket of one on this machine:
    /// `unix:///path/of/the.sock[?db=database&user=user&pass=password]`.
    ///
    /// ```
    /// use moojo_session_redis::RedisStore;
    ///
    /// let store = RedisStore::builder("redis://:secret@redis.internal:6379/2")
    ///     .prefix("tenant-7")
    ///     .build()?;
    /// # Ok::<(), moojo_session_redis::RedisConfigError>(())
    /// ```
    pub fn builder(url: impl Into<String>) -> RedisStoreBuilder {
        RedisStoreBuilder::new([url], Kind::Single)
    }

    /// A store on a Redis Cluster, of which these are some nodes. The login and TLS are those of the
    /// first URL.
    ///
    /// ```
    /// use moojo_session_redis::RedisStore;
    ///
    /// let store = RedisStore::cluster(["redis://10.0.0.1:6379", "redis://10.0.0.2:6379"]).build()?;
    /// # Ok::<(), moojo_session_redis::RedisConfigError>(())
    /// ```
    pub fn cluster(urls: impl IntoIterator<Item = impl Into<String>>) -> RedisStoreBuilder {
        RedisStoreBuilder::new(urls, Kind::Cluster)
    }

    /// A store on the server that these sentinels call the master of `name`. The login, the database
    /// and TLS of the first URL are those of the master; the sentinels are reached without a login.
    ///
    /// ```
    /// use moojo_session_redis::RedisStore;
    ///
    /// let urls = ["redis://10.0.0.1:26379", "redis://10.0.0.2:26379"];
    /// let store = RedisStore::sentinel(urls, "mymaster").build()?;
    /// # Ok::<(), moojo_session_redis::RedisConfigError>(())
    /// ```
    pub fn sentinel(
        urls: impl IntoIterator<Item = impl Into<String>>,
        name: impl Into<String>,
    ) -> RedisStoreBuilder {
        RedisStoreBuilder::new(urls, Kind::Sentinel(name.into()))
    }

    /// Whether the server can be reached and lets the store do all that it does to its keys and
    /// channels: for a readiness check, or for the start of a program.
    ///
    /// It is one round trip, within the time limit of a call: a script that writes a key of its own and
    /// takes it away. In a cluster it goes to one of the nodes, another one each time. Whether the
    /// [change feed](moojo_session::SessionStore::changes) may listen it does not say: the log does,
    /// as soon as somebody listens. It can be dropped at any time.
    ///
    /// ```no_run
    /// # async fn check(store: moojo_session_redis::RedisStore) -> Result<(), Box<dyn std::error::Error>> {
    /// use moojo_session::{Chain, StoreErrorKind};
    ///
    /// match store.check().await {
    ///     Ok(()) => println!("ready"),
    ///     Err(error) if error.kind() == StoreErrorKind::Refused => return Err(error.into()),
    ///     Err(error) => println!("not yet: {}", Chain(&error)),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// A [`StoreError`], as any other call: [`Refused`](moojo_session::StoreErrorKind::Refused) for a
    /// login, a database or a right that is not there, and for memory that is full;
    /// [`Unavailable`](moojo_session::StoreErrorKind::Unavailable) for a server that cannot be reached
    /// or is a replica.
    pub async fn check(&self) -> Result<(), StoreError> {
        let request = Request::script(&script::CHECK, self.keys().check()).arg(self.keys().probe());
        yes_or_no(&self.client().call(request).await?)?;
        Ok(())
    }

    pub(crate) fn new(client: Client, keys: Keys) -> Self {
        let feed = Arc::new(Feed::new(client.clone(), keys.clone()));
        Self(Arc::new(Shared { client, keys, feed }))
    }

    pub(crate) fn client(&self) -> &Client {
        &self.0.client
    }

    pub(crate) fn keys(&self) -> &Keys {
        &self.0.keys
    }

    pub(crate) fn feed(&self) -> &Arc<Feed> {
        &self.0.feed
    }

    /// The removal of whatever is at the key of the user's session.
    pub(crate) fn removal(&self, key: Key, user: &UserId) -> Request {
        Request::script(&script::REMOVE, key)
            .arg(self.keys().channel())
            .arg(feed::message(&Change::Removed { user: user.clone() }))
    }
}

/// Where it is, is not shown: a URL may hold a password.
impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore").field("prefix", &self.keys().prefix()).finish_non_exhaustive()
    }
}
