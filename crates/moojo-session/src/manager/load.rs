//! The shared load: one for all who ask for a user at the same time.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::Inner;
use super::breaker::is_outage;
use super::events::Event;
use super::queue::Want;
use super::slot::{Load, Loaded, Locked, Slot, SlotRef};
use super::trouble::Call;
use crate::error::Error;
use crate::reauth::{ReauthReason, ReauthRequired};
use crate::session::Session;
use crate::store::StoreError;
use crate::sync::{sleep, spawn, timeout};
use crate::user::UserId;

/// How often a user's session may change while it is being read before the reader gives up.
const ATTEMPTS: u32 = 16;

impl Inner {
    /// The live session of the slot's user, from the slot or from the store. If there is none, the
    /// user has to log in: that becomes a request. What was missing a moment ago still is.
    pub(super) async fn get(self: &Arc<Self>, slot: &SlotRef) -> Result<Session, Error> {
        let missed = slot.lock().missed(self.moment(), self.epoch());
        let looked = match missed.filter(|_| self.feed.hears_at_once()) {
            Some(reason) => Err(self.signal(slot.user(), reason).into()),
            None => self.look_or_last_known(slot, false).await,
        };
        let signal = match looked {
            Err(Error::ReauthRequired(signal)) => signal,
            other => return other,
        };
        let locked = slot.lock();
        if let Some(session) = locked.live(self.now(), self.epoch()) {
            return Ok(session);
        }
        self.want(&Want::new(&signal, None));
        Err(signal.into())
    }

    /// As [`Inner::look`], but while the store cannot be asked, the session last seen is good until its
    /// end (rule 6).
    pub(super) async fn look_or_last_known(
        self: &Arc<Self>,
        slot: &SlotRef,
        in_turn: bool,
    ) -> Result<Session, Error> {
        match self.look(slot, in_turn).await {
            Err(Error::Store(error)) if is_outage(&error) => {
                slot.last_known(self.now()).ok_or(Error::Store(error))
            }
            other => other,
        }
    }

    /// The live session, from the slot or from the store, or the signal that there is none. Asks nobody
    /// to log in. `in_turn`: a load waits for one of the manager's turns, for who looks again together
    /// with many others.
    pub(super) async fn look(
        self: &Arc<Self>,
        slot: &SlotRef,
        in_turn: bool,
    ) -> Result<Session, Error> {
        let mut given_up = false;
        for _ in 0..ATTEMPTS {
            let mut load = match self.live_or_load(slot, in_turn) {
                Ok(session) => return Ok(session),
                Err(load) => load,
            };
            // Limited here as well: the runtime that the load runs on may stand still.
            let over = async { load.wait_for(Option::is_some).await.is_ok() };
            match timeout(self.load_timeout(), over).await {
                Err(elapsed) => {
                    slot.lock().end_load(&load);
                    return Err(StoreError::timed_out(elapsed).into());
                }
                // The load was given up: its runtime went, or the store panicked. Once again here.
                Ok(false) if given_up => return Err(no_answer().into()),
                Ok(false) => given_up = true,
                Ok(true) => {}
            }
            let loaded = load.borrow().clone();
            match loaded {
                Some(Loaded::Gone(reason, version, epoch))
                    if epoch == self.epoch() && self.is_gone(slot, version) =>
                {
                    return Err(self.signal(slot.user(), reason).into());
                }
                Some(Loaded::Failed(error)) => return Err(error.into()),
                // In the slot, unless it was changed or a change was missed since: look again.
                Some(Loaded::Live | Loaded::Gone(..)) | None => {}
            }
        }
        Err(changes_too_fast().into())
    }

    /// One load, unless the store is resting. Changes are always made: somebody has typed a code.
    pub(super) async fn load(&self, user: &UserId) -> Result<Option<Session>, StoreError> {
        self.breaker.admit(self.moment(), self.store_timeout)?;
        self.load_now(user).await
    }

    /// One load, whether the store is resting or not.
    pub(super) async fn load_now(&self, user: &UserId) -> Result<Option<Session>, StoreError> {
        let read = async { usable(self.store.load(user).await?, user) };
        self.limited(Call::Load, read).await
    }

    /// Whether there still is no session, as a load found at `version`.
    fn is_gone(&self, slot: &Slot, version: u64) -> bool {
        let mut slot = slot.lock();
        slot.live(self.now(), self.epoch()).is_none() && slot.is_still_gone(version)
    }

    pub(super) fn signal(&self, user: &UserId, reason: ReauthReason) -> ReauthRequired {
        ReauthRequired::new(user.clone(), reason, self.clock.now())
    }

    /// The session in the slot, or the load to wait for, which is started if none is in flight.
    fn live_or_load(self: &Arc<Self>, slot: &SlotRef, in_turn: bool) -> Result<Session, Load> {
        // Before the load, so that no change between the two is missed.
        self.listen();
        let now = self.now();
        let mut locked = slot.lock();
        if let Some(session) = locked.live(now, self.epoch()) {
            return Ok(session);
        }
        let expired = locked.take_expired(now);
        let under_way = locked.load();
        let (result, load) = watch::channel(None);
        if under_way.is_none() {
            locked.start_load(load.clone());
        }
        drop(locked);
        if let Some(id) = expired {
            self.expired(slot.user(), id);
        }
        if let Some(load) = under_way {
            return Err(load);
        }
        // A task of its own: it survives the caller that started it (rule 10). Not under the lock,
        // which the task takes when it is dropped, and a runtime that ends drops it at once.
        let (manager, slot) = (Arc::clone(self), SlotRef::clone(slot));
        let task = LoadTask { manager, slot, result, load: load.clone(), in_turn };
        spawn(task.run());
        Err(load)
    }
}

struct LoadTask {
    manager: Arc<Inner>,
    slot: SlotRef,
    result: watch::Sender<Option<Loaded>>,
    /// The other end of `result`, by which the slot knows this load.
    load: Load,
    in_turn: bool,
}

impl LoadTask {
    async fn run(self) {
        let mut may_renew = self.manager.renewal.is_some();
        for attempt in 0..ATTEMPTS {
            match self.attempt(may_renew).await {
                Settled::Renew(reason) => {
                    // The store is asked again, unless it is what failed (rule 6).
                    if let Err(error) = self.manager.renew(&self.slot, reason, None).await {
                        return self.answer(Loaded::Failed(error));
                    }
                    may_renew = false;
                }
                // At once; then more and more slowly, for whoever is at work to come to an end.
                Settled::Changed if attempt == 0 => {}
                Settled::Changed => sleep(pause(attempt)).await,
                Settled::Over(loaded) => return self.answer(loaded),
            }
        }
        self.answer(Loaded::Failed(changes_too_fast()));
    }

    fn answer(&self, loaded: Loaded) {
        self.slot.lock().end_load(&self.load);
        self.result.send_replace(Some(loaded));
    }

    async fn attempt(&self, may_renew: bool) -> Settled {
        let Self { manager, slot, .. } = self;
        let _turn = match self.in_turn {
            true => Some(manager.turns.acquire().await),
            false => None,
        };
        let version = {
            let mut slot = slot.lock();
            if !slot.is_loading(&self.load) {
                // Given up while it waited for its turn.
                return Settled::Over(Loaded::Live);
            }
            slot.version()
        };
        let epoch = manager.epoch();
        match manager.load(slot.user()).await {
            Ok(found) => self.settle(found, version, epoch, may_renew),
            Err(error) => Settled::Over(Loaded::Failed(error)),
        }
    }

    /// Judges what the store gave, and leaves the slot accordingly.
    fn settle(&self, found: Option<Session>, version: u64, epoch: u32, may_renew: bool) -> Settled {
        let now = self.manager.now();
        let mut slot = self.slot.lock();
        if !slot.is_loading(&self.load) {
            // Given up, because its runtime stood still, it knows nothing of what happened since.
            return Settled::Over(Loaded::Live);
        }
        if slot.version() != version {
            return Settled::Changed;
        }
        let Some(session) = found else {
            return self.nothing(slot, false, epoch, may_renew);
        };
        if slot.is_refused(session.id()) {
            return Settled::Changed;
        }
        if slot.is_unwanted(session.id()) {
            return self.nothing(slot, false, epoch, may_renew);
        }
        if slot.has_ended(&session, now) {
            return self.nothing(slot, true, epoch, may_renew);
        }
        let steady_end = self.manager.steady_end(&session, now);
        self.manager.answered(&session);
        slot.loaded(session.clone(), steady_end, epoch);
        self.manager.schedule(&session, Some(&mut slot));
        Settled::Over(Loaded::Live)
    }

    /// There is no live session. The first to find that since there was one tells of it.
    fn nothing(&self, mut slot: Locked<'_>, expired: bool, epoch: u32, may_renew: bool) -> Settled {
        if may_renew && let Some(reason) = slot.reason_to_renew(expired, self.manager.moment()) {
            return Settled::Renew(reason);
        }
        self.manager.unschedule(self.slot.user(), Some(&mut slot));
        let (reason, first) = slot.loaded_nothing(expired);
        slot.set_missed(self.manager.moment_after(self.manager.miss_life), epoch);
        let version = slot.version();
        drop(slot);
        if first {
            let signal = self.manager.signal(self.slot.user(), reason);
            self.manager.emit(Event::ReauthRequired(signal));
        }
        Settled::Over(Loaded::Gone(reason, version, epoch))
    }
}

enum Settled {
    Over(Loaded),
    /// The session was changed while it was being read.
    Changed,
    /// There is none, and there may be a way to one without the person.
    Renew(ReauthReason),
}

impl Drop for LoadTask {
    /// Without an answer the store has panicked, or the runtime goes: the next caller starts anew,
    /// and those who wait for this load see the channel closed.
    fn drop(&mut self) {
        if self.result.borrow().is_none() {
            self.slot.lock().end_load(&self.load);
        }
    }
}

/// What the store gave. What nobody can use is not cached, and no reason to prompt anybody.
fn usable(found: Option<Session>, user: &UserId) -> Result<Option<Session>, StoreError> {
    match &found {
        // Rule 1.
        Some(session) if session.user() != user => {
            Err(StoreError::corrupt("the store gave the session of another user"))
        }
        // It would go out as it is, be refused, and be removed for those who can open it.
        Some(session) if session.is_sealed() => {
            Err(StoreError::corrupt("the token is sealed, and no SealedStore is in front"))
        }
        _ => Ok(found),
    }
}

fn pause(attempt: u32) -> Duration {
    Duration::from_millis(1 << attempt.min(7))
}

pub(super) fn no_answer() -> StoreError {
    StoreError::unavailable("the store panicked, or the runtime is shutting down")
}

fn changes_too_fast() -> StoreError {
    StoreError::unavailable("the user's session changes faster than it can be read")
}
