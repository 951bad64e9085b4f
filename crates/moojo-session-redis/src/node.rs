//! One server and the connections to it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use redis::aio::{MultiplexedConnection, PubSub};
use redis::{
    AsyncConnectionConfig, Cmd, ConnectionAddr, ConnectionInfo, ErrorKind, Pipeline, RedisError,
    Value,
};
use tokio::time::{Instant, timeout_at};

use crate::error::Failure;

mod lane;
mod loads;

use lane::Lane;

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
        redis::Client::open(info).map_err(|_| Failure::unreachable(address, "no address"))
    }
}

/// What goes to a server in one piece.
pub(crate) enum Packet {
    One(Cmd),
    /// The answers are those of all, in order. One error is the error of all.
    All(Pipeline),
    /// The answers are those of all, in order, and each may be an error.
    Each(Pipeline),
}

/// A server. It is connected to when it is first needed, and again whenever a connection is spoiled.
#[derive(Debug)]
pub(crate) struct Node {
    access: Access,
    address: ConnectionAddr,
    lanes: Box<[Lane]>,
    next: AtomicUsize,
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
        self.lanes[self.next_lane()].send(self, packet, by).await
    }

    fn next_lane(&self) -> usize {
        self.next.fetch_add(1, Ordering::Relaxed) % self.lanes.len()
    }

    /// A connection of its own that listens to these channels.
    pub(crate) async fn subscribe(&self, channels: &[&str]) -> Result<PubSub, Failure> {
        let by = Instant::now() + self.access.limits.connect;
        let subscribed = async {
            let client = self.access.client(&self.address)?;
            let connected = client.get_async_pubsub().await;
            let mut pubsub = connected.map_err(|error| self.unreachable(&error))?;
            let subscribed = pubsub.subscribe(channels).await;
            subscribed.map_err(|error| self.failure(error))?;
            Ok(pubsub)
        };
        timeout_at(by, subscribed).await.unwrap_or_else(|_| Err(self.timed_out()))
    }

    async fn connect(&self, by: Instant) -> Result<MultiplexedConnection, Failure> {
        let client = self.access.client(&self.address)?;
        // The limits are ours: a call has one for everything that is done for it.
        let config =
            AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
        let by = by.min(Instant::now() + self.access.limits.connect);
        match timeout_at(by, client.get_multiplexed_async_connection_with_config(&config)).await {
            Ok(connected) => connected.map_err(|error| self.unreachable(&error)),
            Err(_) => Err(self.too_slow()),
        }
    }

    /// Why there is no connection. A server that refuses the login says so with a code; what the
    /// system says holds nothing that was sent.
    fn unreachable(&self, error: &RedisError) -> Failure {
        match self.failure(error.clone()) {
            said @ (Failure::Code(_) | Failure::Login | Failure::Database) => said,
            _ => Failure::unreachable(
                &self.address,
                match error.kind() {
                    ErrorKind::Io => error.to_string(),
                    ErrorKind::Parse => NO_REDIS.to_owned(),
                    _ => error.category().to_owned(),
                },
            ),
        }
    }

    /// There is no connection in time.
    fn too_slow(&self) -> Failure {
        Failure::unreachable(&self.address, "it takes too long")
    }

    fn failure(&self, error: RedisError) -> Failure {
        Failure::of(error, &self.address)
    }

    pub(crate) fn timed_out(&self) -> Failure {
        Failure::TimedOut(self.address.to_string())
    }

    pub(crate) fn dropped(&self) -> Failure {
        Failure::Dropped(self.address.to_string())
    }
}

/// Why there is no connection to what answers with something else.
const NO_REDIS: &str = "what answers there does not speak Redis' protocol: it may be another program's \
                        port, or one for TLS (rediss://)";
