use std::sync::atomic::Ordering;

use moojo_session::StoreError;
use redis::Value;

use crate::error::Failure;
use crate::request::Request;
use crate::script;
use crate::store::RedisStore;

/// The server is told to make room by dropping what was saved.
#[derive(Debug, thiserror::Error)]
#[error(
    "Redis drops sessions when it has come to its `maxmemory`, and people are logged out: its \
     `maxmemory-policy` is {0}. Set it to noeviction, or let it with `RedisStoreBuilder::allow_eviction`"
)]
struct Evicts(String);

impl RedisStore {
    /// Whether the server can be reached, lets the store do all that it does to its keys and channels,
    /// and keeps what it is given: for a readiness check, or for the start of a program.
    ///
    /// It is one round trip, within the time limit of a call: a script that writes a key of its own and
    /// takes it away. In a cluster it goes to one of the nodes, another one each time. Whether the
    /// [change feed](moojo_session::SessionStore::changes) may listen it does not say: the log does,
    /// as soon as somebody listens. It can be dropped at any time.
    ///
    /// A server that has a `maxmemory` and a `maxmemory-policy` other than `noeviction` is refused: it
    /// works until its memory is full, and then logs people out without a word. Who wants it so says
    /// [`allow_eviction`](crate::RedisStoreBuilder::allow_eviction). It is seen by `INFO memory`; a
    /// server that does not let the user ask is taken for one that keeps everything, and is not asked
    /// again by this store.
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
    /// login, a database or a right that is not there, for memory that is full, and for a server that
    /// evicts; [`Unavailable`](moojo_session::StoreErrorKind::Unavailable) for a server that cannot be
    /// reached or is a replica.
    pub async fn check(&self) -> Result<(), StoreError> {
        let asks = self.asks_for_policy().load(Ordering::Relaxed);
        let request = Request::script(&script::CHECK, self.keys().check())
            .arg(self.keys().probe())
            .arg(if asks { "1" } else { "0" });
        match self.client().call(request).await? {
            Value::Int(1) => Ok(()),
            Value::Int(0) => {
                // With each time, `ACL LOG` would have more of what nobody misses.
                self.asks_for_policy().store(false, Ordering::Relaxed);
                Ok(())
            }
            Value::BulkString(policy) if policy == b"noeviction" => Ok(()),
            Value::BulkString(policy) => {
                Err(StoreError::refused(Evicts(String::from_utf8_lossy(&policy).into_owned())))
            }
            _ => Err(Failure::Answer.into()),
        }
    }
}
