//! The shared load: one for all who ask for a user at the same time.

use std::sync::Arc;

use tokio::sync::watch;

use super::Inner;
use super::events::Event;
use super::slot::{Load, Loaded, Locked, Slot};
use crate::error::Error;
use crate::reauth::{ReauthReason, ReauthRequired};
use crate::session::{Session, SessionId};
use crate::store::StoreError;
use crate::user::UserId;

/// How often a user's session may change while it is being read before the reader gives up.
const ATTEMPTS: usize = 16;

impl Inner {
    /// The live session of the slot's user, from the slot or from the store.
    pub(super) async fn get(self: &Arc<Self>, slot: &Arc<Slot>) -> Result<Session, Error> {
        for _ in 0..ATTEMPTS {
            let mut load = match self.live_or_load(slot) {
                Ok(session) => return Ok(session),
                Err(load) => load,
            };
            let loaded = match load.wait_for(Option::is_some).await {
                Ok(loaded) => loaded.clone(),
                Err(_) => Some(Loaded::Failed(StoreError::unavailable("the load was given up"))),
            };
            match loaded {
                Some(Loaded::Gone(reason)) => return self.gone(slot, reason),
                Some(Loaded::Failed(error)) => return Err(error.into()),
                // In the slot, unless it was changed since: look again.
                Some(Loaded::Live) | None => {}
            }
        }
        Err(changes_too_fast().into())
    }

    /// There was no session, for this reason; unless one has arrived since.
    fn gone(&self, slot: &Slot, reason: ReauthReason) -> Result<Session, Error> {
        slot.live(self.now(), self.epoch()).ok_or_else(|| self.signal(slot.user(), reason).into())
    }

    fn signal(&self, user: &UserId, reason: ReauthReason) -> ReauthRequired {
        ReauthRequired::new(user.clone(), reason, self.clock.now())
    }

    /// The session in the slot, or the load to wait for, which is started if none is in flight.
    fn live_or_load(self: &Arc<Self>, slot: &Arc<Slot>) -> Result<Session, Load> {
        // Before the load, so that no change between the two is missed.
        self.listen();
        let now = self.now();
        let mut locked = slot.lock();
        if let Some(session) = locked.live(now, self.epoch()) {
            return Ok(session);
        }
        let expired = locked.take_expired(now);
        let load = locked.load().unwrap_or_else(|| {
            let (result, load) = watch::channel(None);
            locked.set_load(Some(load.clone()));
            let task = LoadTask { manager: Arc::clone(self), slot: Arc::clone(slot), result };
            // A task of its own: it survives the caller that started it (rule 10).
            tokio::spawn(task.run());
            load
        });
        drop(locked);
        if let Some(id) = expired {
            self.expired(slot.user(), id);
        }
        Err(load)
    }
}

struct LoadTask {
    manager: Arc<Inner>,
    slot: Arc<Slot>,
    result: watch::Sender<Option<Loaded>>,
}

impl LoadTask {
    async fn run(self) {
        for _ in 0..ATTEMPTS {
            match self.attempt().await {
                Settled::Changed => {}
                Settled::Over(loaded) => return self.answer(loaded),
                Settled::HasEnded(id, reason) => {
                    self.answer(Loaded::Gone(reason));
                    // If this fails, the next load comes here again.
                    let Self { manager, slot, .. } = &self;
                    let removal = manager.store.remove_if_current(slot.user(), id);
                    let _ = manager.limited(removal).await;
                    return;
                }
            }
        }
        self.answer(Loaded::Failed(changes_too_fast()));
    }

    fn answer(&self, loaded: Loaded) {
        self.slot.lock().set_load(None);
        self.result.send_replace(Some(loaded));
    }

    async fn attempt(&self) -> Settled {
        let Self { manager, slot, .. } = self;
        let version = slot.lock().version();
        let epoch = manager.epoch();
        match manager.limited(manager.store.load(slot.user())).await {
            Ok(found) => self.settle(found, version, epoch),
            Err(error) => Settled::Over(Loaded::Failed(error)),
        }
    }

    /// Judges what the store gave, and leaves the slot accordingly.
    fn settle(&self, found: Option<Session>, version: u64, epoch: u32) -> Settled {
        let now = self.manager.now();
        let mut slot = self.slot.lock();
        if slot.version() != version {
            return Settled::Changed;
        }
        let Some(session) = found else {
            return Settled::Over(Loaded::Gone(self.nothing(slot, false)));
        };
        if session.user() != self.slot.user() {
            // Rule 1. Not cached, not used, and no reason to prompt anybody.
            let error = StoreError::corrupt("the store gave the session of another user");
            return Settled::Over(Loaded::Failed(error));
        }
        if slot.has_seen_end_of(session.id()) {
            return Settled::HasEnded(session.id(), self.nothing(slot, true));
        }
        if now.wall >= session.expires_nanos() {
            return Settled::Over(Loaded::Gone(self.nothing(slot, true)));
        }
        let steady_end = self.manager.steady_end(&session, now);
        slot.loaded(session, steady_end, epoch);
        Settled::Over(Loaded::Live)
    }

    /// There is no live session. The first to find that since there was one tells of it.
    fn nothing(&self, mut slot: Locked<'_>, expired: bool) -> ReauthReason {
        let (reason, first) = slot.loaded_nothing(expired);
        drop(slot);
        if first {
            let signal = self.manager.signal(self.slot.user(), reason);
            self.manager.emit(Event::ReauthRequired(signal));
        }
        reason
    }
}

enum Settled {
    Over(Loaded),
    /// The session was changed while it was being read.
    Changed,
    /// This process saw the session end by the steady clock, and the store, which goes by a wall
    /// clock that was set back, still has it (rule 4).
    HasEnded(SessionId, ReauthReason),
}

impl Drop for LoadTask {
    /// Without an answer the store has panicked, or the runtime goes: the next caller starts anew,
    /// and those who wait for this load see the channel closed.
    fn drop(&mut self) {
        if self.result.borrow().is_none() {
            self.slot.lock().set_load(None);
        }
    }
}

fn changes_too_fast() -> StoreError {
    StoreError::unavailable("the user's session changes faster than it can be read")
}
