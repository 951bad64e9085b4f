//! Tokens that are encrypted before a backend sees them.

use async_trait::async_trait;

use super::{
    ChangeStream, Page, PageToken, SessionAdmin, SessionStore, StoreError, StoreErrorKind,
};
use crate::session::{Session, SessionId};
use crate::user::UserId;

mod keys;

pub use keys::{InvalidKeyName, KeyRing, SealingKey};

/// A store in which tokens are encrypted at rest: whoever reads the backend, its backups or its wire
/// finds none.
///
/// A token is sealed with XChaCha20-Poly1305 under the ring's current key and a random nonce, and
/// bound to its user, tenant, session id and times: a record that is copied to another user, or whose
/// end is moved, does not open. Users, ids, times and Moojo's public id and key stay in clear. What does not
/// open is a [`StoreError`] of the kind `Corrupt`, never "no session".
///
/// # Keys
///
/// To rotate: first add the new key [as an old one](KeyRing::with_old) in every process, then make it
/// the current one, then [`reseal`](Self::reseal); two hours later, when all older sessions have
/// ended, the old key can go.
///
/// ```
/// use moojo_session::{KeyRing, MemoryStore, SealedStore, SealingKey, SessionManager};
///
/// # fn key_from_your_vault() -> [u8; 32] { [7; 32] }
/// let keys = KeyRing::new(SealingKey::new("2025-02", &key_from_your_vault())?);
/// let sessions = SessionManager::new(SealedStore::new(MemoryStore::new(), keys));
/// # Ok::<(), moojo_session::InvalidKeyName>(())
/// ```
#[derive(Debug)]
pub struct SealedStore<S> {
    store: S,
    keys: KeyRing,
    tenant: Box<str>,
    accepts_clear: bool,
}

/// What [`SealedStore::reseal`] did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Resealed {
    /// Sessions that are now sealed with the current key.
    pub resealed: u64,
    /// Sessions that were already, or that changed or ended meanwhile.
    pub kept: u64,
    /// Sessions that cannot be read, or do not open. They stay as they are.
    pub unreadable: u64,
}

impl<S> SealedStore<S> {
    /// Seals what goes into `store`.
    pub fn new(store: S, keys: KeyRing) -> Self {
        Self { store, keys, tenant: "".into(), accepts_clear: false }
    }

    /// Binds tokens to this tenant, too. What was sealed for another does not open.
    #[must_use]
    pub fn tenant(mut self, tenant: &str) -> Self {
        self.tenant = tenant.into();
        self
    }

    /// Also gives out sessions whose token is in clear, from before this store was put in front:
    /// until they were [resealed](Self::reseal), or have ended. Whoever can write into the backend can
    /// then write sessions of their own. Default: they are `Corrupt`.
    #[must_use]
    pub fn accept_clear(mut self, accept: bool) -> Self {
        self.accepts_clear = accept;
        self
    }

    fn seal(&self, session: &Session) -> Result<Session, StoreError> {
        self.keys.seal(session, &self.tenant)
    }

    /// The session that was found in the place of `user`.
    fn open(&self, user: &UserId, session: Session) -> Result<Session, StoreError> {
        if session.user() != user {
            return Err(StoreError::corrupt("the session in the user's place is another user's"));
        }
        if self.accepts_clear && keys::is_in_clear(&session) {
            return Ok(session);
        }
        self.keys.open(&session, &self.tenant)
    }
}

impl<S: SessionAdmin> SealedStore<S> {
    /// Seals all sessions with the current key that are not yet. They may be in use meanwhile, and
    /// several processes may do it at once. If it fails, some were resealed: call it again.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn reseal(&self) -> Result<Resealed, StoreError> {
        let mut done = Resealed::default();
        let mut after = None;
        loop {
            let page = self.store.list(after.as_ref(), 500).await?;
            for info in page.sessions {
                *self.reseal_one(&info.user, &mut done).await? += 1;
            }
            after = page.next;
            if after.is_none() {
                return Ok(done);
            }
        }
    }

    async fn reseal_one<'a>(
        &self,
        user: &UserId,
        done: &'a mut Resealed,
    ) -> Result<&'a mut u64, StoreError> {
        let sealed = match self.store.load(user).await {
            // The others are not to wait for it.
            Err(error) if error.kind() == StoreErrorKind::Corrupt => {
                return Ok(&mut done.unreadable);
            }
            loaded => loaded?,
        };
        let Some(sealed) = sealed.filter(|sealed| !self.keys.is_current(sealed)) else {
            return Ok(&mut done.kept);
        };
        let Ok(session) = self.open(user, sealed) else { return Ok(&mut done.unreadable) };
        let replaced = self.store.replace_if_current(&self.seal(&session)?).await?;
        Ok(if replaced { &mut done.resealed } else { &mut done.kept })
    }
}

#[async_trait]
impl<S: SessionStore> SessionStore for SealedStore<S> {
    async fn load(&self, user: &UserId) -> Result<Option<Session>, StoreError> {
        self.store.load(user).await?.map(|session| self.open(user, session)).transpose()
    }

    async fn save(&self, session: &Session) -> Result<(), StoreError> {
        self.store.save(&self.seal(session)?).await
    }

    async fn remove(&self, user: &UserId) -> Result<bool, StoreError> {
        self.store.remove(user).await
    }

    async fn remove_if_current(&self, user: &UserId, id: SessionId) -> Result<bool, StoreError> {
        self.store.remove_if_current(user, id).await
    }

    fn changes(&self) -> ChangeStream {
        self.store.changes()
    }
}

#[async_trait]
impl<S: SessionAdmin> SessionAdmin for SealedStore<S> {
    async fn list(&self, after: Option<&PageToken>, limit: usize) -> Result<Page, StoreError> {
        self.store.list(after, limit).await
    }

    async fn count(&self) -> Result<u64, StoreError> {
        self.store.count().await
    }

    async fn remove_all(&self) -> Result<u64, StoreError> {
        self.store.remove_all().await
    }

    async fn replace_if_current(&self, session: &Session) -> Result<bool, StoreError> {
        self.store.replace_if_current(&self.seal(session)?).await
    }
}
