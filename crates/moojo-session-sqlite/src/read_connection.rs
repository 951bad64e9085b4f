//! A connection to read with. A thread of the store uses it, or for a moment whoever calls.

use std::time::{Duration, Instant};

use moojo_session::StoreError;
use parking_lot::Mutex;
use rusqlite::Connection;

use crate::database::execute;
use crate::error::{Failure, caught};
use crate::link::Link;
use crate::lock::patiently;
use crate::queue::Job;

/// They stand beside each other, and what is done with one should not slow down its neighbour.
#[repr(align(128))]
pub(crate) struct ReadConnection(Mutex<Inner>);

struct Inner {
    link: Link,
    /// When it was last seen that the file is in its place.
    seen: Instant,
}

impl ReadConnection {
    /// How long a caller takes it that the file is still in its place.
    const TRUST: Duration = Duration::from_millis(1);

    /// One that is open.
    pub(crate) fn new(mut link: Link) -> Result<Self, Failure> {
        link.get()?;
        Ok(Self(Mutex::new(Inner { link, seen: Instant::now() })))
    }

    /// What `work` gives, if nobody uses the connection and nothing has to be waited for. None if a
    /// thread has to do it, which also says what is wrong.
    pub(crate) fn try_read<T>(
        &self,
        now: Instant,
        work: impl FnOnce(&Connection) -> Result<T, Failure>,
    ) -> Option<T> {
        let mut inner = self.0.try_lock()?;
        if now.saturating_duration_since(inner.seen) >= Self::TRUST {
            inner.link.ensure_in_place().ok()?;
            inner.seen = now;
        }
        // A thread opens it, if it has to be.
        let db = inner.link.current()?;
        let outcome = caught(|| work(db));
        if outcome.as_ref().is_err_and(Failure::spoils_connection) {
            inner.link.discard();
        }
        outcome.ok()
    }

    /// Does the jobs that `take` gives, and answers them. They see what was committed before `take`
    /// was called, whatever is committed meanwhile.
    pub(crate) fn read_all(&self, take: impl FnOnce() -> Vec<Box<dyn Job>>) {
        let mut inner = self.0.lock();
        let mut jobs = take();
        jobs.retain(|job| job.is_awaited());
        let errors = inner.read_all(&mut jobs);
        drop(inner);
        // All at once: a thread of the runtime that has nothing else to do is woken once for all of
        // them, and not for each.
        for (job, error) in jobs.into_iter().zip(errors) {
            job.answer(error);
        }
    }
}

impl Inner {
    /// Does the jobs, and says which of them failed.
    fn read_all(&mut self, jobs: &mut [Box<dyn Job>]) -> Vec<Option<StoreError>> {
        let mut busy = None;
        if jobs.len() > 1 {
            // One view of the file for all spares each of them its locks. It is taken by the first
            // job that reads, and so after the last of them has come.
            let begun = self.link.get().and_then(|db| execute(db, "begin"));
            busy = begun.err().map(Failure::into_store_error);
        }
        let errors = jobs.iter_mut().map(|job| {
            if busy.is_some() {
                return busy.clone();
            }
            let failure = self.read(&mut **job).err()?;
            let is_busy = failure.is_busy();
            let error = failure.into_store_error();
            // No other job could be done either.
            busy = is_busy.then(|| error.clone());
            Some(error)
        });
        let errors = errors.collect();
        self.end_view();
        errors
    }

    fn read(&mut self, job: &mut dyn Job) -> Result<(), Failure> {
        let in_view = self.link.current().is_some_and(|db| !db.is_autocommit());
        let patience = self.link.patience();
        let db = if in_view { self.link.opened() } else { self.link.get() };
        let outcome = db.and_then(|db| patiently(patience, || caught(|| job.run(db))));
        if outcome.as_ref().is_err_and(Failure::spoils_connection) {
            self.link.discard();
        }
        outcome
    }

    fn end_view(&mut self) {
        let Some(db) = self.link.current() else { return };
        if !db.is_autocommit() && execute(db, "commit").is_err() {
            self.link.discard();
        }
    }
}

#[cfg(test)]
mod tests;
