//! Silent renewal: a session without the person, where there is a way.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{oneshot, watch};

use super::Inner;
use super::slot::{Renewing, SlotRef};
use super::wait::lives;
use crate::error::Error;
use crate::reauth::{ReauthReason, Reauthenticate};
use crate::session::Session;
use crate::shown::Chain;
use crate::store::StoreError;
use crate::sync::{JoinHandle, spawn, timeout};

/// How the manager renews, if it can.
pub(super) struct Renewal {
    pub(super) hook: Arc<dyn Reauthenticate>,
    pub(super) timeout: Duration,
    /// How long a user is left alone after it could not help, at first and at most.
    pub(super) pause: (Duration, Duration),
}

impl Inner {
    /// Tries it, or waits for the try that is under way, unless it was of no help a moment ago or
    /// there is a session by now that ends when it is needed to. What the hook gives is saved, unless
    /// the store has a session by then that lives as long; that the store does not take it is no
    /// reason to ask anybody (rule 6), nor the hook for another.
    pub(super) async fn renew(
        self: &Arc<Self>,
        slot: &SlotRef,
        reason: ReauthReason,
        needed_end: Option<i64>,
    ) -> Result<Option<Session>, StoreError> {
        let Some(renewal) = &self.renewal else { return Ok(None) };
        let limit = self.renewal_limit(renewal);
        // Once more if the runtime of the first went.
        for _ in 0..2 {
            let mut renewing = match self.begin_renewal(slot, reason, needed_end) {
                Begun::Live(session) => return Ok(Some(session)),
                Begun::NotNow => return Ok(None),
                Begun::UnderWay(renewing) => renewing,
            };
            // Limited here as well: the runtime that it runs on may stand still.
            let over = async { renewing.wait_for(Option::is_some).await.is_ok() };
            match timeout(limit, over).await {
                Ok(true) => return renewing.borrow().clone().unwrap_or(Ok(None)),
                Ok(false) => {}
                Err(_) => {
                    slot.lock().end_renewal(&renewing);
                    return Ok(None);
                }
            }
        }
        Ok(None)
    }

    /// How long a renewal may take: asking the hook, a look at the store, a save. To take back what was
    /// saved during a revocation is not in it: nobody is to wait for that.
    pub(super) fn renewal_limit(&self, renewal: &Renewal) -> Duration {
        renewal.timeout.saturating_add(self.store_timeout.saturating_mul(2))
    }

    fn begin_renewal(
        self: &Arc<Self>,
        slot: &SlotRef,
        reason: ReauthReason,
        needed_end: Option<i64>,
    ) -> Begun {
        let mut locked = slot.lock();
        let live = locked.live(self.now(), self.epoch());
        if let Some(session) = live.filter(|session| lives(session, needed_end)) {
            return Begun::Live(session);
        }
        if let Some(renewing) = locked.renewing() {
            return Begun::UnderWay(renewing);
        }
        if !locked.may_renew(self.moment()) {
            return Begun::NotNow;
        }
        let (outcome, renewing) = watch::channel(None);
        locked.start_renewal(renewing.clone());
        drop(locked);
        // A task of its own, as a load's: it survives the caller that started it (rule 10).
        let (manager, slot) = (Arc::clone(self), SlotRef::clone(slot));
        let begun = Begun::UnderWay(renewing.clone());
        let attempt = Attempt { manager, slot, needed_end, outcome, renewing };
        spawn(attempt.run(reason));
        begun
    }

    async fn ask_hook(
        &self,
        renewal: &Renewal,
        slot: &SlotRef,
        reason: ReauthReason,
    ) -> Option<Session> {
        let user = slot.user().clone();
        let hook = Arc::clone(&renewal.hook);
        // A task: if it panics, the person is asked.
        let (answer, answered) = oneshot::channel();
        let _task = Aborted(spawn(async move {
            // An error says that nobody waits any more.
            let _ = answer.send(hook.reauthenticate(&user, reason).await);
        }));
        let answer = timeout(renewal.timeout, answered).await;
        let user = slot.user();
        let session = match answer {
            Ok(Ok(Ok(session))) => session?,
            Ok(Ok(Err(error))) => {
                tracing::warn!(%user, error = %Chain(&*error), "silent renewal failed");
                return None;
            }
            Ok(Err(_)) => {
                tracing::error!(%user, "silent renewal panicked");
                return None;
            }
            Err(_) => {
                tracing::warn!(%user, "silent renewal took too long");
                return None;
            }
        };
        if session.user() != user {
            tracing::error!(%user, "silent renewal gave the session of another user");
            return None;
        }
        Some(session)
    }
}

/// A task that goes when this is dropped.
struct Aborted(JoinHandle<()>);

impl Drop for Aborted {
    fn drop(&mut self) {
        self.0.abort();
    }
}

enum Begun {
    Live(Session),
    NotNow,
    UnderWay(Renewing),
}

/// One attempt at a time for each user, noted in the slot.
struct Attempt {
    manager: Arc<Inner>,
    slot: SlotRef,
    needed_end: Option<i64>,
    outcome: watch::Sender<Option<Result<Option<Session>, StoreError>>>,
    /// The other end of `outcome`, by which the slot knows this attempt.
    renewing: Renewing,
}

impl Attempt {
    async fn run(self, reason: ReauthReason) {
        let outcome = self.renew(reason).await;
        let mut slot = self.slot.lock();
        // A session that ends too soon is of no help either.
        let lives = |session: &Session| lives(session, self.needed_end);
        let helped = outcome.as_ref().map_or(true, |session| session.as_ref().is_some_and(lives));
        // What a revocation ended says nothing of a login that has come since.
        let failed = !helped && !slot.was_revoked_during(&self.renewing);
        if let (true, Some(renewal)) = (failed, &self.manager.renewal) {
            slot.renewal_failed(self.manager.moment(), renewal.pause.0, renewal.pause.1);
        }
        slot.finish_renewal(&self.renewing);
        drop(slot);
        self.outcome.send_replace(Some(outcome));
    }

    async fn renew(&self, reason: ReauthReason) -> Result<Option<Session>, StoreError> {
        let Self { manager, slot, .. } = self;
        let Some(renewal) = &manager.renewal else { return Ok(None) };
        let unsaved = slot.lock().take_unsaved(manager.now());
        let (session, steady_end) = match unsaved {
            Some(given) => given,
            None => {
                let given = manager.ask_hook(renewal, slot, reason).await;
                let Some(session) = given else { return Ok(None) };
                let steady_end = manager.steady_end(&session, manager.now());
                (session, steady_end)
            }
        };
        let longer = self.longer_than(&session).await;
        {
            let mut slot = slot.lock();
            if let Some(longer) = &longer {
                // The feed may be late, or there is none.
                slot.saved_somewhere(longer.id());
            }
            // The user was logged out meanwhile, and stays so.
            if !slot.may_save(&self.renewing, session.id()) {
                return Ok(None);
            }
        }
        if longer.is_some() {
            return Ok(longer);
        }
        let user = slot.user();
        let saved = manager.insert_until(session.clone(), steady_end).await;
        if slot.lock().goes_again(&self.renewing) {
            // Logged out while it was being saved: the store may have taken that last.
            if let Err(error) = manager.take_back(&session).await {
                let error = Chain(&error);
                tracing::warn!(%user, %error, "a session that was renewed during a revocation stays");
            }
            return Ok(None);
        }
        match saved {
            Ok(()) => Ok(Some(session)),
            Err(Error::Store(error)) => {
                let chain = Chain(&error);
                tracing::warn!(%user, error = %chain, "the renewed session could not be saved");
                slot.lock().keep_unsaved(&self.renewing, (session, steady_end));
                Err(error)
            }
            Err(error) => {
                let error = Chain(&error);
                tracing::warn!(%user, %error, "silent renewal gave a session of no use");
                Ok(None)
            }
        }
    }

    /// The session that is in the store by now, or has come here meanwhile, if it lives as long as the
    /// one that was `renewed`, or longer: the person, who has logged in meanwhile, would have to do so
    /// again the sooner.
    async fn longer_than(&self, renewed: &Session) -> Option<Session> {
        let Self { manager, slot, .. } = self;
        let version = slot.lock().version();
        let there = manager.load(slot.user()).await.ok().flatten();
        let (now, epoch) = (manager.now(), manager.epoch());
        let mut slot = slot.lock();
        let is_new = slot.version() != version;
        let here = if is_new { slot.live(now, epoch) } else { None };
        let there = here.or(there)?;
        let is_longer =
            slot.is_good(&there, now) && renewed.expires_nanos() <= there.expires_nanos();
        is_longer.then_some(there)
    }
}

impl Drop for Attempt {
    /// Without an outcome the runtime goes: the next caller starts anew.
    fn drop(&mut self) {
        if self.outcome.borrow().is_none() {
            self.slot.lock().finish_renewal(&self.renewing);
        }
    }
}
