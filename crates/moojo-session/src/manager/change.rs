//! Changes made by this process: insert, revoke, reject.

use std::sync::Arc;

use super::Inner;
use super::events::Event;
use super::slot::Slot;
use crate::error::Error;
use crate::reauth::ReauthReason;
use crate::session::{Session, SessionId};
use crate::user::UserId;

impl Inner {
    pub(super) async fn insert(self: &Arc<Self>, session: Session) -> Result<(), Error> {
        if session.has_expired_at(self.clock.now()) {
            return Err(Error::AlreadyExpired { expires_at: session.expires_at() });
        }
        self.listen();
        let user = session.user().clone();
        let change = Change::begin(self, &user, Some(session.id()));
        let epoch = self.epoch();
        self.limited(self.store.save(&session)).await?;
        change.saved(&session, epoch);
        let (id, expires_at) = (session.id(), session.expires_at());
        self.emit(Event::Saved { user, id, expires_at });
        Ok(())
    }

    pub(super) async fn revoke(self: &Arc<Self>, user: &UserId) -> Result<bool, Error> {
        self.listen();
        let change = Change::begin(self, user, None);
        change.forget(None);
        let removed = self.limited(self.store.remove(user)).await?;
        change.removed(None, Some(ReauthReason::Revoked));
        self.emit(Event::Revoked { user: user.clone() });
        Ok(removed)
    }

    pub(super) async fn reject(self: &Arc<Self>, refused: &Session) -> Result<bool, Error> {
        self.listen();
        let (user, id) = (refused.user(), refused.id());
        let change = Change::begin(self, user, None);
        change.forget(Some(id));
        let removed = self.limited(self.store.remove_if_current(user, id)).await?;
        change.removed(Some(id), removed.then_some(ReauthReason::Rejected));
        if removed {
            self.emit(Event::Rejected { user: user.clone(), id });
        }
        Ok(removed)
    }
}

/// A change in flight. If it is dropped before it ended, or the store failed, nobody knows whether
/// it happened: what the slot held is in doubt.
struct Change<'a> {
    manager: &'a Arc<Inner>,
    user: &'a UserId,
    /// `None` if the table is full: then nothing is remembered of this user.
    slot: Option<Arc<Slot>>,
    version: u64,
    ended: bool,
}

impl<'a> Change<'a> {
    fn begin(manager: &'a Arc<Inner>, user: &'a UserId, saving: Option<SessionId>) -> Self {
        let now = manager.now();
        let slot = manager.table.pin(user, now.seconds()).ok();
        let version = slot.as_ref().map_or(0, |slot| {
            slot.touch(now);
            slot.lock().begin_change(saving)
        });
        Self { manager, user, slot, version, ended: false }
    }

    /// Takes the session out of the slot before the store has done so: nobody here uses it any
    /// more, whatever becomes of the change.
    fn forget(&self, id: Option<SessionId>) {
        if let Some(slot) = &self.slot {
            slot.lock().removed(id, None);
        }
    }

    fn saved(mut self, session: &Session, epoch: u32) {
        self.ended = true;
        let Some(slot) = &self.slot else { return };
        let steady_end = self.manager.steady_end(session, self.manager.now());
        slot.lock().saved(self.version, session.clone(), steady_end, epoch);
    }

    fn removed(mut self, id: Option<SessionId>, reason: Option<ReauthReason>) {
        self.ended = true;
        let Some(slot) = &self.slot else { return };
        slot.lock().removed(id, reason);
    }
}

impl Drop for Change<'_> {
    fn drop(&mut self) {
        match &self.slot {
            Some(slot) => {
                let mut locked = slot.lock();
                if !self.ended {
                    locked.doubt();
                }
                locked.end_change();
            }
            // Another may have found room for this user meanwhile, and have read what was there
            // before the change.
            None => {
                if let Some(slot) = self.manager.table.get(self.user) {
                    slot.lock().doubt();
                }
            }
        }
    }
}
