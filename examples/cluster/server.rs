//! The Redis of all processes.

use std::process::{Command, Stdio};

use moojo_examples::BoxError;
use moojo_session::{Chain, redacted_url};
use moojo_session_redis::RedisStore;
use moojo_testkit::Redis;
use redis::RedisError;

/// Where it is, and the server itself if it was started for this.
pub(super) struct Server {
    pub(super) url: String,
    _own: Option<Redis>,
}

impl Server {
    /// The one at `url`, or one that is started. A variable that is empty counts as unset.
    pub(super) fn find(url: Option<String>) -> Result<Self, BoxError> {
        if let Some(url) = url.filter(|url| !url.is_empty()) {
            return Ok(Self { url, _own: None });
        }
        let version = Command::new("redis-server").arg("--version").stdout(Stdio::null()).status();
        if !version.is_ok_and(|status| status.success()) {
            return Err(
                "there is no program `redis-server` to start: install it, or set REDIS_URL to \
                        a Redis that is there"
                    .into(),
            );
        }
        let own = Redis::start();
        Ok(Self { url: own.url(), _own: Some(own) })
    }

    /// Fails if it is not there, or does not let us do what a store does.
    pub(super) async fn check(&self, prefix: &str) -> Result<(), BoxError> {
        let named = redacted_url(&self.url);
        let store = RedisStore::builder(&self.url).prefix(prefix).build();
        let store = store.map_err(|error| format!("REDIS_URL, {named}: {error}"))?;
        store.check().await.map_err(|error| {
            let why = Chain(&error);
            format!("the Redis at {named} (REDIS_URL) cannot be used: {why}").into()
        })
    }

    /// Removes what stands under `prefix`, and nothing else. An application leaves that to Redis: all of
    /// it lapses.
    pub(super) async fn clear(&self, prefix: &str) -> Result<(), RedisError> {
        let mut redis =
            redis::Client::open(self.url.as_str())?.get_multiplexed_async_connection().await?;
        let mut cursor = 0_u64;
        loop {
            let mut scan = redis::cmd("SCAN");
            scan.arg(cursor).arg("MATCH").arg(format!("{prefix}:*")).arg("COUNT").arg(1000);
            let (next, keys): (u64, Vec<String>) = scan.query_async(&mut redis).await?;
            if !keys.is_empty() {
                redis::cmd("DEL").arg(keys).exec_async(&mut redis).await?;
            }
            if next == 0 {
                return Ok(());
            }
            cursor = next;
        }
    }
}
