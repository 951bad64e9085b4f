//! Changes made by this process: insert, revoke, reject.

use std::sync::Arc;

use super::Inner;
use super::events::Event;
use super::slot::{Locked, SlotRef};
use super::trouble::Call;
use crate::error::Error;
use crate::reauth::ReauthReason;
use crate::session::{Session, SessionId};
use crate::user::UserId;

impl Inner {
    pub(super) async fn insert(self: &Arc<Self>, session: Session) -> Result<(), Error> {
        let steady_end = self.steady_end(&session, self.now());
        self.insert_until(session, steady_end).await
    }

    /// As [`Inner::insert`], for one that was received before and ends then by the steady clock.
    pub(super) async fn insert_until(
        self: &Arc<Self>,
        session: Session,
        steady_end: u64,
    ) -> Result<(), Error> {
        if session.has_expired_at(self.clock.now()) {
            return Err(Error::AlreadyExpired { expires_at: session.expires_at() });
        }
        self.listen();
        let user = session.user().clone();
        let change = Change::begin(self, &user, Some(session.id()));
        let epoch = self.epoch();
        self.limited(Call::Save, self.store.save(&session)).await?;
        let version = change.version;
        change.end(|mut slot| {
            self.answered(&session);
            if let Some(slot) = &mut slot {
                slot.saved(version, session.clone(), steady_end, epoch);
            }
            self.schedule(&session, slot);
        });
        let (id, expires_at) = (session.id(), session.expires_at());
        self.emit(Event::Saved { user, id, expires_at });
        Ok(())
    }

    pub(super) async fn revoke(self: &Arc<Self>, user: &UserId) -> Result<bool, Error> {
        self.listen();
        let mut change = Change::begin(self, user, None);
        change.locked(|slot| slot.begin_revoke());
        change.revokes = true;
        let removed = self.limited(Call::Remove, self.store.remove(user)).await?;
        change.end(|mut slot| {
            if let Some(slot) = &mut slot {
                slot.revoke();
                slot.set_gone(ReauthReason::Revoked);
            }
            self.unschedule(user, slot);
        });
        self.emit(Event::Revoked { user: user.clone() });
        Ok(removed)
    }

    pub(super) async fn reject(
        self: &Arc<Self>,
        user: &UserId,
        id: SessionId,
    ) -> Result<bool, Error> {
        let note = |slot: &mut Locked<'_>| slot.set_gone(ReauthReason::Rejected);
        let removed = self.remove_if_current(user, id, note).await?;
        if removed {
            self.trouble.note_refused(user, self.clock.monotonic());
            self.emit(Event::Rejected { user: user.clone(), id });
        }
        Ok(removed)
    }

    /// Removes what a silent renewal or a login saved while its user was revoked, unless somebody has
    /// logged in since.
    pub(super) async fn take_back(self: &Arc<Self>, session: &Session) -> Result<(), Error> {
        let note = |slot: &mut Locked<'_>| slot.taken_back();
        self.remove_if_current(session.user(), session.id(), note).await.map(drop)
    }

    async fn remove_if_current(
        self: &Arc<Self>,
        user: &UserId,
        id: SessionId,
        note: impl FnOnce(&mut Locked<'_>),
    ) -> Result<bool, Error> {
        self.listen();
        let change = Change::begin(self, user, None);
        change.locked(|slot| slot.refuse(id));
        let removed = self.limited(Call::Remove, self.store.remove_if_current(user, id)).await?;
        change.end(|mut slot| {
            if let Some(slot) = &mut slot {
                slot.refuse(id);
                if removed {
                    note(slot);
                }
            }
            // Not of somebody who has logged in again meanwhile.
            self.unschedule_if(user, |gone| removed && gone == id, slot);
        });
        Ok(removed)
    }
}

/// A change in flight. If it is dropped before it ended, or the store failed, nobody knows whether
/// it happened: what the slot held is in doubt.
struct Change<'a> {
    manager: &'a Arc<Inner>,
    user: &'a UserId,
    /// `None` if the table is full: then nothing is remembered of this user.
    slot: Option<SlotRef>,
    version: u64,
    revokes: bool,
    ended: bool,
}

impl<'a> Change<'a> {
    fn begin(manager: &'a Arc<Inner>, user: &'a UserId, saving: Option<SessionId>) -> Self {
        let now = manager.now();
        let slot = manager.table.pin(user, now.seconds()).ok();
        let version = slot.as_ref().map_or(0, |slot| {
            let mut slot = slot.lock();
            slot.touch(now);
            slot.begin_change(saving)
        });
        Self { manager, user, slot, version, revokes: false, ended: false }
    }

    /// Notes the change in the slot. A removal is noted before the store is told, too: nobody here
    /// uses the session any more, whatever becomes of the change.
    fn locked(&self, note: impl FnOnce(&mut Locked<'_>)) {
        if let Some(slot) = &self.slot {
            note(&mut slot.lock());
        }
    }

    /// The store has made the change.
    fn end(mut self, note: impl FnOnce(Option<&mut Locked<'_>>)) {
        self.ended = true;
        match &self.slot {
            Some(slot) => note(Some(&mut slot.lock())),
            None => note(None),
        }
    }
}

impl Drop for Change<'_> {
    fn drop(&mut self) {
        match &self.slot {
            Some(slot) => {
                let mut locked = slot.lock();
                if !self.ended {
                    locked.change_unknown();
                }
                if self.revokes {
                    locked.end_revoke();
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
