use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::StreamExt;
use moojo_session::StoreError;
use parking_lot::Mutex;
use tokio::sync::{Notify, OnceCell};
use tokio::task::JoinHandle;
use tokio_postgres::{Client, Error, Row, Statement};

use super::Parameter;
use super::flush::Flush;
use crate::connector::Messages;
use crate::error::store_error;
use crate::names::Names;

/// One connection. Calls are sent one after the other without waiting for answers, which come in
/// the same order.
pub(super) struct Wire {
    client: Client,
    backend: Backend,
    flush: Flush,
    prepared: Mutex<HashMap<&'static str, Arc<OnceCell<Statement>>>>,
    used: AtomicBool,
    given_up: Notify,
}

/// The server's process for a connection. Process ids come back, with another start.
#[derive(Debug, Clone, Copy)]
pub(super) struct Backend {
    pid: i32,
    start: DateTime<Utc>,
}

impl Wire {
    /// The first version that can wait for a backend's end.
    const OLDEST_SERVER: i32 = 14;

    /// Sets the connection up: `limit` is what a call may take.
    pub(super) async fn new(client: Client, limit: Duration) -> Result<Self, StoreError> {
        Self::set_up(client, limit).await.map_err(|error| store_error(&error))?
    }

    async fn set_up(client: Client, limit: Duration) -> Result<Result<Self, StoreError>, Error> {
        // The server gives up first: its answer says more than our own time limit, and those
        // behind a call that hangs get their turn. Whatever the server's defaults are, statements
        // run at the isolation that they are written for.
        let settings = format!(
            "set statement_timeout = {}; set lock_timeout = {}; \
             set default_transaction_isolation = 'read committed'; set search_path = pg_catalog",
            server_millis(limit.mul_f32(0.8)),
            server_millis(limit.mul_f32(0.5)),
        );
        client.batch_execute(&settings).await?;
        let own = "select pid, backend_start, pg_is_in_recovery(), \
                   current_setting('server_version_num')::integer / 10000 \
                   from pg_stat_activity where pid = pg_backend_pid()";
        let row = client.query_one(own, &[]).await?;
        if row.try_get(2)? {
            // It may be behind: a session that was removed would be loaded, or a new one not.
            return Ok(Err(StoreError::unavailable("the server is a replica")));
        }
        if row.try_get::<_, i32>(3)? < Self::OLDEST_SERVER {
            return Ok(Err(StoreError::refused("the server is older than PostgreSQL 14")));
        }
        Ok(Ok(Self {
            backend: Backend { pid: row.try_get(0)?, start: row.try_get(1)? },
            flush: Flush::new(&client).await?,
            client,
            prepared: Mutex::default(),
            used: AtomicBool::new(false),
            given_up: Notify::new(),
        }))
    }

    pub(super) fn backend(&self) -> Backend {
        self.backend
    }

    pub(super) fn is_open(&self) -> bool {
        !self.client.is_closed()
    }

    pub(super) async fn query(
        &self,
        names: &Names,
        sql: &'static str,
        parameters: &[Parameter<'_>],
    ) -> Result<Vec<Row>, Error> {
        self.used.store(true, Ordering::Relaxed);
        let statement = Arc::clone(self.prepared.lock().entry(sql).or_default());
        let prepare = async || self.client.prepare(&names.fill(sql)).await;
        let statement = statement.get_or_try_init(prepare).await?;
        self.client.query(statement, parameters).await
    }

    /// Returns when all that was answered before is durable.
    pub(super) async fn flush(&self) -> Result<(), Error> {
        self.flush.flush(&self.client).await
    }

    /// Whether a call was made since the last time it was asked.
    pub(super) fn was_used(&self) -> bool {
        self.used.swap(false, Ordering::Relaxed)
    }

    pub(super) async fn probe(&self) -> Result<(), Error> {
        self.client.simple_query("select 1").await.map(drop)
    }

    /// Ends the server's process of a connection that was lost, and waits until it is gone. It may
    /// have commands before it still that nobody waits for, and that must not overtake what comes
    /// now: an old session would be written over a new one.
    pub(super) async fn end(&self, lost: Backend, wait: Duration) -> Result<(), StoreError> {
        let end = "select pg_terminate_backend(pid, $3) from pg_stat_activity \
                   where pid = $1 and backend_start = $2";
        let wait = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX).max(1);
        let ended = self.client.query_opt(end, &[&lost.pid, &lost.start, &wait]).await;
        match ended.map_err(|error| store_error(&error))? {
            Some(row) if !row.try_get(0).unwrap_or(false) => {
                Err(StoreError::unavailable("a lost connection is still at work in the server"))
            }
            _ => Ok(()),
        }
    }

    /// Has the connection replaced.
    pub(super) fn give_up(&self) {
        self.given_up.notify_one();
    }

    pub(super) async fn given_up(&self) {
        self.given_up.notified().await;
    }
}

/// A time limit as the server takes it: not none, and no longer than 24 days.
fn server_millis(limit: Duration) -> i32 {
    i32::try_from(limit.as_millis()).unwrap_or(i32::MAX).max(1)
}

/// Reads and writes for a connection, until it is dropped.
pub(crate) struct Driver(JoinHandle<()>);

impl Driver {
    pub(crate) fn start(mut messages: Messages) -> Self {
        // Notices and the last error need no ear: calls under way get theirs.
        Self(tokio::spawn(async move { while let Some(Ok(_)) = messages.next().await {} }))
    }

    pub(crate) async fn ended(&mut self) {
        let _ = (&mut self.0).await;
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}
