use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use moojo_session::{Change, UserId};

use crate::client::Client;
use crate::config::{Kind, RedisStoreBuilder};
use crate::feed::{self, Feed};
use crate::keys::{Key, Keys};
use crate::request::Request;
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
    /// Whether a check asks what the server evicts.
    asks_for_policy: AtomicBool,
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

    pub(crate) fn new(client: Client, keys: Keys, may_evict: bool) -> Self {
        let feed = Arc::new(Feed::new(client.clone(), keys.clone()));
        let asks_for_policy = AtomicBool::new(!may_evict);
        Self(Arc::new(Shared { client, keys, feed, asks_for_policy }))
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

    pub(crate) fn asks_for_policy(&self) -> &AtomicBool {
        &self.0.asks_for_policy
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
