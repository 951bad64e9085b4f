//! The threads of a store that read. In SQLite's WAL mode they wait neither for those who write nor
//! for each other.

use crossbeam_channel::Receiver;

use crate::error::{Failure, caught};
use crate::link::Link;
use crate::queue::Job;

pub(crate) struct Reader {
    pub(crate) link: Link,
    pub(crate) jobs: Receiver<Box<dyn Job>>,
}

impl Reader {
    /// Until the store is gone and its queue empty.
    pub(crate) fn run(mut self) {
        while let Ok(mut job) = self.jobs.recv() {
            if job.is_awaited() {
                let error = self.read(&mut *job).err().map(Failure::into_store_error);
                job.answer(error);
            }
        }
    }

    fn read(&mut self, job: &mut dyn Job) -> Result<(), Failure> {
        let outcome = self.link.get().and_then(|db| caught(|| job.run(db)));
        if outcome.as_ref().is_err_and(Failure::spoils_connection) {
            self.link.discard();
        }
        outcome
    }
}
