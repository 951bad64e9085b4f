//! A thread's connection.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::Sender;
use moojo_session::StoreError;
use rusqlite::Connection;

use crate::database::Database;
use crate::error::Failure;

/// A connection that is opened anew when it is of no more use.
pub(crate) struct Link {
    database: Arc<Database>,
    open: fn(&Database) -> Result<Connection, Failure>,
    db: Option<Connection>,
    /// Goes after the connection.
    _presence: Option<Presence>,
}

/// Held by all but the writer, which waits until nobody has one before it closes. The last connection
/// to the file empties the write-ahead log and removes it; of two that close at the same time,
/// neither is the last.
pub(crate) type Presence = Sender<Infallible>;

impl Link {
    /// One that `open` opens when it is first used.
    pub(crate) fn new(
        database: Arc<Database>,
        open: fn(&Database) -> Result<Connection, Failure>,
    ) -> Self {
        Self { database, open, db: None, _presence: None }
    }

    /// The same of a thread that the writer waits for in the end.
    pub(crate) fn with(self, presence: Presence) -> Self {
        Self { _presence: Some(presence), ..self }
    }

    /// The connection, to the file that the store was opened on.
    pub(crate) fn get(&mut self) -> Result<&Connection, Failure> {
        if self.db.is_none() {
            self.db = Some((self.open)(&self.database)?);
        }
        self.ensure_in_place()?;
        self.opened()
    }

    /// Fails if the file that the store was opened on is not in its place.
    pub(crate) fn ensure_in_place(&self) -> Result<(), Failure> {
        self.database.ensure_in_place()
    }

    /// How long somebody else's lock is to be waited for.
    pub(crate) fn patience(&self) -> Duration {
        self.database.busy_timeout
    }

    /// The connection, which has been opened.
    pub(crate) fn opened(&self) -> Result<&Connection, Failure> {
        self.current().ok_or_else(|| StoreError::unavailable("no connection").into())
    }

    /// The connection as it is, if there is one.
    pub(crate) fn current(&self) -> Option<&Connection> {
        self.db.as_ref()
    }

    /// The next use opens it anew.
    pub(crate) fn discard(&mut self) {
        self.db = None;
    }
}
