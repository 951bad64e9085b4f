//! Deleting what has ended.

use std::sync::Arc;
use std::time::{Duration, Instant};

use moojo_session::Clock;
use rusqlite::Connection;

use crate::error::Failure;
use crate::times::nanos;

/// When the writer deletes what has ended, and how much of it.
pub(crate) struct Upkeep {
    clock: Arc<dyn Clock>,
    next: Instant,
    /// Since the last look.
    wrote: bool,
    /// The write-ahead log may have something in it.
    logged: bool,
}

/// For each table: whether there is anything to delete, and how.
const TABLES: [(&str, &str); 4] = [
    (
        "select exists (select 1 from sessions where expires_at < ?1)",
        "delete from sessions where rowid in (
            select rowid from sessions where expires_at < ?1 order by expires_at limit ?2)",
    ),
    (
        "select exists (select 1 from challenges where keep_until < ?1)",
        "delete from challenges where rowid in (
            select rowid from challenges where keep_until < ?1 order by keep_until limit ?2)",
    ),
    (
        "select exists (select 1 from quotas where keep_until < ?1)",
        "delete from quotas where key in (
            select key from quotas where keep_until < ?1 order by keep_until limit ?2)",
    ),
    (
        "select exists (select 1 from leases where until < ?1)",
        "delete from leases where user in (
            select user from leases where until < ?1 order by until limit ?2)",
    ),
];

impl Upkeep {
    /// On average.
    const EVERY: Duration = Duration::from_secs(60);
    /// Between two pieces, so that calls get their turn.
    const PAUSE: Duration = Duration::from_millis(100);
    /// How many rows of each table go in one transaction.
    const ROWS: usize = 500;
    /// For clocks that differ a little.
    const GRACE: Duration = Duration::from_secs(60);

    /// The first piece is due soon: the process may have been away for long.
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, next: Instant::now() + Self::PAUSE, wrote: true, logged: true }
    }

    /// How long there is nothing to do.
    pub(crate) fn due_in(&self) -> Duration {
        self.next.saturating_duration_since(Instant::now())
    }

    /// There was something to write.
    pub(crate) fn wrote(&mut self) {
        self.wrote = true;
    }

    /// Until a while from now: at other times than the other processes.
    pub(crate) fn postpone(&mut self) {
        self.next = Instant::now() + Self::EVERY.mul_f64(0.5 + fastrand::f64());
    }

    /// Looks whether there is anything to delete. Either way, the next look is a while from now.
    pub(crate) fn nothing_to_delete(&mut self, db: &Connection) -> Result<bool, Failure> {
        self.postpone();
        let ended = self.ended();
        for (is_there, _) in TABLES {
            if db.prepare_cached(is_there)?.query_row((ended,), |row| row.get(0))? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Deletes some rows, in the transaction that has begun. Says how many.
    pub(crate) fn delete_some(&mut self, db: &Connection) -> Result<usize, Failure> {
        let ended = self.ended();
        let mut deleted = 0;
        for (_, delete) in TABLES {
            let rows = db.prepare_cached(delete)?.execute((ended, Self::ROWS as i64))?;
            if rows == Self::ROWS {
                self.next = Instant::now() + Self::PAUSE;
            }
            deleted += rows;
        }
        self.wrote |= deleted > 0;
        Ok(deleted)
    }

    /// When nothing was written for a while: moves what the write-ahead log has to its place and
    /// empties the log, in which old tokens stand otherwise until they are written over.
    pub(crate) fn rest(&mut self, db: &Connection) -> Result<(), Failure> {
        if std::mem::take(&mut self.wrote) {
            self.logged = true;
        } else if self.logged {
            let sql = "pragma wal_checkpoint(truncate)";
            let busy: bool = db.query_row(sql, (), |row| row.get(0))?;
            // If somebody reads, the next time.
            self.logged = busy;
        }
        Ok(())
    }

    fn ended(&self) -> i64 {
        let grace = i64::try_from(Self::GRACE.as_nanos()).unwrap_or(0);
        nanos(self.clock.now()).saturating_sub(grace)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use moojo_session::SystemClock;

    use super::*;
    use crate::migrate;

    #[test]
    fn rule_13_the_log_is_emptied_when_nothing_is_written_any_more() {
        let folder = tempfile::tempdir().unwrap();
        let (path, wal) = (folder.path().join("x.db"), folder.path().join("x.db-wal"));
        let db = Connection::open(&path).unwrap();
        migrate::bring_up(&db, Duration::from_secs(1)).unwrap();
        let mut upkeep = Upkeep::new(Arc::new(SystemClock));
        assert!(upkeep.nothing_to_delete(&db).unwrap());
        upkeep.wrote();
        upkeep.rest(&db).unwrap();
        assert!(fs::metadata(&wal).unwrap().len() > 0, "something was written just now");
        upkeep.rest(&db).unwrap();
        assert_eq!(fs::metadata(&wal).unwrap().len(), 0);
    }

    #[test]
    fn the_next_look_is_later_and_a_full_piece_is_followed_by_another() {
        let folder = tempfile::tempdir().unwrap();
        let db = Connection::open(folder.path().join("x.db")).unwrap();
        migrate::bring_up(&db, Duration::from_secs(1)).unwrap();
        let fill = "with recursive n(i) as (select 1 union all select i + 1 from n where i < 700)
            insert into leases select 'user-' || i, x'00', null, 1, 1 from n";
        db.execute_batch(fill).unwrap();
        let mut upkeep = Upkeep::new(Arc::new(SystemClock));
        for (deleted, soon) in [(500, true), (200, false)] {
            assert!(!upkeep.nothing_to_delete(&db).unwrap());
            assert!(upkeep.due_in() > Duration::from_secs(20));
            assert_eq!(upkeep.delete_some(&db).unwrap(), deleted);
            assert_eq!(upkeep.due_in() <= Upkeep::PAUSE, soon);
        }
        assert!(upkeep.nothing_to_delete(&db).unwrap());
    }
}
