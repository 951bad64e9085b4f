use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use moojo_session::{Change, StoreError, StoreLog};
use parking_lot::Mutex;
use tokio::sync::broadcast::Sender;
use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::{AsyncMessage, Client, Error};

use super::{Hub, Notice};
use crate::backoff::Backoff;
use crate::connector::Messages;
use crate::database::Database;
use crate::error::{no_answer, store_error};

/// Listens, and passes on what it hears.
pub(super) struct Listener {
    database: Arc<Database>,
    hub: Arc<Mutex<Option<Hub>>>,
    sender: Sender<Change>,
    log: Arc<StoreLog>,
}

/// Why it stopped listening.
enum Outcome {
    /// The connection is lost.
    Deaf(StoreError),
    /// Nobody is there who reads.
    Alone,
}

impl Listener {
    /// How often the server is asked whether it is there: nothing else would show that it is not,
    /// while there is nothing to hear.
    const PROBE_EVERY: Duration = Duration::from_secs(2);
    /// And how long it has for the answer.
    const PROBE_LIMIT: Duration = Duration::from_secs(3);

    pub(super) fn new(
        database: Arc<Database>,
        hub: Arc<Mutex<Option<Hub>>>,
        sender: Sender<Change>,
        log: Arc<StoreLog>,
    ) -> Self {
        Self { database, hub, sender, log }
    }

    pub(super) async fn run(self) {
        let mut backoff = Backoff::new();
        loop {
            match self.database.connector.open().await {
                Ok((client, messages)) => {
                    let since = Instant::now();
                    match self.listen(&client, messages).await {
                        Outcome::Alone => return,
                        Outcome::Deaf(error) => self.log.fails(&error),
                    }
                    if since.elapsed() > Backoff::LONGEST {
                        backoff.reset();
                    }
                }
                Err(error) => self.log.fails(&error),
            }
            if self.ends_alone() {
                return;
            }
            sleep(backoff.next_pause()).await;
        }
    }

    /// Passes on changes for as long as the connection works.
    async fn listen(&self, client: &Client, mut messages: Messages) -> Outcome {
        let hears = AtomicBool::new(false);
        let pass_on = async {
            let error = loop {
                let message = match messages.next().await {
                    Some(Ok(message)) => message,
                    Some(Err(error)) => break store_error(&error),
                    None => break StoreError::unavailable("PostgreSQL closed the connection"),
                };
                // What comes before it is known to listen, `Lagged` stands for.
                if let AsyncMessage::Notification(told) = message
                    && hears.load(Ordering::Relaxed)
                {
                    // An error says that nobody reads.
                    let _ = self.sender.send(Notice::read(told.payload()));
                }
            };
            Outcome::Deaf(error)
        };
        let outcome = tokio::select! {
            outcome = self.watch(client, &hears) => outcome,
            outcome = pass_on => outcome,
        };
        if hears.into_inner() {
            self.tell(false);
        }
        outcome
    }

    /// Begins to listen, and returns when that is over.
    async fn watch(&self, client: &Client, hears: &AtomicBool) -> Outcome {
        let listen = format!("listen \"{}\"", self.database.names.channel());
        let limit = self.database.connector.limit;
        if let Err(error) = answered(limit, client.batch_execute(&listen)).await {
            return Outcome::Deaf(error);
        }
        hears.store(true, Ordering::Relaxed);
        self.log.works();
        self.tell(true);
        loop {
            sleep(Self::PROBE_EVERY).await;
            if self.ends_alone() {
                return Outcome::Alone;
            }
            let probe = client.simple_query("select 1 as hears");
            if let Err(error) = answered(Self::PROBE_LIMIT, probe).await {
                return Outcome::Deaf(error);
            }
        }
    }

    /// Tells the readers whether changes are heard from here on; those who come later, too.
    fn tell(&self, hears: bool) {
        let mut hub = self.hub.lock();
        if let Some(hub) = hub.as_mut() {
            hub.hears = hears;
        }
        let _ = self.sender.send(if hears { Change::Lagged } else { Change::Disconnected });
    }

    /// Whether the last reader has gone. If so, the next one starts another listener.
    fn ends_alone(&self) -> bool {
        let mut hub = self.hub.lock();
        let alone = self.sender.receiver_count() == 0;
        if alone {
            *hub = None;
        }
        alone
    }
}

/// What the server answers within the limit.
async fn answered<T>(
    limit: Duration,
    call: impl Future<Output = Result<T, Error>>,
) -> Result<T, StoreError> {
    match timeout(limit, call).await {
        Ok(answer) => answer.map_err(|error| store_error(&error)),
        Err(_) => Err(no_answer(limit)),
    }
}
