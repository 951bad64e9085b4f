//! The shared load: one for all who ask for a user at the same time.

use std::sync::Arc;

use tokio::sync::watch;

use super::Inner;
use super::slot::{Load, Loaded, Slot};
use crate::error::Error;
use crate::session::{Session, SessionId};
use crate::store::StoreError;

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
                Some(Loaded::Gone) => return Err(self.reauth_required(slot).into()),
                Some(Loaded::Failed(error)) => return Err(error.into()),
                // In the slot, unless it was changed since: look again.
                Some(Loaded::Live) | None => {}
            }
        }
        Err(changes_too_fast().into())
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
        let mut loaded = None;
        for _ in 0..ATTEMPTS {
            loaded = self.attempt().await;
            if loaded.is_some() {
                break;
            }
        }
        let loaded = loaded.unwrap_or_else(|| Loaded::Failed(changes_too_fast()));
        self.result.send_replace(Some(loaded));
    }

    /// One load. `None` if the session was changed meanwhile, so that what was read may be what is
    /// no longer there.
    async fn attempt(&self) -> Option<Loaded> {
        let Self { manager, slot, .. } = self;
        let version = slot.lock().version();
        let epoch = manager.epoch();
        let found = match manager.limited(manager.store.load(slot.user())).await {
            Ok(found) => found,
            Err(error) => return Some(Loaded::Failed(error)),
        };
        match self.settle(found, version, epoch) {
            Settled::Changed => None,
            Settled::Over(loaded) => Some(loaded),
            Settled::HasEnded(id) => {
                // If this fails, the next load comes here again.
                let removal = manager.store.remove_if_current(slot.user(), id);
                let _ = manager.limited(removal).await;
                Some(Loaded::Gone)
            }
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
            slot.loaded_nothing(false);
            return Settled::Over(Loaded::Gone);
        };
        if session.user() != self.slot.user() {
            // Rule 1. Not cached, not used, and no reason to prompt anybody.
            let error = StoreError::corrupt("the store gave the session of another user");
            return Settled::Over(Loaded::Failed(error));
        }
        if slot.has_seen_end_of(session.id()) {
            slot.loaded_nothing(true);
            return Settled::HasEnded(session.id());
        }
        if now.wall >= session.expires_nanos() {
            slot.loaded_nothing(true);
            return Settled::Over(Loaded::Gone);
        }
        let steady_end = self.manager.steady_end(&session, now);
        slot.loaded(session, steady_end, epoch);
        Settled::Over(Loaded::Live)
    }
}

enum Settled {
    Over(Loaded),
    /// The session was changed while it was being read.
    Changed,
    /// This process saw the session end by the steady clock, and the store, which goes by a wall
    /// clock that was set back, still has it (rule 4).
    HasEnded(SessionId),
}

impl Drop for LoadTask {
    /// Over, or the store panicked, or the runtime goes: the next caller starts anew. Those who
    /// wait for this load see its result, or the channel closed.
    fn drop(&mut self) {
        self.slot.lock().set_load(None);
    }
}

fn changes_too_fast() -> StoreError {
    StoreError::unavailable("the user's session changes faster than it can be read")
}
