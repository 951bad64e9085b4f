//! The change feed: what the file says that has changed, by whichever process.
//!
//! There is one source, the table of changes, and so one order. A thread reads it while somebody
//! listens: at once after a commit of this store, and every [`Listener::EVERY`] in case another
//! process has committed.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use crossbeam_channel::{Receiver, Sender, TrySendError};
use futures_util::StreamExt;
use futures_util::stream;
use moojo_session::{Change, ChangeStream, StoreError, StoreLog};
use parking_lot::Mutex;
use tokio::sync::broadcast::{self, error::RecvError};

use crate::database::Database;
use crate::link::{Link, Presence};

mod listener;

use listener::Listener;

/// The feed of one store.
pub(crate) struct Feed {
    database: Arc<Database>,
    hub: Arc<Hub>,
    /// For the thread that listens: this store has committed. It ends when the writer does.
    commits: Receiver<()>,
    presence: Presence,
    /// Of all listeners, one after the other: what one has said, the next does not say again.
    log: Arc<StoreLog>,
}

/// The writer's end.
pub(crate) struct Teller {
    hub: Arc<Hub>,
    commits: Sender<()>,
}

/// What the writer, the thread that listens and those who subscribe share.
struct Hub {
    /// A change that had happened before anybody listens: what comes after it is told.
    known: AtomicI64,
    running: Mutex<Option<Running>>,
}

/// The thread that listens.
struct Running {
    /// It is the thread's: the streams end with it.
    sender: broadcast::WeakSender<Change>,
    /// Whether the file can be read.
    hears: bool,
}

/// How many changes wait for a reader that is behind, before they are lost to it.
const CAPACITY: usize = 4096;

impl Feed {
    /// The feed of a file whose latest change is `known`.
    pub(crate) fn new(database: Arc<Database>, presence: Presence, known: i64) -> (Self, Teller) {
        let hub = Arc::new(Hub { known: known.into(), running: Mutex::new(None) });
        let (commits, receiver) = crossbeam_channel::bounded(1);
        let teller = Teller { hub: Arc::clone(&hub), commits };
        let log = Arc::new(StoreLog::new("change feed"));
        (Self { database, hub, commits: receiver, presence, log }, teller)
    }

    /// All changes from now on. It hears from the start: the place in the table is known.
    pub(crate) fn changes(&self) -> ChangeStream {
        let mut running = self.hub.running.lock();
        if let Some(Running { sender, hears }) = &*running
            && let Some(sender) = sender.upgrade()
        {
            let first = (!hears).then_some(Change::Disconnected);
            return stream_of(first.into_iter().collect(), sender.subscribe());
        }
        let (sender, receiver) = broadcast::channel(CAPACITY);
        let started = Running { sender: sender.downgrade(), hears: true };
        let commits = self.commits.clone();
        let link = Link::new(Arc::clone(&self.database), Database::reader);
        let link = link.with(self.presence.clone());
        let (hub, log) = (Arc::clone(&self.hub), Arc::clone(&self.log));
        let listener = Listener::new(link, hub, commits, sender, log);
        let thread = std::thread::Builder::new().name("moojo-sql-feed".to_owned());
        match thread.spawn(move || listener.run()) {
            Ok(_) => *running = Some(started),
            Err(error) => {
                self.log.fails(&StoreError::unavailable(error));
                return stream_of(VecDeque::from([Change::Disconnected]), receiver);
            }
        }
        stream_of(VecDeque::new(), receiver)
    }
}

impl Teller {
    /// Everything up to this change is committed.
    pub(crate) fn tell(&self, last: i64) {
        if self.hub.known.fetch_max(last, Ordering::AcqRel) < last {
            // Full: the thread will look anyway. It never waits on this.
            if let Err(TrySendError::Disconnected(())) = self.commits.try_send(()) {
                tracing::trace!("nobody can listen any more");
            }
        }
    }
}

fn stream_of(first: VecDeque<Change>, receiver: broadcast::Receiver<Change>) -> ChangeStream {
    let next = |(mut first, mut receiver): (VecDeque<Change>, broadcast::Receiver<Change>)| async {
        let change = match first.pop_front() {
            Some(change) => change,
            None => match receiver.recv().await {
                Ok(change) => change,
                Err(RecvError::Lagged(_)) => Change::Lagged,
                Err(RecvError::Closed) => return None,
            },
        };
        Some((change, (first, receiver)))
    };
    ChangeStream::new(stream::unfold((first, receiver), next).fuse()).late()
}
