//! A thread's connection.

use std::sync::Arc;

use moojo_session::StoreError;
use rusqlite::Connection;

use crate::database::Database;
use crate::error::Failure;

/// A connection that is opened anew when it is of no more use.
pub(crate) struct Link {
    database: Arc<Database>,
    open: fn(&Database) -> Result<Connection, Failure>,
    db: Option<Connection>,
}

impl Link {
    /// One that `open` opens when it is first used.
    pub(crate) fn new(
        database: Arc<Database>,
        open: fn(&Database) -> Result<Connection, Failure>,
    ) -> Self {
        Self { database, open, db: None }
    }

    /// The connection, to the file that the store was opened on.
    pub(crate) fn get(&mut self) -> Result<&Connection, Failure> {
        if self.db.is_none() {
            self.db = Some((self.open)(&self.database)?);
        }
        self.database.ensure_in_place()?;
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
