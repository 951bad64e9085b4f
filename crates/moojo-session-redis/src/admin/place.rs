//! A place in the list of all sessions.

use std::sync::Arc;

use moojo_session::{PageToken, StoreError};
use serde::{Deserialize, Serialize};

use crate::node::Node;

/// How far a caller has come: which servers are done, and how far the next one is.
///
/// A server that goes is taken over by one that is not among those done, which is gone through from
/// the start: sessions come twice rather than not at all. So it is with a server that was restarted.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Place {
    done: Vec<String>,
    server: String,
    /// Which life of the server the cursor is from.
    run: String,
    cursor: u64,
}

impl Place {
    pub(super) fn read(token: &PageToken) -> Result<Self, StoreError> {
        serde_json::from_str(token.as_str())
            .map_err(|_| StoreError::refused("the page token is not of this store"))
    }

    pub(super) fn token(&self) -> PageToken {
        PageToken::new(serde_json::to_string(self).expect("texts and a number"))
    }

    /// The server to go on with, and the cursor.
    pub(super) fn next<'a>(&self, servers: &'a [Arc<Node>]) -> Option<(&'a Arc<Node>, u64)> {
        let same = servers.iter().find(|node| self.server == name(node));
        if let Some(node) = same.filter(|_| self.cursor != 0) {
            return Some((node, self.cursor));
        }
        let rest = servers.iter().find(|node| !self.done.contains(&name(node)));
        rest.map(|node| (node, 0))
    }

    /// Whether a cursor of this place says nothing to the server that is in its `run`-th life.
    pub(super) fn is_stale(&self, cursor: u64, run: &str) -> bool {
        cursor != 0 && self.run != run
    }

    /// `node` was gone through up to `cursor`; 0 says to the end.
    pub(super) fn came_to(&mut self, node: &Node, run: String, cursor: u64) {
        self.server = name(node);
        self.run = run;
        self.cursor = cursor;
        if cursor == 0 {
            self.done.push(name(node));
        }
    }
}

fn name(node: &Node) -> String {
    node.address().to_string()
}
