//! How a call that reads gets its answer: from a thread of the store, or where it is called.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use moojo_session::{StoreError, UserId};
use rusqlite::Connection;

use crate::error::Failure;
use crate::pace::Pace;
use crate::queue::Queue;
use crate::read_connection::ReadConnection;

/// Where a session, or a login under way, is read.
///
/// Reading a page that is in memory takes some microseconds; the way to another thread and back takes
/// several times as long. A page that is not in memory takes as long as the disk does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Reading {
    /// On threads of the store: whatever the disk does, no thread of the runtime waits for it, and
    /// each call keeps its time limit.
    #[default]
    OwnThreads,
    /// On the thread that polls the call, as long as reads there are quick, one has a
    /// [connection](crate::SqliteStoreBuilder::readers) at once, and nobody has the file locked.
    /// All others, and whatever fails, go to the threads of the store.
    ///
    /// It is for disks that never make anybody wait for long, and files that fit into memory. **A
    /// read that meets a page on the disk blocks its thread, and all that runs there, until the disk
    /// has answered**, as many threads at once as there are connections; the time limit does not hold
    /// for it. When reads have taken more than 100 microseconds on average, and that has come to 50
    /// milliseconds, all go to the threads of the store; each second after that one is tried.
    ///
    /// That the file is [still in its place](crate#the-file) is looked at once a millisecond here.
    CallingThread,
}

/// The calls that read.
#[derive(Debug)]
pub(crate) struct Reads {
    queue: Queue,
    here: Option<Here>,
}

/// Looks up one row by the user.
type Read<T> = fn(&Connection, &UserId) -> Result<T, Failure>;

/// What is needed to read on the calling thread.
struct Here {
    connections: Arc<[ReadConnection]>,
    pace: Pace,
}

impl Reads {
    pub(crate) fn new(queue: Queue, connections: Arc<[ReadConnection]>, reading: Reading) -> Self {
        let here = Here { connections, pace: Pace::new(Instant::now()) };
        Self { queue, here: (reading == Reading::CallingThread).then_some(here) }
    }

    /// The user's row, as `read` finds it. If the future is dropped, nothing has happened.
    pub(crate) async fn look_up<T: Send + 'static>(
        &self,
        user: &UserId,
        read: Read<T>,
    ) -> Result<T, StoreError> {
        if let Some(here) = &self.here {
            // Who does nothing but look up lets others run as well.
            tokio::task::consume_budget().await;
            if let Some(found) = here.try_read(|db| read(db, user)) {
                return Ok(found);
            }
        }
        let user = user.clone();
        self.queue.call(move |db| read(db, &user)).await
    }

    /// What `work` gives, which may not be read on the calling thread.
    pub(crate) async fn call<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnMut(&Connection) -> Result<T, Failure> + Send + 'static,
    {
        self.queue.call(work).await
    }

    /// What `work` gives, which may read much, on a thread of the store.
    pub(crate) async fn long_call<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnMut(&Connection) -> Result<T, Failure> + Send + 'static,
    {
        self.queue.long_call(work).await
    }
}

impl Here {
    /// None if a thread of the store has to do it.
    fn try_read<T>(&self, read: impl Fn(&Connection) -> Result<T, Failure>) -> Option<T> {
        let turn = self.pace.begin(Instant::now())?;
        let own = own_number() % self.connections.len();
        let (others, from_own) = self.connections.split_at(own);
        let mut connections = from_own.iter().chain(others);
        let found = connections.find_map(|connection| connection.try_read(turn.begun, &read));
        self.pace.end(&turn, Instant::now());
        found
    }
}

/// The calling thread's number: each begins with a connection of its own, which nobody else is
/// likely to have.
fn own_number() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local!(static OWN: usize = NEXT.fetch_add(1, Ordering::Relaxed));
    OWN.with(|own| *own)
}

impl std::fmt::Debug for Here {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Here").field("pace", &self.pace).finish_non_exhaustive()
    }
}
