//! The one thread of a store that writes.
//!
//! It takes all that waits, does it in one transaction and answers when that is committed: what a
//! commit costs, which is a wait for the disk, is shared by all who came meanwhile.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};
use moojo_session::{Chain, StoreError};
use rusqlite::Connection;

use crate::error::{Failure, caught};
use crate::feed::Teller;
use crate::link::Link;
use crate::log;
use crate::queue::Job;
use crate::upkeep::Upkeep;

pub(crate) struct Writer {
    pub(crate) link: Link,
    pub(crate) jobs: Receiver<Box<dyn Job>>,
    /// How long another process's lock is waited for.
    pub(crate) patience: Duration,
    pub(crate) teller: Teller,
    pub(crate) upkeep: Upkeep,
    /// Ends when no other thread of the store has a connection.
    pub(crate) others: Receiver<Infallible>,
}

/// A call in a transaction, and what it ended in if that was no success.
struct Entry {
    job: Box<dyn Job>,
    error: Option<StoreError>,
}

/// What became of a transaction.
enum End {
    Committed,
    /// The call at this place failed, and SQLite gave up the whole transaction with it.
    Lost(usize, Failure),
    /// All have failed.
    Failed(Failure),
}

impl Writer {
    /// How many calls go in one transaction: it should not hold the lock for long.
    const MOST: usize = 512;

    /// Until the store is gone and its queue empty.
    pub(crate) fn run(mut self) {
        loop {
            match self.jobs.recv_timeout(self.upkeep.due_in()) {
                Ok(job) => self.serve(job),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return self.close(),
            }
            if self.upkeep.due_in().is_zero() {
                self.keep_up();
            }
        }
    }

    /// Closes as the last one.
    fn close(self) {
        // Without it, nobody listens any more.
        drop(self.teller);
        let _ = self.others.recv();
        drop(self.link);
    }

    fn serve(&mut self, first: Box<dyn Job>) {
        let mut batch = Vec::new();
        self.take(&mut batch, Some(first));
        if batch.is_empty() {
            return;
        }
        self.upkeep.wrote();
        if let Err(failure) = self.begin(self.patience) {
            return self.fail(batch, failure);
        }
        // While the lock was waited for, some have left, and others have come and go along.
        batch.retain(|entry| entry.job.is_awaited());
        self.take(&mut batch, None);
        loop {
            match self.attempt(&mut batch) {
                End::Committed => {
                    for Entry { job, error } in batch {
                        job.answer(error);
                    }
                    return;
                }
                End::Lost(at, failure) => {
                    // It goes out, and the others begin again.
                    let Entry { job, .. } = batch.remove(at);
                    self.give_up(&failure);
                    job.answer(Some(failure.into_store_error()));
                    if batch.is_empty() {
                        return;
                    }
                    if let Err(failure) = self.begin(self.patience) {
                        return self.fail(batch, failure);
                    }
                }
                End::Failed(failure) => return self.fail(batch, failure),
            }
        }
    }

    /// Takes what waits, without those whose caller has left.
    fn take(&self, batch: &mut Vec<Entry>, first: Option<Box<dyn Job>>) {
        let room = Self::MOST.saturating_sub(batch.len());
        let jobs = first.into_iter().chain(self.jobs.try_iter()).take(room);
        let awaited = jobs.filter(|job| job.is_awaited());
        batch.extend(awaited.map(|job| Entry { job, error: None }));
    }

    /// Takes the lock of the file, which another process may have.
    fn begin(&mut self, patience: Duration) -> Result<(), Failure> {
        let db = self.link.get()?;
        let end = Instant::now() + patience;
        loop {
            let begun = db.prepare_cached("begin immediate").and_then(|mut sql| sql.execute(()));
            match begun.map_err(Failure::from) {
                Ok(_) => return Ok(()),
                // SQLite's own pauses grow to 100 ms, in which another busy process would get the
                // lock again and again.
                Err(failure) if failure.is_busy() && Instant::now() < end => {
                    std::thread::sleep(Duration::from_micros(fastrand::u64(200..3000)));
                }
                Err(failure) => return Err(failure),
            }
        }
    }

    /// All calls in the transaction that has begun, each in a savepoint, and the commit.
    fn attempt(&mut self, batch: &mut [Entry]) -> End {
        let db = match self.link.get() {
            Ok(db) => db,
            Err(failure) => return End::Failed(failure),
        };
        let mut spoilt = false;
        for (at, entry) in batch.iter_mut().enumerate() {
            entry.error = match one(db, &mut *entry.job) {
                Ok(Ok(())) => None,
                Ok(Err(failure)) if db.is_autocommit() => return End::Lost(at, failure),
                Ok(Err(failure)) => {
                    spoilt |= failure.spoils_connection();
                    Some(failure.into_store_error())
                }
                Err(failure) => return End::Failed(failure),
            };
        }
        match commit(db) {
            Ok(last) => {
                self.teller.tell(last);
                if spoilt {
                    self.link.discard();
                }
                End::Committed
            }
            Err(failure) => End::Failed(failure),
        }
    }

    /// Nothing of it has happened.
    fn fail(&mut self, batch: Vec<Entry>, failure: Failure) {
        self.give_up(&failure);
        let error = failure.into_store_error();
        for entry in batch {
            entry.job.answer(Some(entry.error.unwrap_or_else(|| error.clone())));
        }
    }

    /// Leaves no transaction open, which would hold the lock.
    fn give_up(&mut self, failure: &Failure) {
        let Some(db) = self.link.current() else { return };
        let ended = db.is_autocommit() || db.execute_batch("rollback").is_ok();
        if !ended || failure.spoils_connection() {
            self.link.discard();
        }
    }

    /// A piece of upkeep. If it cannot be done now, it can be later.
    fn keep_up(&mut self) {
        if let Err(failure) = caught(|| self.try_to_keep_up()) {
            self.give_up(&failure);
            self.upkeep.postpone();
            let error = failure.into_store_error();
            tracing::debug!(error = %Chain(&error), "no upkeep this time");
        }
    }

    fn try_to_keep_up(&mut self) -> Result<(), Failure> {
        let db = self.link.get()?;
        if self.upkeep.nothing_to_delete(db)? {
            return self.upkeep.rest(db);
        }
        self.begin(Duration::ZERO)?;
        let db = self.link.get()?;
        let deleted = self.upkeep.delete_some(db)?;
        db.execute_batch("commit")?;
        tracing::debug!(deleted, "expired rows were deleted");
        Ok(())
    }
}

/// One call in a savepoint: it fails alone. An error outside says that the transaction is of no use.
fn one(db: &Connection, job: &mut dyn Job) -> Result<Result<(), Failure>, Failure> {
    db.prepare_cached("savepoint one")?.execute(())?;
    let outcome = caught(|| job.run(db));
    if outcome.is_err() {
        if db.is_autocommit() {
            return Ok(outcome);
        }
        db.prepare_cached("rollback to one")?.execute(())?;
    }
    db.prepare_cached("release one")?.execute(())?;
    Ok(outcome)
}

/// Commits, and gives the number of the latest change.
fn commit(db: &Connection) -> Result<i64, Failure> {
    let last = log::prune(db)?;
    db.prepare_cached("commit")?.execute(())?;
    Ok(last)
}
