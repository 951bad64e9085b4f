//! The Redis of all processes.

use std::process::{Command, Stdio};

use moojo_examples::BoxError;
use moojo_session::{Chain, redacted_url};
use moojo_session_redis::RedisStore;
use moojo_testkit::Redis;

/// Where it is, and the server itself if it was started for this.
pub(super) struct Server {
    pub(super) url: String,
    _own: Option<Redis>,
}

impl Server {
    /// The one at `url`, or one that is started.
    pub(super) fn find(url: Option<String>) -> Result<Self, BoxError> {
        if let Some(url) = url {
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
}
