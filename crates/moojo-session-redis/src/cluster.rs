//! Which node of a Redis Cluster has which slot.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use redis::{ConnectionAddr, Value, cmd, pipe};
use tokio::time::{Instant, timeout_at};

use crate::client::ask;
use crate::error::Failure;
use crate::node::{Access, Node, Packet};
use crate::request::Request;

/// The nodes of a cluster.
///
/// The redis crate has a client for clusters, which sends again what failed with a connection. A
/// save that is carried out twice can displace a login that came in between, and a removal that is
/// carried out twice says that there was nothing. So redirections are followed here, and nothing is
/// sent twice.
#[derive(Debug)]
pub(crate) struct Cluster {
    access: Access,
    seeds: Vec<ConnectionAddr>,
    state: Mutex<State>,
    refreshing: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    slots: Option<Arc<Slots>>,
    /// When `slots` was learnt.
    learnt: Option<Instant>,
    /// Whether something happened that makes one doubt it.
    doubted: bool,
    nodes: HashMap<String, Arc<Node>>,
}

/// Who has which slots: ranges by their last slot.
#[derive(Debug)]
struct Slots(Vec<Range>);

#[derive(Debug)]
struct Range {
    first: u16,
    last: u16,
    master: ConnectionAddr,
}

/// A cluster that moves many slots says so with each: it is not asked more often than this.
const PAUSE: Duration = Duration::from_millis(50);
/// How often a request is redirected.
const HOPS: usize = 6;

impl Cluster {
    pub(crate) fn new(access: Access, seeds: Vec<ConnectionAddr>) -> Self {
        Self { access, seeds, state: Mutex::default(), refreshing: tokio::sync::Mutex::default() }
    }

    pub(crate) async fn ask(&self, request: &Request, by: Instant) -> Result<Value, Failure> {
        let mut node = self.owner(request.slot(), by).await?;
        let mut asking = false;
        for _ in 0..HOPS {
            let answer = match asking {
                false => ask(&node, request, by).await,
                true => ask_there(&node, request, by).await,
            };
            match self.note(answer) {
                Err(Failure::Moved { to }) => {
                    (node, asking) = (self.redirected(&node, &to)?, false);
                }
                Err(Failure::Ask { to }) => (node, asking) = (self.redirected(&node, &to)?, true),
                Err(unreachable @ Failure::Unreachable { .. }) => {
                    // Nothing was sent. Another node may be in charge by now.
                    let now = self.owner(request.slot(), by).await?;
                    if now.address() == node.address() {
                        return Err(unreachable);
                    }
                    (node, asking) = (now, false);
                }
                other => return other,
            }
        }
        Err(Failure::Code("MOVED".to_owned()))
    }

    /// Looks at what came of something that was asked of a node: if it makes one doubt who has which
    /// slots, the cluster is asked before the next.
    pub(crate) fn note<T>(&self, outcome: Result<T, Failure>) -> Result<T, Failure> {
        if outcome.as_ref().is_err_and(Failure::doubts_topology) {
            self.state.lock().doubted = true;
        }
        outcome
    }

    /// All nodes that have slots, in the order of their addresses.
    pub(crate) async fn masters(&self, by: Instant) -> Result<Vec<Arc<Node>>, Failure> {
        self.state.lock().doubted = true;
        let slots = self.slots(by).await?;
        let mut masters: Vec<_> = slots.0.iter().map(|range| &range.master).collect();
        masters.sort_by_key(|address| address.to_string());
        masters.dedup();
        Ok(masters.into_iter().map(|address| self.node(address)).collect())
    }

    /// Any node that has slots, if that is known; another one each time.
    pub(crate) async fn some_node(&self, by: Instant) -> Arc<Node> {
        match self.masters(by).await {
            Ok(masters) => Arc::clone(&masters[fastrand::usize(..masters.len())]),
            Err(_) => self.node(&self.seeds[fastrand::usize(..self.seeds.len())]),
        }
    }

    /// The node that has a slot, if that is known and not in doubt.
    pub(crate) fn known_owner(&self, slot: u16) -> Option<Arc<Node>> {
        self.owner_by(&*self.known(Instant::now())?, slot)
    }

    async fn owner(&self, slot: u16, by: Instant) -> Result<Arc<Node>, Failure> {
        let slots = self.slots(by).await?;
        self.owner_by(&slots, slot).ok_or_else(|| Failure::Code("CLUSTERDOWN".to_owned()))
    }

    fn owner_by(&self, slots: &Slots, slot: u16) -> Option<Arc<Node>> {
        let at = slots.0.partition_point(|range| range.last < slot);
        let range = slots.0.get(at).filter(|range| range.first <= slot)?;
        Some(self.node(&range.master))
    }

    /// The node that another one named as `host:port`; without a host it is on the same.
    fn redirected(&self, from: &Node, to: &str) -> Result<Arc<Node>, Failure> {
        let (host, port) = to.rsplit_once(':').ok_or(Failure::Answer)?;
        let port = port.parse().map_err(|_| Failure::Answer)?;
        let host = if host.is_empty() { host_of(from.address()) } else { host };
        Ok(self.node(&self.access.elsewhere(host, port)))
    }

    fn node(&self, address: &ConnectionAddr) -> Arc<Node> {
        let new = || Arc::new(Node::new(self.access.clone(), address.clone()));
        Arc::clone(self.state.lock().nodes.entry(address.to_string()).or_insert_with(new))
    }

    /// What is known, if it is not in doubt, or else what the cluster says now.
    async fn slots(&self, by: Instant) -> Result<Arc<Slots>, Failure> {
        let asked = Instant::now();
        if let Some(slots) = self.known(asked) {
            return Ok(slots);
        }
        let Ok(_refreshing) = timeout_at(by, self.refreshing.lock()).await else {
            return Err(nowhere("no node answers in time"));
        };
        // Somebody else may have asked meanwhile.
        if let Some(slots) = self.known(asked) {
            return Ok(slots);
        }
        let mut last = nowhere("no node is known");
        for address in self.informants() {
            match learn(&self.node(&address), &self.access, by).await {
                Ok(slots) => return Ok(self.learnt(slots)),
                Err(failure) => last = last.or(failure),
            }
        }
        Err(last)
    }

    fn known(&self, asked: Instant) -> Option<Arc<Slots>> {
        let state = self.state.lock();
        let fresh = state.learnt.is_some_and(|learnt| asked < learnt + PAUSE);
        state.slots.clone().filter(|_| fresh || !state.doubted)
    }

    /// Whom to ask: all who are known, in any order, so that one that hangs is not always the first.
    fn informants(&self) -> Vec<ConnectionAddr> {
        let mut all = self.seeds.clone();
        all.extend(self.state.lock().nodes.values().map(|node| node.address().clone()));
        all.sort_by_key(ToString::to_string);
        all.dedup();
        fastrand::shuffle(&mut all);
        all
    }

    fn learnt(&self, slots: Slots) -> Arc<Slots> {
        let slots = Arc::new(slots);
        let mut state = self.state.lock();
        state.slots = Some(Arc::clone(&slots));
        state.learnt = Some(Instant::now());
        state.doubted = false;
        // Nodes that have left are forgotten, with their connections.
        let stays = |name: &String| slots.0.iter().any(|range| range.master.to_string() == *name);
        state.nodes.retain(|name, _| stays(name));
        slots
    }
}

/// Asks for a key that is on its way to this node.
async fn ask_there(node: &Node, request: &Request, by: Instant) -> Result<Value, Failure> {
    let asking = |command| {
        let mut both = pipe();
        both.add_command(cmd("ASKING")).add_command(command);
        Packet::All(both)
    };
    let answer = match node.send(&asking(request.short()), by).await {
        Err(failure) if failure.is_no_script() => node.send(&asking(request.whole()), by).await,
        answer => answer,
    };
    match answer? {
        Value::Array(mut answers) => answers.pop().ok_or(Failure::Answer),
        _ => Err(Failure::Answer),
    }
}

/// Asks a node who has which slots.
async fn learn(node: &Node, access: &Access, by: Instant) -> Result<Slots, Failure> {
    let mut question = cmd("CLUSTER");
    question.arg("SLOTS");
    let by = by.min(Instant::now() + access.limits.connect);
    let Value::Array(ranges) = node.send(&Packet::One(question), by).await? else {
        return Err(Failure::Answer);
    };
    let range = |value: &Value| {
        let Value::Array(parts) = value else { return None };
        let [Value::Int(first), Value::Int(last), Value::Array(master), ..] = parts.as_slice()
        else {
            return None;
        };
        let [host, Value::Int(port), ..] = master.as_slice() else { return None };
        // Without a host, it is the one that was asked.
        let host = match host {
            Value::BulkString(host) if !host.is_empty() => std::str::from_utf8(host).ok()?,
            _ => host_of(node.address()),
        };
        let master = access.elsewhere(host, u16::try_from(*port).ok()?);
        Some(Range { first: u16::try_from(*first).ok()?, last: u16::try_from(*last).ok()?, master })
    };
    let ranges: Option<Vec<_>> = ranges.iter().map(range).collect();
    let mut ranges = ranges.ok_or(Failure::Answer)?;
    if ranges.is_empty() {
        return Err(Failure::Code("CLUSTERDOWN".to_owned()));
    }
    ranges.sort_by_key(|range| range.first);
    Ok(Slots(ranges))
}

fn nowhere(why: &str) -> Failure {
    Failure::Unreachable { to: "the Redis Cluster".to_owned(), why: why.to_owned() }
}

fn host_of(address: &ConnectionAddr) -> &str {
    match address {
        ConnectionAddr::Tcp(host, _) | ConnectionAddr::TcpTls { host, .. } => host,
        _ => "localhost",
    }
}
