//! The change feed: one subscriber for all who listen to a store.

use std::sync::{Arc, Weak};

use futures_util::{Stream, StreamExt, stream};
use moojo_session::{Change, ChangeStream, SessionId, StoreLog, UserId};
use parking_lot::Mutex;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::task::AbortHandle;

use crate::client::Client;
use crate::keys::Keys;

mod subscriber;

use subscriber::Subscriber;

/// How many changes are held for a listener that is behind, before it is told so.
const CAPACITY: usize = 4096;

/// The feed of one store.
#[derive(Debug)]
pub(crate) struct Feed {
    client: Client,
    keys: Keys,
    log: Arc<StoreLog>,
    hub: Mutex<Weak<Hub>>,
}

/// The subscriber, while anybody listens. It ends with the last who holds this.
#[derive(Debug)]
struct Hub {
    state: Arc<Mutex<State>>,
    task: AbortHandle,
}

/// What the subscriber and its listeners share.
#[derive(Debug)]
struct State {
    /// The task has the sender: if its runtime ends it, the streams end as well.
    changes: broadcast::WeakSender<Change>,
    hears: bool,
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Feed {
    pub(crate) fn new(client: Client, keys: Keys) -> Self {
        Self { client, keys, log: Arc::new(StoreLog::new("change feed")), hub: Mutex::default() }
    }

    /// Everything from the moment when the stream is first polled, which has to be on a runtime.
    pub(crate) fn changes(self: &Arc<Self>) -> ChangeStream {
        let feed = Arc::clone(self);
        ChangeStream::new(stream::once(async move { feed.listen() }).flatten())
    }

    /// Starts the subscriber if there is none.
    fn listen(&self) -> impl Stream<Item = Change> + Send + use<> {
        let mut current = self.hub.lock();
        let running = current.upgrade().filter(|hub| !hub.task.is_finished());
        let joined = running.and_then(|hub| hub.join().map(|receiver| (hub, receiver)));
        let (hub, (receiver, hears)) = joined.unwrap_or_else(|| {
            let sender = broadcast::Sender::new(CAPACITY);
            let receiver = sender.subscribe();
            let state = State { changes: sender.downgrade(), hears: false };
            let state = Arc::new(Mutex::new(state));
            let subscriber = Subscriber {
                client: self.client.clone(),
                keys: self.keys.clone(),
                changes: sender,
                state: Arc::clone(&state),
                log: Arc::clone(&self.log),
            };
            let task = tokio::spawn(subscriber.run()).abort_handle();
            let hub = Arc::new(Hub { state, task });
            *current = Arc::downgrade(&hub);
            (hub, (receiver, false))
        });
        drop(current);
        // What happened before this stream is lost to it in any case.
        let begin = [Some(Change::Disconnected), hears.then_some(Change::Lagged)];
        let changes = stream::unfold((hub, receiver), |(hub, mut receiver)| async move {
            let change = match receiver.recv().await {
                Ok(change) => change,
                Err(RecvError::Lagged(_)) => Change::Lagged,
                Err(RecvError::Closed) => return None,
            };
            Some((change, (hub, receiver)))
        });
        stream::iter(begin.into_iter().flatten()).chain(changes).fuse()
    }
}

impl Hub {
    /// Everything from now on, and whether the subscriber hears at this moment.
    fn join(&self) -> Option<(broadcast::Receiver<Change>, bool)> {
        let state = self.state.lock();
        Some((state.changes.upgrade()?.subscribe(), state.hears))
    }
}

/// A change as it is published: `s`, the session's id and the user, or `r` and the user.
pub(crate) fn message(change: &Change) -> String {
    match change {
        Change::Saved { user, id } => format!("s{id}{user}"),
        Change::Removed { user } => format!("r{user}"),
        // Whoever does not know it takes it for a gap.
        _ => "?".to_owned(),
    }
}

fn read(message: &[u8]) -> Option<Change> {
    let text = std::str::from_utf8(message).ok()?;
    if let Some(user) = text.strip_prefix('r') {
        return Some(Change::Removed { user: UserId::new(user).ok()? });
    }
    let (id, user) = text.strip_prefix('s')?.split_at_checked(32)?;
    let id: SessionId = id.parse().ok()?;
    Some(Change::Saved { user: UserId::new(user).ok()?, id })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_come_back_from_their_messages() {
        let user = UserId::new("r{é} s").unwrap();
        for change in [
            Change::Saved { user: user.clone(), id: SessionId::random() },
            Change::Removed { user },
        ] {
            assert_eq!(read(message(&change).as_bytes()), Some(change));
        }
        for bad in ["", "x", "r", "sff", "s00000000000000000000000000000000", "r\n"] {
            assert_eq!(read(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(read(b"r\xff"), None);
    }
}
