use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use moojo_session::{Clock, StoreError, SystemClock};

use crate::database::Database;
use crate::feed::Feed;
use crate::link::Link;
use crate::log;
use crate::migrate::{self, OpenError};
use crate::queue::Queue;
use crate::read_connection::ReadConnection;
use crate::reader::Reader;
use crate::reads::{Reading, Reads};
use crate::store::{Inner, SqliteStore};
use crate::upkeep::Upkeep;
use crate::writer::Writer;

/// Settings of a [`SqliteStore`]; from [`SqliteStore::builder`].
#[derive(Debug, Clone)]
#[must_use]
pub struct SqliteStoreBuilder {
    path: PathBuf,
    durability: Durability,
    busy_timeout: Duration,
    operation_timeout: Duration,
    readers: usize,
    reading: Reading,
    cache_bytes: u64,
    queue: usize,
    max_bytes: Option<u64>,
    clock: Arc<dyn Clock>,
}

/// What a change survives, once it was acknowledged. SQLite calls it `synchronous`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Durability {
    /// A power failure: each commit waits until the disk has it.
    #[default]
    Full,
    /// The end of the process, by whatever cause. A power failure or a crash of the operating system
    /// takes the last changes with it; the file stays sound. **Users who logged in just then have to
    /// log in again**, sessions that were just removed are back, and a code that was just sent may be
    /// sent a second time.
    Normal,
}

impl SqliteStoreBuilder {
    pub(crate) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            durability: Durability::Full,
            busy_timeout: Duration::from_secs(2),
            operation_timeout: Duration::from_secs(3),
            readers: 2,
            reading: Reading::OwnThreads,
            cache_bytes: 2 << 20,
            queue: 4096,
            max_bytes: None,
            clock: Arc::new(SystemClock),
        }
    }

    /// What an acknowledged change survives. [`Durability::Full`] unless set.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// How long a call waits while another process has the file's lock, before it ends in
    /// [`Unavailable`](moojo_session::StoreErrorKind::Unavailable). 2 seconds unless set; below
    /// `operation_timeout`, so that the error says why.
    pub fn busy_timeout(mut self, limit: Duration) -> Self {
        self.busy_timeout = limit;
        self
    }

    /// How long a call may take as a whole. 3 seconds unless set; below the manager's
    /// `store_timeout`. Each step of [`SessionAdmin`](moojo_session::SessionAdmin)'s calls has ten
    /// times as long.
    pub fn operation_timeout(mut self, limit: Duration) -> Self {
        self.operation_timeout = limit;
        self
    }

    /// How many threads read, with a connection each. 2 unless set.
    pub fn readers(mut self, readers: usize) -> Self {
        self.readers = readers;
        self
    }

    /// Where sessions and logins are read. [`Reading::OwnThreads`] unless set.
    pub fn reading(mut self, reading: Reading) -> Self {
        self.reading = reading;
        self
    }

    /// How much of the file each connection keeps in memory, if it reads so much: what is not there
    /// comes from the operating system or the disk. 2 MiB unless set, as SQLite has it. There is a
    /// connection for each of the `readers`, one that writes, and one for the feed.
    pub fn cache_bytes(mut self, bytes: u64) -> Self {
        self.cache_bytes = bytes;
        self
    }

    /// How many calls that write may be under way at once, and as many that read. 4096 unless set.
    /// Those that come then wait for a place, and end in
    /// [`Unavailable`](moojo_session::StoreErrorKind::Unavailable) if they get none in time.
    pub fn queue(mut self, calls: usize) -> Self {
        self.queue = calls;
        self
    }

    /// The file grows no larger than about this; what needs more is
    /// [refused](moojo_session::StoreErrorKind::Refused). No limit unless set. The write-ahead log
    /// beside it has some 4 MiB more.
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = Some(bytes);
        self
    }

    /// The clock by which everything ends that does. The system's unless set. All processes on a
    /// file need the same.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Opens the file, or makes it, with the tables in it, and starts the store. An older version's
    /// file is brought up to date.
    ///
    /// If the future is dropped, the file may be there nevertheless.
    ///
    /// # Errors
    /// [`OpenError`] says which setting or file is not possible, or what SQLite says.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub async fn open(self) -> Result<SqliteStore, OpenError> {
        let opened = tokio::task::spawn_blocking(move || self.open_blocking()).await;
        opened.unwrap_or_else(|error| Err(StoreError::unavailable(error).into()))
    }

    fn open_blocking(self) -> Result<SqliteStore, OpenError> {
        if self.readers == 0 || self.queue == 0 || self.operation_timeout.is_zero() {
            return Err(OpenError::Zero);
        }
        if self.path.as_os_str() == ":memory:" {
            return Err(OpenError::InMemory);
        }
        let database = Arc::new(Database {
            path: std::path::absolute(&self.path).map_err(StoreError::refused)?,
            durability: self.durability,
            busy_timeout: self.busy_timeout,
            max_bytes: self.max_bytes,
            cache_bytes: self.cache_bytes,
            opened: OnceLock::new(),
        });
        database.create_file()?;
        migrate::bring_up(&database.connect()?, self.busy_timeout)?;
        // Opened here, so that what is wrong with the file is said here.
        let mut link = Link::new(Arc::clone(&database), Database::writer);
        let known = log::last(link.get()?)?;
        let (presence, others) = crossbeam_channel::bounded(0);
        let (feed, teller) = Feed::new(Arc::clone(&database), presence.clone(), known);
        let (reads, read_jobs) = Queue::new(self.queue, self.operation_timeout);
        let (writes, jobs) = Queue::new(self.queue, self.operation_timeout);
        let connections = (0..self.readers).map(|_| {
            let link = Link::new(Arc::clone(&database), Database::reader);
            ReadConnection::new(link.with(presence.clone()))
        });
        let connections: Arc<[ReadConnection]> = connections.collect::<Result<_, _>>()?;
        for number in 0..self.readers {
            let reader =
                Reader { connections: Arc::clone(&connections), number, jobs: read_jobs.clone() };
            start("moojo-sql-read", move || reader.run())?;
        }
        let reads = Reads::new(reads, connections, self.reading);
        let path = database.path.clone();
        let upkeep = Upkeep::new(Arc::clone(&self.clock));
        let writer = Writer { link, jobs, teller, upkeep, others };
        start("moojo-sql-write", move || writer.run())?;
        Ok(SqliteStore::new(Inner { path, clock: self.clock, reads, writes, feed }))
    }
}

/// A thread that ends by itself.
fn start(name: &str, run: impl FnOnce() + Send + 'static) -> Result<(), StoreError> {
    let thread = thread::Builder::new().name(name.to_owned()).spawn(run);
    thread.map(drop).map_err(StoreError::unavailable)
}
