//! A connection that is kept up: it is made when it is first needed, shared by all calls, and made
//! again by a task of its own when it is lost.

use std::sync::Arc;
use std::time::Duration;

use moojo_session::StoreError;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, Row};

use crate::database::Database;
use crate::error::{no_answer, no_connection, spoils_connection, store_error};

mod flush;
mod keeper;
mod wire;

use keeper::Keeper;
pub(crate) use wire::Driver;
use wire::Wire;

pub(crate) type Parameter<'a> = &'a (dyn ToSql + Sync);

pub(crate) struct Link {
    database: Arc<Database>,
    /// For a call as a whole, waiting for a connection included.
    limit: Duration,
    state: Arc<watch::Sender<State>>,
    keeper: Mutex<Option<JoinHandle<()>>>,
    /// So that what waits for a server that hangs does not fill the memory (rule 12).
    places: Semaphore,
}

enum State {
    /// The first attempt is being made, or the one after a connection was lost.
    Connecting,
    Up(Arc<Wire>),
    /// The last attempt failed, and the next is some way off.
    Down(StoreError),
}

impl Link {
    /// How many calls may be under way; those past it wait for a place.
    const PLACES: usize = 1024;

    pub(crate) fn new(database: Arc<Database>, limit: Duration) -> Self {
        Self {
            database,
            limit,
            state: Arc::new(watch::Sender::new(State::Connecting)),
            keeper: Mutex::default(),
            places: Semaphore::new(Self::PLACES),
        }
    }

    /// How long a call may take.
    pub(crate) fn limit(&self) -> Duration {
        self.limit
    }

    /// Runs one statement that reads, or writes what may be lost.
    pub(crate) async fn read(
        &self,
        sql: &'static str,
        parameters: &[Parameter<'_>],
    ) -> Result<Vec<Row>, StoreError> {
        self.run(async |wire| wire.query(&self.database.names, sql, parameters).await).await
    }

    /// Runs one statement, and waits until what it wrote is durable: something, if it returns rows. It
    /// happens wholly or not at all, also if the future is dropped.
    pub(crate) async fn write(
        &self,
        sql: &'static str,
        parameters: &[Parameter<'_>],
    ) -> Result<Vec<Row>, StoreError> {
        let write = async |wire: &Wire| {
            let rows = wire.query(&self.database.names, sql, parameters).await?;
            // Each of ours answers with a row if it has written something.
            if !rows.is_empty() {
                wire.flush().await?;
            }
            Ok(rows)
        };
        self.run(write).await
    }

    /// Sends something over the connection, within the limit.
    async fn run<T>(
        &self,
        call: impl AsyncFnOnce(&Wire) -> Result<T, Error>,
    ) -> Result<T, StoreError> {
        let mut is_sent = false;
        let answer = timeout(self.limit, async {
            let _place = self.places.acquire().await.map_err(StoreError::unavailable)?;
            let wire = self.wire().await?;
            is_sent = true;
            call(&wire).await.map_err(|error| {
                if spoils_connection(&error) {
                    wire.give_up();
                }
                store_error(&error)
            })
        });
        match answer.await {
            Ok(answer) => answer,
            Err(_) if is_sent => Err(no_answer(self.limit)),
            Err(_) => Err(no_connection(self.limit)),
        }
    }

    /// The connection. If there is none, what comes of the next attempt to make it.
    async fn wire(&self) -> Result<Arc<Wire>, StoreError> {
        if let State::Up(wire) = &*self.state.borrow()
            && wire.is_open()
        {
            return Ok(Arc::clone(wire));
        }
        let mut changes = self.state.subscribe();
        self.keep_up();
        loop {
            match &*changes.borrow_and_update() {
                State::Up(wire) if wire.is_open() => return Ok(Arc::clone(wire)),
                _ => {}
            }
            changes.changed().await.map_err(StoreError::unavailable)?;
            if let State::Down(error) = &*changes.borrow() {
                return Err(error.clone());
            }
        }
    }

    /// Starts the task that connects, unless it runs: the runtime that it ran on may be gone.
    fn keep_up(&self) {
        let mut keeper = self.keeper.lock();
        if keeper.as_ref().is_none_or(JoinHandle::is_finished) {
            let state = Arc::clone(&self.state);
            let task = Keeper::new(Arc::clone(&self.database), state, self.limit);
            *keeper = Some(tokio::spawn(task.run()));
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if let Some(keeper) = self.keeper.get_mut() {
            keeper.abort();
        }
    }
}
