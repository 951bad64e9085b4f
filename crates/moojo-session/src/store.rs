//! Where sessions are kept: the trait that a backend implements, its errors and its change feed.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use crate::session::{Session, SessionId};
use crate::user::UserId;

mod admin;
mod changes;
mod error;
#[cfg(feature = "serde")]
mod exposed;
mod log;
mod memory;
#[cfg(feature = "sealed")]
mod sealed;

pub use admin::{Page, PageToken, SessionAdmin, SessionInfo};
pub use changes::{Change, ChangeStream};
pub use error::{StoreError, StoreErrorKind};
#[cfg(feature = "serde")]
pub use exposed::ExposedSession;
pub use log::StoreLog;
pub use memory::{MemoryStore, MemoryStoreBuilder};
#[cfg(feature = "sealed")]
pub(crate) use sealed::Place as SealedPlace;
#[cfg(feature = "sealed")]
pub use sealed::{InvalidKeyName, KeyRing, Resealed, SealedStore, Sealing, SealingKey};

/// Keeps one session for each user. It is the truth that every process on it shares.
///
/// # What an implementation promises
///
/// - A user has at most one session; the user is part of every key.
/// - [`load`](Self::load) gives exactly what the last [`save`](Self::save) of that user took, or
///   nothing. Never another user's session, never one that has ended.
/// - Every method is one atomic step in the backend, and its effect is there for every process
///   once it has returned. [`remove_if_current`](Self::remove_if_current) above all: between the
///   comparison and the removal no other save may slip in.
/// - A backend that cannot answer says so with a [`StoreError`]; "no session" is an answer that it
///   has to be sure of, because somebody gets an SMS for it.
/// - A method whose future is dropped has happened wholly or not at all.
/// - No token in a log, or in an error or its sources: the manager logs them.
///
/// The feature `conformance` has these as test cases for any store.
///
/// A store needs no cache and no single flight in front of its backend: the
/// [`SessionManager`](crate::SessionManager) has both. It puts a time limit on every call as well.
///
/// # Example
///
/// ```
/// use std::collections::HashMap;
/// use std::sync::Mutex;
/// use moojo_session::{Session, SessionId, SessionStore, StoreError, UserId, async_trait};
///
/// #[derive(Debug, Default)]
/// struct MapStore(Mutex<HashMap<UserId, Session>>);
///
/// #[async_trait]
/// impl SessionStore for MapStore {
///     async fn load(&self, user: &UserId) -> Result<Option<Session>, StoreError> {
///         let session = self.0.lock().unwrap().get(user).cloned();
///         Ok(session.filter(|session| !session.has_expired_at(chrono::Utc::now())))
///     }
///     async fn save(&self, session: &Session) -> Result<(), StoreError> {
///         self.0.lock().unwrap().insert(session.user().clone(), session.clone());
///         Ok(())
///     }
///     async fn remove(&self, user: &UserId) -> Result<bool, StoreError> {
///         Ok(self.0.lock().unwrap().remove(user).is_some())
///     }
///     async fn remove_if_current(&self, user: &UserId, id: SessionId) -> Result<bool, StoreError> {
///         let mut map = self.0.lock().unwrap();
///         let current = map.get(user).is_some_and(|session| session.id() == id);
///         Ok(current && map.remove(user).is_some())
///     }
/// }
/// ```
#[async_trait]
pub trait SessionStore: fmt::Debug + Send + Sync + 'static {
    /// The user's live session; never one that has expired.
    async fn load(&self, user: &UserId) -> Result<Option<Session>, StoreError>;

    /// Replaces whatever the user had.
    async fn save(&self, session: &Session) -> Result<(), StoreError>;

    /// Removes the user's session, whichever it is. Says whether there was one.
    async fn remove(&self, user: &UserId) -> Result<bool, StoreError>;

    /// Removes the session only if it is still the one with this id: one atomic step in the
    /// backend. Says whether it was.
    async fn remove_if_current(&self, user: &UserId, id: SessionId) -> Result<bool, StoreError>;

    /// Saves and removals made by any process on this store, with a [`Change::Lagged`] mark after
    /// a gap. A store without a feed leaves this as it is.
    fn changes(&self) -> ChangeStream {
        ChangeStream::none()
    }
}

#[async_trait]
impl<S: SessionStore + ?Sized> SessionStore for Arc<S> {
    async fn load(&self, user: &UserId) -> Result<Option<Session>, StoreError> {
        (**self).load(user).await
    }

    async fn save(&self, session: &Session) -> Result<(), StoreError> {
        (**self).save(session).await
    }

    async fn remove(&self, user: &UserId) -> Result<bool, StoreError> {
        (**self).remove(user).await
    }

    async fn remove_if_current(&self, user: &UserId, id: SessionId) -> Result<bool, StoreError> {
        (**self).remove_if_current(user, id).await
    }

    fn changes(&self) -> ChangeStream {
        (**self).changes()
    }
}
