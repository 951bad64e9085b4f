//! Which server is the master, by Redis Sentinel.

use std::sync::Arc;

use parking_lot::Mutex;
use redis::{ConnectionAddr, RedisConnectionInfo, Value, cmd};
use tokio::time::{Instant, timeout_at};

use crate::error::Failure;
use crate::node::{Access, Node, Packet};

/// Servers that know where the master is.
#[derive(Debug)]
pub(crate) struct Sentinels {
    /// How to reach the master. The sentinels are reached without its login.
    access: Access,
    sentinels: Vec<Node>,
    master: String,
    current: Mutex<Option<Arc<Node>>>,
    asking: tokio::sync::Mutex<()>,
}

impl Sentinels {
    pub(crate) fn new(access: Access, addresses: Vec<ConnectionAddr>, master: String) -> Self {
        let mut to_sentinels = access.clone();
        to_sentinels.info = to_sentinels.info.set_redis_settings(RedisConnectionInfo::default());
        let node = |address| Node::new(to_sentinels.clone(), address);
        let sentinels = addresses.into_iter().map(node).collect();
        Self { access, sentinels, master, current: Mutex::default(), asking: Default::default() }
    }

    /// Looks at what came of something that was asked of the master: if it makes one doubt whether
    /// that is still the master, the sentinels are asked before the next.
    pub(crate) fn note<T>(
        &self,
        master: &Arc<Node>,
        outcome: Result<T, Failure>,
    ) -> Result<T, Failure> {
        if outcome.as_ref().is_err_and(Failure::doubts_topology) {
            self.current.lock().take_if(|current| Arc::ptr_eq(current, master));
        }
        outcome
    }

    /// The master, as far as it is known without asking.
    pub(crate) fn current(&self) -> Option<Arc<Node>> {
        self.current.lock().clone()
    }

    pub(crate) async fn master(&self, by: Instant) -> Result<Arc<Node>, Failure> {
        if let Some(node) = self.current() {
            return Ok(node);
        }
        let Ok(_asking) = timeout_at(by, self.asking.lock()).await else {
            return Err(nowhere("no sentinel answers in time"));
        };
        if let Some(node) = self.current() {
            return Ok(node);
        }
        let node = Arc::new(Node::new(self.access.clone(), self.ask(by).await?));
        *self.current.lock() = Some(Arc::clone(&node));
        Ok(node)
    }

    async fn ask(&self, by: Instant) -> Result<ConnectionAddr, Failure> {
        let mut question = cmd("SENTINEL");
        question.arg("get-master-addr-by-name").arg(&self.master);
        let question = Packet::One(question);
        let mut last = nowhere("no sentinel knows it");
        let first = fastrand::usize(..self.sentinels.len());
        for turn in 0..self.sentinels.len() {
            let sentinel = &self.sentinels[(first + turn) % self.sentinels.len()];
            let soon = by.min(Instant::now() + self.access.limits.connect);
            match sentinel.send(&question, soon).await {
                Ok(answer) => {
                    if let Some(address) = self.read(&answer) {
                        return Ok(address);
                    }
                }
                // The login of the URL is the master's: who reads this is not to look there.
                Err(Failure::Code(code)) if code == "NOAUTH" => last = Failure::SentinelLogin,
                Err(failure) => last = last.or(failure),
            }
        }
        Err(last)
    }

    fn read(&self, answer: &Value) -> Option<ConnectionAddr> {
        let Value::Array(parts) = answer else { return None };
        let [Value::BulkString(host), Value::BulkString(port)] = parts.as_slice() else {
            return None;
        };
        let (host, port) = (std::str::from_utf8(host).ok()?, std::str::from_utf8(port).ok()?);
        Some(self.access.elsewhere(host, port.parse().ok()?))
    }
}

fn nowhere(why: &str) -> Failure {
    Failure::Unreachable { to: "the master of the sentinels".to_owned(), why: why.to_owned() }
}
