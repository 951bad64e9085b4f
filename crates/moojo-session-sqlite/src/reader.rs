//! The threads of a store that read. In SQLite's WAL mode they wait neither for those who write nor
//! for each other.

use std::sync::Arc;

use crossbeam_channel::Receiver;

use crate::queue::Job;
use crate::read_connection::ReadConnection;

pub(crate) struct Reader {
    /// Its own among them.
    pub(crate) connections: Arc<[ReadConnection]>,
    pub(crate) number: usize,
    pub(crate) jobs: Receiver<Box<dyn Job>>,
}

impl Reader {
    /// How many calls are done in one go.
    const MOST: usize = 32;

    /// Until the store is gone and its queue empty.
    pub(crate) fn run(self) {
        let Some(connection) = self.connections.get(self.number) else { return };
        while let Ok(first) = self.jobs.recv() {
            // Nobody should wait behind it for long.
            if first.is_long() {
                connection.read_all(|| vec![first]);
                continue;
            }
            let mut long = None;
            connection.read_all(|| self.take(first, &mut long));
            if let Some(long) = long {
                connection.read_all(|| vec![long]);
            }
        }
    }

    /// This thread's share of what waits, up to one that takes long.
    fn take(&self, first: Box<dyn Job>, long: &mut Option<Box<dyn Job>>) -> Vec<Box<dyn Job>> {
        let share = (self.jobs.len() / self.connections.len()).min(Self::MOST);
        let mut jobs = Vec::with_capacity(share + 1);
        jobs.push(first);
        for job in self.jobs.try_iter().take(share) {
            if job.is_long() {
                *long = Some(job);
                break;
            }
            jobs.push(job);
        }
        jobs
    }
}
