//! Secrets that are encrypted before a backend sees them.

use std::sync::Arc;

use super::StoreError;
use crate::secret::SEALED;

mod keys;
mod place;
mod sessions;

pub(crate) use place::Place;

pub use keys::{InvalidKeyName, KeyRing, SealingKey};
pub use sessions::Resealed;

/// A store in which tokens and phone numbers are encrypted at rest: whoever reads the backend, its
/// backups or its wire finds none.
///
/// It implements what the store behind it does: [`SessionStore`](crate::SessionStore),
/// [`SessionAdmin`](crate::SessionAdmin), [`ChallengeStore`](crate::ChallengeStore),
/// [`LeaseStore`](crate::LeaseStore). A clone of it shares the keys, and is the same store if a clone
/// of what is behind it is.
///
/// # What is sealed
///
/// | | how | bound to |
/// |---|---|---|
/// | a session's token | XChaCha20-Poly1305, a random nonce | tenant, user, session id, both times |
/// | the phone number of a login under way | the same | tenant, user, revision |
/// | the key of a quota, in which a phone number may stand | HMAC-SHA-256: counted, never read | tenant |
///
/// What was copied to another place, or whose end was moved, does not open; that is a [`StoreError`]
/// of the kind `Corrupt`, never "no session". Users, ids, times, the state of a login, leases and
/// Moojo's public id and key stay in clear. That an *old* record is put back in its place is not seen.
///
/// # Keys
///
/// To rotate: first add the new key [as an old one](KeyRing::with_old) in every process, then make it
/// the current one in every process, then [`reseal`](Self::reseal). The old key can go when that has
/// nothing left to do, and the logins under way have ended. Quotas begin anew with the new current
/// key: processes that have another one count for themselves.
///
/// ```
/// use moojo_session::{KeyRing, MemoryStore, SealedStore, SealingKey, SessionManager};
///
/// # fn key_from_your_vault() -> [u8; 32] { [7; 32] }
/// let keys = KeyRing::new(SealingKey::new("2025-02", &key_from_your_vault())?);
/// let sessions = SessionManager::new(SealedStore::new(MemoryStore::new(), keys));
/// # Ok::<(), moojo_session::InvalidKeyName>(())
/// ```
///
/// [`Sealing`] says how to get from plain records to sealed ones, and back, while all are in use.
#[derive(Debug, Clone)]
pub struct SealedStore<S> {
    store: S,
    keys: KeyRing,
    tenant: Arc<str>,
    sealing: Sealing,
}

/// Whether a [`SealedStore`] seals what it writes, and whether it takes what is plain.
///
/// A fleet that runs without sealing goes over to it step by step, with nobody logged out. Each step
/// is to have reached **every** process before the next one begins.
///
/// 1. [`Allow`](Self::Allow), with the keys: nothing changes yet, but what is sealed can be read.
/// 2. [`Prefer`](Self::Prefer): what is written is sealed from now on.
/// 3. [`SealedStore::reseal`], once, in one process: it seals the sessions that are still plain.
///    Logins under way are not among them: they end by themselves.
/// 4. [`Require`](Self::Require), when `reseal` has nothing left to do and the logins that were under
///    way in step 1 have ended: a quarter of an hour after step 2, unless the flow's codes live longer
///    than their 10 minutes.
///
/// `reseal` takes what is plain for true, also what somebody planted. Where that is to be feared, leave
/// it out and wait for the two hours until all older sessions have ended.
///
/// Quotas are counted under other keys from `Prefer` on, and so begin anew there: until their windows
/// are over, up to twice as much is admitted.
///
/// The way back is the same the other way round: `Prefer`, then `Allow`, then `reseal`, which now opens
/// what is sealed, and when the logins under way have ended, no `SealedStore`.
///
/// ```
/// use moojo_session::{KeyRing, MemoryStore, Sealing, SealedStore, SealingKey};
///
/// let keys = KeyRing::new(SealingKey::new("2025-02", &[7; 32])?);
/// let store = SealedStore::new(MemoryStore::new(), keys).sealing(Sealing::Allow);
/// # Ok::<(), moojo_session::InvalidKeyName>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Sealing {
    /// Reads both, writes plain.
    Allow,
    /// Reads both, writes sealed. Whoever can write into the backend can still plant a session.
    Prefer,
    /// Reads and writes sealed only: what is plain is `Corrupt`. The default.
    #[default]
    Require,
}

impl<S> SealedStore<S> {
    /// Seals what goes into `store`.
    pub fn new(store: S, keys: KeyRing) -> Self {
        Self { store, keys, tenant: "".into(), sealing: Sealing::default() }
    }

    /// Binds what is sealed to this tenant, too. What was sealed for another does not open.
    #[must_use]
    pub fn tenant(mut self, tenant: &str) -> Self {
        self.tenant = tenant.into();
        self
    }

    /// Whether to seal, and whether to take what is plain. Default: [`Sealing::Require`].
    #[must_use]
    pub fn sealing(mut self, sealing: Sealing) -> Self {
        self.sealing = sealing;
        self
    }

    /// The store behind it.
    pub(crate) fn inner(&self) -> &S {
        &self.store
    }

    /// The place, in this tenant's store, of a secret. `what` is its kind, in which no two uses are
    /// alike (domain separation).
    pub(crate) fn place(&self, what: &'static str, parts: &[&[u8]]) -> Place {
        Place::new(what, &[&[self.tenant.as_bytes()], parts].concat())
    }

    /// A secret as the backend is to keep it, or `None`: as it is.
    pub(crate) fn seal(&self, secret: &str, place: &Place) -> Result<Option<String>, StoreError> {
        match self.sealing {
            Sealing::Allow => Ok(None),
            Sealing::Prefer | Sealing::Require => self.keys.seal(secret, place).map(Some),
        }
    }

    /// The secret that the backend kept, or `None`: it is plain, and may be.
    pub(crate) fn open(&self, kept: &str, place: &Place) -> Result<Option<String>, StoreError> {
        if self.sealing != Sealing::Require && !kept.starts_with(SEALED) {
            return Ok(None);
        }
        self.keys.open(kept, place).map(Some)
    }

    /// What the backend is to call this place, or `None`: by its own name.
    pub(crate) fn hash(&self, place: &Place) -> Option<String> {
        (self.sealing != Sealing::Allow).then(|| self.keys.hash(place))
    }

    /// Whether the backend keeps it as this store would write it.
    fn is_current(&self, kept: &str) -> bool {
        match self.sealing {
            Sealing::Allow => !kept.starts_with(SEALED),
            Sealing::Prefer | Sealing::Require => self.keys.is_current(kept),
        }
    }
}
