//! The change feed: one subscriber for all who listen to a store.

use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::{Stream, StreamExt, stream};
use moojo_session::{Change, ChangeStream, SessionId, UserId};
use parking_lot::Mutex;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use crate::client::Client;
use crate::error::Failure;

/// How many changes are held for a listener that is behind, before it is told so.
const CAPACITY: usize = 4096;
/// How often the subscriber asks whether the server is there, and how long the answer may take.
const PING_EVERY: Duration = Duration::from_secs(2);
const PING_LIMIT: Duration = Duration::from_secs(2);
/// The first and the longest pause before it connects again.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// The feed of one store.
#[derive(Debug)]
pub(crate) struct Feed {
    client: Client,
    channel: String,
    hub: Mutex<Weak<Hub>>,
}

/// The subscriber, while anybody listens. It ends with the last who holds this.
#[derive(Debug)]
struct Hub {
    state: Arc<Mutex<State>>,
    task: AbortHandle,
}

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
    pub(crate) fn new(client: Client, channel: &str) -> Self {
        Self { client, channel: channel.to_owned(), hub: Mutex::default() }
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
                channel: self.channel.clone(),
                changes: sender,
                state: Arc::clone(&state),
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

/// Listens for all streams, and connects as often as it takes.
struct Subscriber {
    client: Client,
    channel: String,
    changes: broadcast::Sender<Change>,
    state: Arc<Mutex<State>>,
}

impl Subscriber {
    async fn run(self) {
        let (shortest, longest) = PAUSES;
        let mut pause = shortest;
        loop {
            // However it ended, it is over.
            let _ = self.listen().await;
            if self.set_hears(false, Change::Disconnected) {
                pause = shortest;
            }
            // Many processes lose one server at one time: they do not come back at one time.
            sleep(pause.mul_f64(0.5 + fastrand::f64())).await;
            pause = (pause * 2).min(longest);
        }
    }

    /// Tells of all that is published, until the connection ends or is silent for too long.
    async fn listen(&self) -> Result<(), Failure> {
        let pubsub = self.client.subscribe(&self.channel).await?;
        let (mut asks, mut messages) = pubsub.split();
        self.set_hears(true, Change::Lagged);
        let silence = async {
            loop {
                sleep(PING_EVERY).await;
                let pong = timeout(PING_LIMIT, asks.ping::<redis::Value>()).await;
                if !matches!(pong, Ok(Ok(_))) {
                    return;
                }
            }
        };
        tokio::pin!(silence);
        loop {
            let message = tokio::select! {
                message = messages.next() => message.ok_or(Failure::Dropped)?,
                () = &mut silence => return Err(Failure::TimedOut),
            };
            // A message of a later version, perhaps: something changed.
            let change = read(message.get_payload_bytes()).unwrap_or(Change::Lagged);
            // An error says that nobody listens.
            let _ = self.changes.send(change);
        }
    }

    /// Notes and tells whether it hears, and says whether that is new.
    fn set_hears(&self, hears: bool, change: Change) -> bool {
        // Under the lock: who joins either gets the message or sees what it says.
        let mut state = self.state.lock();
        let is_new = state.hears != hears;
        if is_new {
            state.hears = hears;
            let _ = self.changes.send(change);
        }
        is_new
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
