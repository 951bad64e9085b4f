//! The connection that listens.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use moojo_session::{Change, StoreError, StoreLog};
use parking_lot::Mutex;
use redis::aio::PubSubSink;
use redis::cmd;
use tokio::sync::{broadcast, watch};
use tokio::time::{sleep, timeout};

use super::{State, read};
use crate::client::Client;
use crate::error::Failure;
use crate::keys::Keys;
use crate::node::Packet;

/// How often the subscriber looks whether it still hears, and how long the answer may take.
const CHECK_EVERY: Duration = Duration::from_secs(2);
const CHECK_LIMIT: Duration = Duration::from_secs(2);
/// The first and the longest pause before it connects again.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// Listens for all streams, and connects as often as it takes.
pub(super) struct Subscriber {
    pub(super) client: Client,
    pub(super) keys: Keys,
    pub(super) changes: broadcast::Sender<Change>,
    pub(super) state: Arc<Mutex<State>>,
    pub(super) log: Arc<StoreLog>,
}

impl Subscriber {
    pub(super) async fn run(self) {
        let (shortest, longest) = PAUSES;
        let mut pause = shortest;
        loop {
            let Err(failure) = self.listen().await;
            self.log.fails(&StoreError::from(failure));
            if self.set_hears(false, Change::Disconnected) {
                pause = shortest;
            }
            // Many processes lose one server at one time: they do not come back at one time.
            sleep(pause.mul_f64(0.5 + fastrand::f64())).await;
            pause = (pause * 2).min(longest);
        }
    }

    /// Tells of all that is published, until the connection ends or hears nothing any more.
    async fn listen(&self) -> Result<Infallible, Failure> {
        let probe = self.keys.probe();
        let (node, pubsub) = self.client.subscribe(&[self.keys.channel(), &probe]).await?;
        let (asks, mut messages) = pubsub.split();
        self.log.works();
        self.set_hears(true, Change::Lagged);
        let heard = watch::Sender::new(());
        let deaf = self.until_deaf(asks, &probe, heard.subscribe());
        tokio::pin!(deaf);
        loop {
            let message = tokio::select! {
                message = messages.next() => message.ok_or_else(|| node.dropped())?,
                () = &mut deaf => return Err(node.timed_out()),
            };
            if message.get_channel_name() == probe {
                heard.send_replace(());
                continue;
            }
            // A message of a later version, perhaps: something changed.
            let change = read(message.get_payload_bytes()).unwrap_or(Change::Lagged);
            // An error says that nobody listens.
            let _ = self.changes.send(change);
        }
    }

    /// Ends when the server does not answer, or does not hear what the others publish: a node that
    /// was taken out of its cluster, a master that was replaced, answers all the same.
    async fn until_deaf(&self, mut asks: PubSubSink, probe: &str, mut heard: watch::Receiver<()>) {
        for turn in 0.. {
            sleep(CHECK_EVERY).await;
            let pong = timeout(CHECK_LIMIT, asks.ping::<redis::Value>()).await;
            if !matches!(pong, Ok(Ok(_))) {
                return;
            }
            heard.mark_unchanged();
            // Where nothing can be published, no change is missed.
            if self.publish(probe, turn).await.is_ok()
                && timeout(CHECK_LIMIT, heard.changed()).await.is_err()
            {
                return;
            }
        }
    }

    /// Publishes something where changes are published: each time at another server that has keys.
    async fn publish(&self, probe: &str, turn: usize) -> Result<(), StoreError> {
        let masters = self.client.masters().await?;
        let mut publish = cmd("PUBLISH");
        publish.arg(probe).arg("");
        let node = &masters[turn % masters.len()];
        self.client.call_at(node, Packet::One(publish)).await.map(drop)
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
