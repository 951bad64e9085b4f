use std::sync::Arc;
use std::time::Duration;

use moojo_session::StoreError;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::State;
use super::wire::{Backend, Driver, Wire};
use crate::backoff::Backoff;
use crate::database::Database;
use crate::error::no_connection;

/// Keeps a connection up.
pub(super) struct Keeper {
    database: Arc<Database>,
    state: Arc<watch::Sender<State>>,
    limit: Duration,
    /// The server's end of the connection that was lost, as long as it may be at work.
    lost: Option<Backend>,
}

impl Keeper {
    /// How soon a connection that hangs is looked at.
    const PROBE_EVERY: Duration = Duration::from_secs(1);

    pub(super) fn new(
        database: Arc<Database>,
        state: Arc<watch::Sender<State>>,
        limit: Duration,
    ) -> Self {
        Self { database, state, limit, lost: None }
    }

    pub(super) async fn run(mut self) {
        let mut backoff = Backoff::new();
        loop {
            match self.connect().await {
                Ok((wire, driver)) => {
                    let since = Instant::now();
                    self.lost = Some(wire.backend());
                    self.state.send_replace(State::Up(Arc::clone(&wire)));
                    let why = self.until_lost(&wire, driver).await;
                    tracing::debug!("the connection to PostgreSQL was lost: {why}");
                    self.state.send_replace(State::Connecting);
                    if since.elapsed() > Backoff::LONGEST {
                        backoff.reset();
                    }
                }
                Err(error) => {
                    self.state.send_replace(State::Down(error));
                }
            }
            sleep(backoff.next_pause()).await;
        }
    }

    async fn connect(&mut self) -> Result<(Arc<Wire>, Driver), StoreError> {
        self.database.migrate_if_set().await?;
        let (client, messages) = self.database.connector.open().await?;
        let driver = Driver::start(messages);
        let limit = self.database.connector.limit;
        let made = timeout(limit, async {
            let wire = Wire::new(client, self.limit).await?;
            if let Some(lost) = self.lost {
                wire.end(lost, limit / 2).await?;
            }
            Ok(wire)
        });
        let wire = made.await.map_err(|_| no_connection(limit))??;
        self.lost = None;
        Ok((Arc::new(wire), driver))
    }

    async fn until_lost(&self, wire: &Wire, mut driver: Driver) -> &'static str {
        tokio::select! {
            () = driver.ended() => "it was closed",
            () = wire.given_up() => "it is of no more use",
            () = self.until_silent(wire) => "it gave no answer",
        }
    }

    /// Returns when the connection hangs. Only calls wake it: an idle one is left alone, and TCP's
    /// keepalive looks after it.
    async fn until_silent(&self, wire: &Wire) {
        loop {
            sleep(Self::PROBE_EVERY).await;
            // What was sent before it is answered before it.
            if wire.was_used() && !matches!(timeout(self.limit, wire.probe()).await, Ok(Ok(()))) {
                return;
            }
        }
    }
}
