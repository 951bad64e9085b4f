use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use moojo_session::Clock;

use crate::builder::SqliteStoreBuilder;
use crate::feed::Feed;
use crate::queue::Queue;
use crate::reads::Reads;

/// Sessions, logins under way, quotas and leases in a file of this machine, which several processes
/// may share.
///
/// Clones are the same store. With the last of them it closes: its threads end by themselves, after
/// what was called before is done. Whoever was told that a call succeeded need not wait for that.
///
/// The [crate's documentation](crate) says what is durable when.
#[derive(Clone)]
pub struct SqliteStore(Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) path: PathBuf,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) reads: Reads,
    pub(crate) writes: Queue,
    pub(crate) feed: Feed,
}

impl SqliteStore {
    /// Settings of a store in the file at `path`, which is made if it is not there.
    pub fn builder(path: impl AsRef<Path>) -> SqliteStoreBuilder {
        SqliteStoreBuilder::new(path.as_ref())
    }

    pub(crate) fn new(inner: Inner) -> Self {
        Self(Arc::new(inner))
    }

    pub(crate) fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.0.clock)
    }

    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.0.clock.now()
    }

    pub(crate) fn reads(&self) -> &Reads {
        &self.0.reads
    }

    pub(crate) fn writes(&self) -> &Queue {
        &self.0.writes
    }

    pub(crate) fn feed(&self) -> &Feed {
        &self.0.feed
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore").field("path", &self.0.path).finish_non_exhaustive()
    }
}
