//! The shared load: one for all who ask for a user at the same time.

use std::sync::Arc;

use tokio::sync::watch;

use super::Inner;
use super::slot::{Load, Loaded, Slot};
use crate::error::Error;
use crate::session::Session;
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
        let found = manager.limited(manager.store.load(slot.user())).await;

        let now = manager.now();
        let mut locked = slot.lock();
        if locked.version() != version {
            return None;
        }
        let session = match found {
            Ok(session) => session,
            Err(error) => return Some(Loaded::Failed(error)),
        };
        let Some(session) = session else {
            locked.loaded_nothing(false);
            return Some(Loaded::Gone);
        };
        if session.user() != slot.user() {
            // Rule 1. Not cached, not used, and no reason to prompt anybody.
            return Some(Loaded::Failed(StoreError::corrupt(
                "the store gave the session of another user",
            )));
        }
        if now.wall >= session.expires_nanos() {
            locked.loaded_nothing(true);
            return Some(Loaded::Gone);
        }
        let steady_end = manager.steady_end(&session, now);
        locked.loaded(session, steady_end, epoch);
        Some(Loaded::Live)
    }
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
