use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};
use moojo_session::{Change, SessionId, StoreLog, UserId};
use rusqlite::{Connection, Row};
use tokio::sync::broadcast;

use super::{CAPACITY, Hub};
use crate::error::Failure;
use crate::link::Link;
use crate::log;

/// The thread that reads the table of changes, for all who listen.
pub(super) struct Listener {
    link: Link,
    hub: Arc<Hub>,
    commits: Receiver<()>,
    sender: broadcast::Sender<Change>,
    /// The change last told of.
    position: i64,
    /// What SQLite had for a version when the table was last read: it has another after each commit
    /// of somebody else.
    version: Option<i64>,
    /// Since when the file cannot be read.
    failing: Option<Instant>,
    disconnected: bool,
    log: Arc<StoreLog>,
}

impl Listener {
    /// How often it is looked whether another process has committed.
    const EVERY: Duration = Duration::from_millis(150);
    /// How long the file may be unreadable before listeners are told so.
    const PATIENCE: Duration = Duration::from_secs(1);

    pub(super) fn new(
        link: Link,
        hub: Arc<Hub>,
        commits: Receiver<()>,
        sender: broadcast::Sender<Change>,
        log: Arc<StoreLog>,
    ) -> Self {
        let position = hub.known.load(Ordering::Acquire);
        let (version, failing, disconnected) = (None, None, false);
        Self { link, hub, commits, sender, position, version, failing, disconnected, log }
    }

    /// Until nobody listens any more, or the store is gone.
    pub(super) fn run(mut self) {
        let mut committed = true;
        while self.is_listened_to() {
            match self.hear(committed) {
                Ok(()) => self.failing = None,
                Err(failure) => self.fail(failure),
            }
            committed = match self.commits.recv_timeout(Self::EVERY) {
                Ok(()) => true,
                Err(RecvTimeoutError::Timeout) => false,
                Err(RecvTimeoutError::Disconnected) => return,
            };
        }
    }

    /// Whoever subscribes later starts another thread, which goes on from here.
    fn is_listened_to(&self) -> bool {
        let mut running = self.hub.running.lock();
        let listened = self.sender.receiver_count() > 0;
        if !listened {
            *running = None;
            self.hub.known.fetch_max(self.position, Ordering::AcqRel);
        }
        listened
    }

    /// Tells what has changed since the last time.
    fn hear(&mut self, committed: bool) -> Result<(), Failure> {
        let db = self.link.get()?;
        // Read before the table: what is committed in between is found the next time.
        let version =
            db.prepare_cached("pragma data_version")?.query_row((), |row| row.get::<_, i64>(0))?;
        if !committed && self.version == Some(version) && !self.disconnected {
            return Ok(());
        }
        let (changes, last) = read(db, self.position)?;
        self.version = Some(version);
        self.position = last;
        // A listener before this one may have warned.
        self.log.works();
        if std::mem::take(&mut self.disconnected) {
            self.hears(true);
            return Ok(());
        }
        for change in changes {
            self.tell(change);
        }
        Ok(())
    }

    fn fail(&mut self, failure: Failure) {
        if failure.spoils_connection() {
            self.link.discard();
            self.version = None;
        }
        let since = *self.failing.get_or_insert_with(Instant::now);
        if since.elapsed() < Self::PATIENCE {
            return;
        }
        self.log.fails(&failure.into_store_error());
        if !std::mem::replace(&mut self.disconnected, true) {
            self.hears(false);
        }
    }

    /// Tells those who listen, and those who will.
    fn hears(&self, hears: bool) {
        let mut running = self.hub.running.lock();
        if let Some(running) = &mut *running {
            running.hears = hears;
        }
        self.tell(if hears { Change::Lagged } else { Change::Disconnected });
    }

    fn tell(&self, change: Change) {
        // An error says that the last listener has just left.
        let _ = self.sender.send(change);
    }
}

/// What has changed after `position`, and the place of the last of it.
fn read(db: &Connection, position: i64) -> Result<(Vec<Change>, i64), Failure> {
    // One view of the table for both.
    let reading = db.unchecked_transaction()?;
    let last = log::last(db)?;
    let rows = last - position;
    if rows == 0 {
        return Ok((Vec::new(), last));
    }
    // More than the slowest reader may be behind; or somebody has emptied the table.
    if !(0..=CAPACITY as i64).contains(&rows) {
        return Ok((vec![Change::Lagged], last));
    }
    let mut sql =
        db.prepare_cached("select seq, user, id from changes where seq > ?1 order by seq")?;
    let found = sql.query_map((position,), |row| Ok((row.get::<_, i64>(0)?, change(row)?)))?;
    let found = found.collect::<Result<Vec<_>, _>>()?;
    drop(sql);
    reading.commit()?;
    let whole = found.first().is_some_and(|(first, _)| *first == position + 1);
    // Those before the first were deleted before they were read.
    let gap = (!whole).then_some(Change::Lagged);
    Ok((gap.into_iter().chain(found.into_iter().map(|(_, change)| change)).collect(), last))
}

fn change(row: &Row<'_>) -> rusqlite::Result<Change> {
    let user: Option<String> = row.get(1)?;
    let id: Option<[u8; 16]> = row.get(2)?;
    let user = user.and_then(|user| UserId::new(user).ok());
    Ok(match (user, id) {
        (Some(user), Some(id)) => Change::Saved { user, id: SessionId::from_bytes(id) },
        (Some(user), None) => Change::Removed { user },
        (None, _) => Change::Lagged,
    })
}
