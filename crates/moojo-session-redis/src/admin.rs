//! What an administrator does with all sessions.

use std::collections::HashSet;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::sync::Arc;

use async_trait::async_trait;
use chrono::Utc;
use moojo_session::{
    Change, Page, PageToken, Session, SessionAdmin, SessionInfo, SessionStore as _, StoreError,
    StoreErrorKind,
};
use redis::{Pipeline, Value, cmd, pipe};

use crate::error::Failure;
use crate::node::{Node, Packet};
use crate::request::{Request, bytes, yes_or_no};
use crate::store::RedisStore;
use crate::{feed, millis, record, script};

mod place;

use place::Place;

/// Pages are those of SCAN, server by server. While a cluster moves slots, sessions in them may be
/// missed.
#[async_trait]
impl SessionAdmin for RedisStore {
    async fn list(&self, after: Option<&PageToken>, limit: usize) -> Result<Page, StoreError> {
        let masters = self.client().masters().await?;
        let mut place = match after {
            Some(token) => Place::read(token)?,
            None => Place::default(),
        };
        let Some((node, cursor)) = place.next(&masters) else {
            return Ok(Page { sessions: Vec::new(), next: None });
        };
        let (mut next, mut keys) = self.scan(node, cursor, limit).await?;
        let run = self.run_of(node).await?;
        if place.is_stale(cursor, &run) {
            (next, keys) = self.scan(node, 0, limit).await?;
        }
        let sessions = self.infos(node, &keys).await?;
        place.came_to(node, run, next);
        let next = place.next(&masters).map(|_| place.token());
        Ok(Page { sessions, next })
    }

    async fn count(&self) -> Result<u64, StoreError> {
        // SCAN can give a key twice. A hash of each is enough to see that.
        let (mut seen, hasher) = (HashSet::new(), RandomState::new());
        let mut walk = Walk::begin(self).await?;
        while let Some((_, keys)) = walk.next_page(self).await? {
            seen.extend(keys.iter().map(|key| hasher.hash_one(key)));
        }
        Ok(seen.len() as u64)
    }

    async fn remove_all(&self) -> Result<u64, StoreError> {
        let mut removed = 0;
        let mut walk = Walk::begin(self).await?;
        while let Some((node, keys)) = walk.next_page(self).await? {
            removed += self.remove_keys(&node, &keys).await?;
        }
        Ok(removed)
    }

    async fn replace_if_current(&self, session: &Session) -> Result<bool, StoreError> {
        let user = session.user();
        let Some(life) = millis::left(session.expires_at(), Utc::now()) else {
            // It has ended: it is replaced by nothing.
            return self.remove_if_current(user, session.id()).await;
        };
        let request = Request::script(&script::REPLACE_IF_CURRENT, self.keys().session(user))
            .arg(session.id().to_bytes())
            .secret(session.to_exposed_bytes())
            .arg(life.to_string());
        Ok(yes_or_no(&self.client().call(request).await?)?)
    }
}

impl RedisStore {
    /// What one SCAN of a server gives: where to go on, and keys.
    async fn scan(
        &self,
        node: &Arc<Node>,
        cursor: u64,
        limit: usize,
    ) -> Result<(u64, Vec<Vec<u8>>), StoreError> {
        let mut scan = cmd("SCAN");
        scan.arg(cursor).arg("MATCH").arg(self.keys().all_sessions());
        scan.arg("COUNT").arg(limit.clamp(10, 1000)).arg("TYPE").arg("string");
        let answer = self.client().call_at(node, Packet::One(scan)).await?;
        Ok(redis::from_redis_value(answer).map_err(|_| Failure::Answer)?)
    }

    /// The sessions at these keys, without those that cannot be read: nobody can use them.
    async fn infos(
        &self,
        node: &Arc<Node>,
        keys: &[Vec<u8>],
    ) -> Result<Vec<SessionInfo>, StoreError> {
        let mut gets = pipe();
        for key in keys {
            gets.cmd("GET").arg(key);
        }
        let mut infos = Vec::new();
        for (key, answer) in keys.iter().zip(self.all(node, gets).await?) {
            let Some(record) = bytes(answer)? else { continue };
            let Some(user) = self.keys().user_of(key) else { continue };
            if let Ok(Some(session)) = record::session(&record, &user) {
                infos.push(SessionInfo::from(&session));
            }
        }
        Ok(infos)
    }

    async fn remove_keys(&self, node: &Arc<Node>, keys: &[Vec<u8>]) -> Result<u64, StoreError> {
        let mut removals = pipe();
        for key in keys {
            let Some(user) = self.keys().user_of(key) else { continue };
            let message = feed::message(&Change::Removed { user });
            removals.cmd("EVAL").arg(script::REMOVE.code()).arg(1).arg(key);
            removals.arg(self.keys().channel()).arg(message);
        }
        let mut removed = 0;
        for answer in self.all(node, removals).await? {
            removed += u64::from(yes_or_no(&answer)?);
        }
        Ok(removed)
    }

    /// The answers to all commands of `pipe`.
    async fn all(&self, node: &Arc<Node>, pipe: Pipeline) -> Result<Vec<Value>, StoreError> {
        if pipe.is_empty() {
            return Ok(Vec::new());
        }
        match self.client().call_at(node, Packet::All(pipe)).await? {
            Value::Array(answers) => Ok(answers),
            _ => Err(Failure::Answer.into()),
        }
    }

    /// Which life of a server it is: cursors of another one lead nowhere. Empty if it does not say.
    async fn run_of(&self, node: &Arc<Node>) -> Result<String, StoreError> {
        let mut info = cmd("INFO");
        info.arg("server");
        let answer = match self.client().call_at(node, Packet::One(info)).await {
            Err(error) if error.kind() == StoreErrorKind::Refused => return Ok(String::new()),
            answer => answer?,
        };
        let text: String = redis::from_redis_value(answer).map_err(|_| Failure::Answer)?;
        let run = text.lines().find_map(|line| line.strip_prefix("run_id:"));
        Ok(run.unwrap_or_default().to_owned())
    }
}

/// A way through the keys of all servers, in one go.
struct Walk {
    /// Those not done. The last is next.
    servers: Vec<Arc<Node>>,
    cursor: u64,
}

impl Walk {
    const PAGE: usize = 1000;

    async fn begin(store: &RedisStore) -> Result<Self, StoreError> {
        Ok(Self { servers: store.client().masters().await?, cursor: 0 })
    }

    async fn next_page(
        &mut self,
        store: &RedisStore,
    ) -> Result<Option<(Arc<Node>, Vec<Vec<u8>>)>, StoreError> {
        let Some(node) = self.servers.last().cloned() else { return Ok(None) };
        let (next, keys) = store.scan(&node, self.cursor, Self::PAGE).await?;
        self.cursor = next;
        if next == 0 {
            self.servers.pop();
        }
        Ok(Some((node, keys)))
    }
}
