//! The one thread of a store that writes.
//!
//! It takes all that waits, does it in one transaction and answers when that is committed: what a
//! commit costs, which is a wait for the disk, is shared by all who came meanwhile.

use std::convert::Infallible;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};
use moojo_session::Chain;
use rusqlite::Connection;

use crate::database::execute;
use crate::error::{Failure, caught};
use crate::feed::Teller;
use crate::link::Link;
use crate::lock::patiently;
use crate::log;
use crate::queue::Job;
use crate::upkeep::Upkeep;

pub(crate) struct Writer {
    pub(crate) link: Link,
    pub(crate) jobs: Receiver<Box<dyn Job>>,
    pub(crate) teller: Teller,
    pub(crate) upkeep: Upkeep,
    /// Ends when no other thread of the store has a connection.
    pub(crate) others: Receiver<Infallible>,
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

    /// Does the call and all that wait behind it.
    fn serve(&mut self, first: Box<dyn Job>) {
        let mut batch = Vec::new();
        self.take(&mut batch, Some(first));
        if batch.is_empty() {
            return;
        }
        self.upkeep.wrote();
        // While the lock is waited for, others come, and go along.
        if let Err(failure) = self.begin(self.link.patience()) {
            return self.fail(batch, failure);
        }
        self.take(&mut batch, None);
        let mut apart = false;
        loop {
            batch.retain(|job| job.is_awaited());
            match self.attempt(&mut batch, apart) {
                Ok(()) => return batch.into_iter().for_each(|job| job.answer(None)),
                Err(Fault { at: Some(at), failure }) => {
                    // It fails alone. What was done before it is undone, and all others begin anew:
                    // apart from each other, as where one fails many may.
                    apart = true;
                    self.give_up(&failure);
                    batch.remove(at).answer(Some(failure.into_store_error()));
                }
                Err(Fault { at: None, failure }) => return self.fail(batch, failure),
            }
            if batch.is_empty() {
                return;
            }
            if let Err(failure) = self.begin(self.link.patience()) {
                return self.fail(batch, failure);
            }
        }
    }

    /// Takes what waits, without those whose caller has left.
    fn take(&self, batch: &mut Vec<Box<dyn Job>>, first: Option<Box<dyn Job>>) {
        let room = Self::MOST.saturating_sub(batch.len());
        let jobs = first.into_iter().chain(self.jobs.try_iter()).take(room);
        batch.extend(jobs.filter(|job| job.is_awaited()));
    }

    /// Takes the lock of the file, which another process may have.
    fn begin(&mut self, patience: Duration) -> Result<(), Failure> {
        let db = self.link.get()?;
        patiently(patience, || execute(db, "begin immediate"))
    }

    /// All calls in the transaction that has begun, and the commit. Those that fail `apart` from the
    /// others are answered, and go out.
    fn attempt(&mut self, batch: &mut Vec<Box<dyn Job>>, apart: bool) -> Result<(), Fault> {
        let db = self.link.get().map_err(Fault::of_all)?;
        let mut at = 0;
        while let Some(job) = batch.get_mut(at) {
            let outcome = match apart {
                true => in_savepoint(db, &mut **job),
                false => caught(|| job.run(db)),
            };
            match outcome {
                Ok(()) => at += 1,
                Err(failure) if apart && is_undone(db, &failure) => {
                    batch.remove(at).answer(Some(failure.into_store_error()));
                }
                Err(failure) => return Err(Fault { at: Some(at), failure }),
            }
        }
        let last = commit(db).map_err(Fault::of_all)?;
        self.teller.tell(last);
        Ok(())
    }

    /// Nothing of it has happened.
    fn fail(&mut self, batch: Vec<Box<dyn Job>>, failure: Failure) {
        self.give_up(&failure);
        let error = failure.into_store_error();
        for job in batch {
            job.answer(Some(error.clone()));
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

/// Why a transaction was not committed.
struct Fault {
    /// The call that failed; none if it is the transaction itself.
    at: Option<usize>,
    failure: Failure,
}

impl Fault {
    fn of_all(failure: Failure) -> Self {
        Self { at: None, failure }
    }
}

/// A call that can be undone without those before it. SQLite keeps a copy of each page that it changes.
fn in_savepoint(db: &Connection, job: &mut dyn Job) -> Result<(), Failure> {
    execute(db, "savepoint one")?;
    caught(|| job.run(db))?;
    execute(db, "release one")
}

/// Undoes a call that failed in its savepoint. If that cannot be done, SQLite has given up the whole
/// transaction, or the connection is of no more use.
fn is_undone(db: &Connection, failure: &Failure) -> bool {
    !failure.spoils_connection()
        && !db.is_autocommit()
        && execute(db, "rollback to one").and_then(|()| execute(db, "release one")).is_ok()
}

/// Commits, and gives the number of the latest change.
fn commit(db: &Connection) -> Result<i64, Failure> {
    let last = log::prune(db)?;
    execute(db, "commit")?;
    Ok(last)
}
