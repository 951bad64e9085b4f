//! One server and the connections to it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use redis::aio::{MultiplexedConnection, PubSub};
use redis::{AsyncConnectionConfig, Cmd, ConnectionAddr, ConnectionInfo, Pipeline, Value};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};

use crate::error::Failure;

/// How to talk to any server of the store: the login, TLS and limits. Only the address differs.
#[derive(Debug, Clone)]
pub(crate) struct Access {
    pub(crate) info: ConnectionInfo,
    pub(crate) limits: Limits,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) connect: Duration,
    pub(crate) operation: Duration,
    pub(crate) connections: usize,
}

impl Access {
    /// The address of another server: by the name that servers have for each other, reached as this
    /// one is.
    pub(crate) fn elsewhere(&self, host: &str, port: u16) -> ConnectionAddr {
        let mut addr = self.info.addr().clone();
        match &mut addr {
            ConnectionAddr::TcpTls { host: its_host, port: its_port, .. } => {
                host.clone_into(its_host);
                *its_port = port;
                addr
            }
            _ => ConnectionAddr::Tcp(host.to_owned(), port),
        }
    }

    fn client(&self, address: &ConnectionAddr) -> Result<redis::Client, Failure> {
        let info = self.info.clone().set_addr(address.clone());
        redis::Client::open(info).map_err(|_| Failure::Unreachable("no address".to_owned()))
    }
}

/// What goes to a server in one piece.
pub(crate) enum Packet {
    One(Cmd),
    /// The answers are those of all, in order.
    Many(Pipeline),
}

/// A server. It is connected to when it is first needed, and again whenever a connection is spoiled.
#[derive(Debug)]
pub(crate) struct Node {
    access: Access,
    address: ConnectionAddr,
    lanes: Box<[Lane]>,
    next: AtomicUsize,
}

/// The place of one connection.
#[derive(Debug, Default)]
struct Lane {
    current: parking_lot::Mutex<Current>,
    /// Held by whoever makes the connection.
    connecting: Mutex<()>,
}

#[derive(Debug, Default)]
struct Current {
    connection: Option<MultiplexedConnection>,
    /// Goes up with each connection, so that a late failure does not retire a newer one.
    generation: u64,
    /// The last attempt that failed, for those who waited for it.
    failed: Option<(Instant, Failure)>,
}

impl Node {
    pub(crate) fn new(access: Access, address: ConnectionAddr) -> Self {
        let lanes = (0..access.limits.connections).map(|_| Lane::default()).collect();
        Self { access, address, lanes, next: AtomicUsize::new(0) }
    }

    pub(crate) fn address(&self) -> &ConnectionAddr {
        &self.address
    }

    /// Sends `packet` once. [`Failure::Unreachable`] says that it was not sent at all; after any
    /// other failure it may have been carried out or not.
    ///
    /// A connection that owes an answer when the time is over is given up, with whatever comes on it
    /// later. That also gets rid of connections that a network has silently forgotten.
    pub(crate) async fn send(&self, packet: &Packet, by: Instant) -> Result<Value, Failure> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        let lane = &self.lanes[turn % self.lanes.len()];
        let (mut connection, generation) = match lane.there() {
            Some(there) => there,
            None => Box::pin(lane.connection(self, by)).await?,
        };
        let answer = async {
            match packet {
                Packet::One(cmd) => cmd.query_async::<Value>(&mut connection).await,
                Packet::Many(pipe) => pipe.query_async::<Value>(&mut connection).await,
            }
        };
        let answer = match timeout_at(by, answer).await {
            Ok(answer) => answer.map_err(Failure::from),
            Err(_) => Err(Failure::TimedOut),
        };
        if answer.as_ref().is_err_and(Failure::spoils_connection) {
            lane.retire(generation);
        }
        answer
    }

    /// A connection of its own that listens to these channels.
    pub(crate) async fn subscribe(&self, channels: &[&str]) -> Result<PubSub, Failure> {
        let by = Instant::now() + self.access.limits.connect;
        let subscribed = async {
            let client = self.access.client(&self.address)?;
            let mut pubsub = client.get_async_pubsub().await.map_err(unreachable)?;
            pubsub.subscribe(channels).await?;
            Ok(pubsub)
        };
        timeout_at(by, subscribed).await.unwrap_or(Err(Failure::TimedOut))
    }

    async fn connect(&self, by: Instant) -> Result<MultiplexedConnection, Failure> {
        let client = self.access.client(&self.address)?;
        // The limits are ours: a call has one for everything that is done for it.
        let config =
            AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
        let by = by.min(Instant::now() + self.access.limits.connect);
        match timeout_at(by, client.get_multiplexed_async_connection_with_config(&config)).await {
            Ok(connected) => connected.map_err(unreachable),
            Err(_) => Err(Failure::Unreachable(TOO_LONG.to_owned())),
        }
    }
}

impl Lane {
    /// A connection where there is none, made by one of those who ask for it. If that fails, it has
    /// failed for all who wait by then.
    async fn connection(
        &self,
        node: &Node,
        by: Instant,
    ) -> Result<(MultiplexedConnection, u64), Failure> {
        let asked = Instant::now();
        let Ok(_connecting) = timeout_at(by, self.connecting.lock()).await else {
            return Err(Failure::Unreachable(TOO_LONG.to_owned()));
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

const TOO_LONG: &str = "it takes too long";

/// Why there is no connection. A server that refuses the login says so with a code; what the system
/// says holds nothing that was sent.
fn unreachable(error: redis::RedisError) -> Failure {
    match Failure::from(error.clone()) {
        Failure::Code(code) => Failure::Code(code),
        _ if error.is_io_error() => Failure::Unreachable(error.to_string()),
        _ => Failure::Unreachable(error.category().to_owned()),
    }
}
