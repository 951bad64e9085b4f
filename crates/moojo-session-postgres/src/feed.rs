//! The change feed: LISTEN on one connection, which all readers of the store share.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};

use futures_util::StreamExt;
use futures_util::stream;
use moojo_session::{Change, ChangeStream, StoreLog};
use parking_lot::Mutex;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::task::JoinHandle;

use crate::database::Database;

mod listener;
mod notice;

use listener::Listener;
pub(crate) use notice::Notice;

/// The feed of one store. It listens while there are readers, from the first one's first look on.
pub(crate) struct Feed {
    database: Arc<Database>,
    hub: Arc<Mutex<Option<Hub>>>,
    /// Of all listeners, one after the other: what one has said, the next does not say again.
    log: Arc<StoreLog>,
}

/// What the listener and the readers share.
struct Hub {
    /// The listener has the sender: when that goes, with the store or with its runtime, the readers
    /// come to their end.
    sender: broadcast::WeakSender<Change>,
    task: JoinHandle<()>,
    /// Whether all that happens now is heard.
    hears: bool,
}

/// How many changes wait for a reader that is behind, before they are lost to it.
const CAPACITY: usize = 4096;

impl Feed {
    pub(crate) fn new(database: Arc<Database>) -> Arc<Self> {
        let log = Arc::new(StoreLog::new("change feed"));
        Arc::new(Self { database, hub: Arc::default(), log })
    }

    /// A reader. It does not keep the store.
    pub(crate) fn changes(self: &Arc<Self>) -> ChangeStream {
        let reader = Reader::New(Arc::downgrade(self));
        ChangeStream::new(stream::unfold(reader, Reader::next).fuse())
    }

    /// All changes from now on, after those that say how much is heard.
    fn subscribe(&self) -> (VecDeque<Change>, broadcast::Receiver<Change>) {
        let mut hub = self.hub.lock();
        if let Some(hub) = hub.as_ref().filter(|hub| !hub.task.is_finished())
            && let Some(sender) = hub.sender.upgrade()
        {
            let mut first = VecDeque::from([Change::Disconnected]);
            first.extend(hub.hears.then_some(Change::Lagged));
            return (first, sender.subscribe());
        }
        let (sender, receiver) = broadcast::channel(CAPACITY);
        let weak = sender.downgrade();
        let (database, log) = (Arc::clone(&self.database), Arc::clone(&self.log));
        let listener = Listener::new(database, Arc::clone(&self.hub), sender, log);
        let task = tokio::spawn(listener.run());
        *hub = Some(Hub { sender: weak, task, hears: false });
        (VecDeque::from([Change::Disconnected]), receiver)
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        if let Some(hub) = self.hub.lock().take() {
            hub.task.abort();
        }
    }
}

enum Reader {
    New(Weak<Feed>),
    Reads(VecDeque<Change>, broadcast::Receiver<Change>),
}

impl Reader {
    async fn next(self) -> Option<(Change, Self)> {
        let (mut first, mut receiver) = match self {
            Self::New(feed) => feed.upgrade()?.subscribe(),
            Self::Reads(first, receiver) => (first, receiver),
        };
        let change = match first.pop_front() {
            Some(change) => change,
            None => match receiver.recv().await {
                Ok(change) => change,
                Err(RecvError::Lagged(_)) => Change::Lagged,
                Err(RecvError::Closed) => return None,
            },
        };
        Some((change, Self::Reads(first, receiver)))
    }
}
