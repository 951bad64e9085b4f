use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::{SessionStore, StoreError};
use crate::session::{Session, SessionId};
use crate::user::UserId;

/// A store whose sessions an administrator can look through.
///
/// # What an implementation promises
///
/// - A session that is there all the time while a caller goes through the pages is on one of them,
///   at least once. Those that come and go meanwhile may be or not.
/// - Sessions that have ended are neither listed nor counted, or only for the short while until the
///   store notices.
/// - What [`remove_all`](Self::remove_all) and [`replace_if_current`](Self::replace_if_current) do
///   to one session is one atomic step. Removals are told in the
///   [change feed](SessionStore::changes), each or by [`Change::Lagged`](super::Change::Lagged).
///
/// A store for each tenant (a key prefix, a schema, a file) makes these a tenant's.
#[async_trait]
pub trait SessionAdmin: SessionStore {
    /// Some sessions, about `limit` of them, in no particular order: the first if `after` is `None`,
    /// or those after the page that gave it. A page may be empty with more behind it.
    async fn list(&self, after: Option<&PageToken>, limit: usize) -> Result<Page, StoreError>;

    /// How many sessions there are. It may cost a look at each.
    async fn count(&self) -> Result<u64, StoreError>;

    /// Removes all sessions that are there when it begins. Says how many it removed. If it fails,
    /// some were removed: call it again.
    async fn remove_all(&self) -> Result<u64, StoreError>;

    /// Writes `session` over the one with the same user and id, which has to be there. Says whether
    /// it was. This is no login: the change feed does not tell of it.
    async fn replace_if_current(&self, session: &Session) -> Result<bool, StoreError>;
}

#[async_trait]
impl<S: SessionAdmin + ?Sized> SessionAdmin for Arc<S> {
    async fn list(&self, after: Option<&PageToken>, limit: usize) -> Result<Page, StoreError> {
        (**self).list(after, limit).await
    }

    async fn count(&self) -> Result<u64, StoreError> {
        (**self).count().await
    }

    async fn remove_all(&self) -> Result<u64, StoreError> {
        (**self).remove_all().await
    }

    async fn replace_if_current(&self, session: &Session) -> Result<bool, StoreError> {
        (**self).replace_if_current(session).await
    }
}

/// Some of a store's sessions; from [`SessionAdmin::list`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Some sessions.
    pub sessions: Vec<SessionInfo>,
    /// Where the next page begins. `None`: this was the last.
    pub next: Option<PageToken>,
}

/// A session without its token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionInfo {
    /// Whose.
    pub user: UserId,
    /// Which.
    pub id: SessionId,
    /// When Moojo gave the token.
    pub issued_at: DateTime<Utc>,
    /// When it ends.
    pub expires_at: DateTime<Utc>,
}

impl From<&Session> for SessionInfo {
    fn from(session: &Session) -> Self {
        Self {
            user: session.user().clone(),
            id: session.id(),
            issued_at: session.issued_at(),
            expires_at: session.expires_at(),
        }
    }
}

/// A place in the list of a store's sessions, in the store's own terms.
#[derive(Clone, PartialEq, Eq)]
pub struct PageToken(String);

impl PageToken {
    /// A place as the store writes it, or as a caller kept it.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Its text, for the store to read or a caller to keep.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PageToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PageToken").field(&self.0).finish()
    }
}
