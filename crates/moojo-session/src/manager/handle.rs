use std::fmt;

use super::ManagerId;
use super::slot::{Slot, SlotRef};
use crate::user::UserId;

/// One user of a [`SessionManager`](crate::SessionManager); from
/// [`SessionManager::handle`](crate::SessionManager::handle).
///
/// In a request's extensions it binds the user to the request, as a [`UserId`] does, and spares the
/// layer the lookup. It stays good through logins, refusals and revocations. To a layer over
/// another manager it is the user's name and nothing more.
///
/// ```
/// use moojo_session::{MemoryStore, SessionManager, UserId};
///
/// let sessions = SessionManager::new(MemoryStore::new());
/// let alice = sessions.handle(&UserId::new("alice")?);
///
/// let mut request = http::Request::post("https://api.moojo.id/user/vault/list-credentials").body(())?;
/// request.extensions_mut().insert(alice.clone());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct UserHandle {
    slot: SlotRef,
    manager: ManagerId,
}

impl UserHandle {
    pub(super) fn new(slot: SlotRef, manager: ManagerId) -> Self {
        Self { slot, manager }
    }

    /// Whose handle it is.
    pub fn user(&self) -> &UserId {
        self.slot.user()
    }

    pub(super) fn slot(&self) -> &Slot {
        &self.slot
    }

    pub(super) fn manager(&self) -> ManagerId {
        self.manager
    }
}

impl fmt::Debug for UserHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("UserHandle").field(self.user()).finish()
    }
}
