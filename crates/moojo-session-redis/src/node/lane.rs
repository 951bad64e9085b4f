//! One connection to a server, and what goes over it.

use std::sync::atomic::{AtomicUsize, Ordering};

use redis::aio::MultiplexedConnection;
use redis::{RedisError, Value};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};

use super::loads::Loads;
use super::{Node, Packet};
use crate::error::Failure;

/// The place of one connection.
#[derive(Debug, Default)]
pub(super) struct Lane {
    pub(super) loads: Loads,
    current: parking_lot::Mutex<Current>,
    /// Held by whoever makes the connection.
    connecting: Mutex<()>,
    /// How many calls are under way.
    under_way: AtomicUsize,
}

#[derive(Debug, Default)]
struct Current {
    connection: Option<MultiplexedConnection>,
    /// Goes up with each connection, so that a late failure does not retire a newer one.
    generation: u64,
    /// The last attempt that failed, for those who waited for it.
    failed: Option<(Instant, Failure)>,
}

impl Lane {
    pub(super) fn is_busy(&self) -> bool {
        self.under_way.load(Ordering::Relaxed) > 0
    }

    /// See [`Node::send`].
    pub(super) async fn send(
        &self,
        node: &Node,
        packet: &Packet,
        by: Instant,
    ) -> Result<Value, Failure> {
        let _under_way = UnderWay::one_of(&self.under_way);
        let (mut connection, generation) = match self.there() {
            Some(there) => there,
            None => Box::pin(self.connection(node, by)).await?,
        };
        let answer = async {
            match packet {
                Packet::One(cmd) => connection.send_packed_command(cmd).await?.extract_error(),
                Packet::All(pipe) => pipe.query_async(&mut connection).await,
                Packet::Each(pipe) => {
                    connection.send_packed_commands(pipe, 0, pipe.len()).await.map(Value::Array)
                }
            }
        };
        let answer = match timeout_at(by, answer).await {
            Ok(answer) => answer.map_err(|error| node.failure(error)),
            Err(_) => Err(node.timed_out()),
        };
        if spoils_connection(node, &answer) {
            self.retire(generation);
        }
        answer
    }

    /// A connection where there is none, made by one of those who ask for it. If that fails, it has
    /// failed for all who wait by then.
    async fn connection(
        &self,
        node: &Node,
        by: Instant,
    ) -> Result<(MultiplexedConnection, u64), Failure> {
        let asked = Instant::now();
        let Ok(_connecting) = timeout_at(by, self.connecting.lock()).await else {
            return Err(node.too_slow());
        };
        if let Some(there) = self.there() {
            return Ok(there);
        }
        if let Some((when, failure)) = &self.current.lock().failed
            && *when >= asked
        {
            return Err(failure.clone());
        }
        let connected = Box::pin(node.connect(by)).await;
        let mut current = self.current.lock();
        match connected {
            Ok(connection) => {
                current.connection = Some(connection.clone());
                current.generation += 1;
                current.failed = None;
                Ok((connection, current.generation))
            }
            Err(failure) => {
                current.failed = Some((Instant::now(), failure.clone()));
                Err(failure)
            }
        }
    }

    fn there(&self) -> Option<(MultiplexedConnection, u64)> {
        let current = self.current.lock();
        Some((current.connection.clone()?, current.generation))
    }

    fn retire(&self, generation: u64) {
        let mut current = self.current.lock();
        if current.generation == generation {
            current.connection = None;
        }
    }
}

fn spoils_connection(node: &Node, answer: &Result<Value, Failure>) -> bool {
    match answer {
        Ok(Value::Array(values)) => values.iter().any(|value| match value {
            Value::ServerError(error) => {
                node.failure(RedisError::from(error.clone())).spoils_connection()
            }
            _ => false,
        }),
        Ok(_) => false,
        Err(failure) => failure.spoils_connection(),
    }
}

/// One call that is counted, until it is dropped.
struct UnderWay<'a>(&'a AtomicUsize);

impl<'a> UnderWay<'a> {
    fn one_of(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
