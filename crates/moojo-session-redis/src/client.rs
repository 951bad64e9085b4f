//! Calls on Redis, wherever a key is.

use std::sync::Arc;

use moojo_session::StoreError;
use redis::aio::PubSub;
use redis::{ConnectionAddr, Value};
use tokio::time::Instant;

use crate::cluster::Cluster;
use crate::config::Kind;
use crate::error::Failure;
use crate::finish::Finish;
use crate::keys::Key;
use crate::node::{Access, Limits, Node, Packet};
use crate::request::Request;
use crate::sentinel::Sentinels;

/// The servers of a store. Clones are the same client.
#[derive(Debug, Clone)]
pub(crate) struct Client(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    limits: Limits,
    topology: Topology,
}

#[derive(Debug)]
enum Topology {
    Single(Arc<Node>),
    Cluster(Cluster),
    Sentinels(Sentinels),
}

impl Client {
    pub(crate) fn new(access: Access, addresses: Vec<ConnectionAddr>, kind: Kind) -> Self {
        let limits = access.limits;
        let topology = match kind {
            Kind::Single => {
                let address = access.info.addr().clone();
                Topology::Single(Arc::new(Node::new(access, address)))
            }
            Kind::Cluster => Topology::Cluster(Cluster::new(access, addresses)),
            Kind::Sentinel(master) => {
                Topology::Sentinels(Sentinels::new(access, addresses, master))
            }
        };
        Self(Arc::new(Shared { limits, topology }))
    }

    /// Sends a request, once, to the server that has its key.
    ///
    /// A caller who leaves neither stops it halfway, nor keeps it from finding out that a connection
    /// is dead. Nothing is sent again of which the first may have been carried out: a login that was
    /// saved since would be lost.
    pub(crate) async fn call(&self, request: Request) -> Result<Value, StoreError> {
        self.call_by(self.limit(), request).await
    }

    async fn call_by(&self, by: Instant, request: Request) -> Result<Value, StoreError> {
        let shared = Arc::clone(&self.0);
        finish(async move {
            match &shared.topology {
                Topology::Single(node) => ask(node, &request, by).await,
                // In boxes of their own, so that a call of a single server is a small thing.
                Topology::Cluster(cluster) => Box::pin(cluster.ask(&request, by)).await,
                Topology::Sentinels(sentinels) => {
                    let master = Box::pin(sentinels.master(by)).await?;
                    let answer = ask(&master, &request, by).await;
                    sentinels.note(&master, answer)
                }
            }
        })
        .await
    }

    /// What is at a key: as [`call`](Self::call), but together with others where there are others.
    pub(crate) async fn get(&self, key: Key) -> Result<Value, StoreError> {
        let by = self.limit();
        let topology = &self.0.topology;
        if let Some(node) = topology.in_charge_of(&key)
            && let Some(answer) = node.get_with_others(&key.name, by)
        {
            match topology.note(&node, answer.await) {
                // It was not asked there. Whoever asks alone finds out where to.
                Err(failure) if topology.has_it_elsewhere(&failure) => {}
                answer => return answer.map_err(StoreError::from),
            }
        }
        self.call_by(by, Request::command("GET", key)).await
    }

    /// Sends `packet` to this server.
    pub(crate) async fn call_at(
        &self,
        node: &Arc<Node>,
        packet: Packet,
    ) -> Result<Value, StoreError> {
        let node = Arc::clone(node);
        let by = self.limit();
        finish(async move { node.send(&packet, by).await }).await
    }

    /// The servers that have keys, each some of them.
    pub(crate) async fn masters(&self) -> Result<Vec<Arc<Node>>, StoreError> {
        let shared = Arc::clone(&self.0);
        let by = self.limit();
        finish(async move {
            match &shared.topology {
                Topology::Single(node) => Ok(vec![Arc::clone(node)]),
                Topology::Cluster(cluster) => cluster.masters(by).await,
                Topology::Sentinels(sentinels) => Ok(vec![sentinels.master(by).await?]),
            }
        })
        .await
    }

    /// A connection to some server that hears what is published, whoever publishes it, and that
    /// server: errors of the connection name it.
    pub(crate) async fn subscribe(
        &self,
        channels: &[&str],
    ) -> Result<(Arc<Node>, PubSub), Failure> {
        let by = self.limit();
        let node = match &self.0.topology {
            Topology::Single(node) => Arc::clone(node),
            // Every node of a cluster hears of everything.
            Topology::Cluster(cluster) => cluster.some_node(by).await,
            Topology::Sentinels(sentinels) => sentinels.master(by).await?,
        };
        let subscribed = self.0.topology.note(&node, node.subscribe(channels).await)?;
        Ok((node, subscribed))
    }

    /// When a call that begins now is given up.
    fn limit(&self) -> Instant {
        Instant::now() + self.0.limits.operation
    }
}

impl Topology {
    /// The server that has a key, as far as that is known without asking.
    fn in_charge_of(&self, key: &Key) -> Option<Arc<Node>> {
        match self {
            Self::Single(node) => Some(Arc::clone(node)),
            Self::Cluster(cluster) => cluster.known_owner(key.slot()),
            Self::Sentinels(sentinels) => sentinels.current(),
        }
    }

    /// Whether another server may have what a server that failed so has not.
    fn has_it_elsewhere(&self, failure: &Failure) -> bool {
        let is_elsewhere = matches!(
            failure,
            Failure::Moved { .. } | Failure::Ask { .. } | Failure::Unreachable { .. }
        );
        is_elsewhere && matches!(self, Self::Cluster(_))
    }

    /// Looks at what came of something that was asked of `node`.
    fn note<T>(&self, node: &Arc<Node>, outcome: Result<T, Failure>) -> Result<T, Failure> {
        match self {
            Self::Single(_) => outcome,
            Self::Cluster(cluster) => cluster.note(outcome),
            Self::Sentinels(sentinels) => sentinels.note(node, outcome),
        }
    }
}

/// Makes a call, whether its caller stays or not.
///
/// It is not an `async fn`, which would keep room for the call itself in whatever awaits it.
fn finish<T, F>(call: F) -> impl Future<Output = Result<T, StoreError>>
where
    T: Send + 'static,
    F: Future<Output = Result<T, Failure>> + Send + 'static,
{
    let call = Finish::new(call);
    async move { call.await.map_err(StoreError::from) }
}

/// Sends a request to a server, and the script that it names if the server does not know it.
pub(crate) async fn ask(node: &Node, request: &Request, by: Instant) -> Result<Value, Failure> {
    match node.send(&Packet::One(request.short()), by).await {
        Err(failure) if failure.is_no_script() => {
            Box::pin(node.send(&Packet::One(request.whole()), by)).await
        }
        answer => answer,
    }
}
