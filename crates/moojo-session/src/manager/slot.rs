//! One user of whom the process has seen something lately.
//!
//! A request reads the slot without a lock. Everything that decides (was it removed while it was
//! being loaded? did it arrive while somebody was about to wait?) happens under the one small lock
//! of [`Busy`], which is never held across an `await`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use arc_swap::ArcSwapAny;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Notify, watch};

use crate::reauth::ReauthReason;
use crate::session::{Record, Session, SessionId};
use crate::store::StoreError;
use crate::user::UserId;

/// Both clocks in nanoseconds, with the expiry margin already added.
#[derive(Clone, Copy)]
pub(crate) struct Now {
    pub(crate) wall: i64,
    pub(crate) steady: u64,
}

impl Now {
    /// The steady clock in whole seconds. It wraps after 136 years.
    pub(super) fn seconds(self) -> u32 {
        (self.steady / 1_000_000_000) as u32
    }
}

/// A shared pointer to a slot. It counts no weak references, which would be 8 bytes more a user.
pub(crate) type SlotRef = triomphe::Arc<Slot>;

pub(crate) struct Slot {
    user: UserId,
    /// Written only under the lock of `busy`.
    current: ArcSwapAny<Option<Record>>,
    /// When `current` has ended by the steady clock.
    steady_end: AtomicU64,
    /// The epoch of the change feed in which `current` was known to be the truth.
    epoch: AtomicU32,
    /// When the slot was last used, in seconds of the steady clock.
    touched: AtomicU32,
    /// What is going on. `None` most of the time: a live session and nobody busy with it.
    busy: Mutex<Option<Box<Busy>>>,
}

/// What a shared load found.
#[derive(Clone)]
pub(super) enum Loaded {
    /// A live session; it is in the slot, unless something newer happened since.
    Live,
    /// There was none, for this reason, when the session's version was this.
    Gone(ReauthReason, u64),
    Failed(StoreError),
}

/// The load in flight; `None` until it is over. A closed channel is a load that was given up.
pub(super) type Load = watch::Receiver<Option<Loaded>>;

#[derive(Default)]
pub(super) struct Busy {
    /// Counts what changed the user's session while somebody was at work on it.
    version: u64,
    /// Changes by this process that are in flight, and the session that the latest of them saves.
    changes: u32,
    saving: Option<SessionId>,
    load: Option<Load>,
    waiters: usize,
    /// `None` until somebody waits.
    arrivals: Option<Arc<Notify>>,
    /// Why there is no session any more.
    gone: Option<ReauthReason>,
    /// The session that this process saw end, whatever the store's clock thinks of it.
    ended: Option<SessionId>,
    /// The session that is put in doubt: if it turns out to be the truth, it ends as it would have.
    doubted: Option<SessionId>,
    /// The session that is being removed because the server refused it: a load may still see it.
    refused: Option<SessionId>,
    /// Whether the signal was raised since the last session.
    signalled: bool,
}

impl Slot {
    pub(super) fn new(user: UserId, touched: u32) -> Self {
        Self {
            user,
            current: ArcSwapAny::new(None),
            steady_end: AtomicU64::new(0),
            epoch: AtomicU32::new(0),
            touched: AtomicU32::new(touched),
            busy: Mutex::new(None),
        }
    }

    pub(crate) fn user(&self) -> &UserId {
        &self.user
    }

    /// The session, if it is live by both clocks and no change was missed since. No lock.
    pub(crate) fn live(&self, now: Now, epoch: u32) -> Option<Session> {
        // The end and the epoch are read before the session: `publish` empties the slot first, so
        // that they can belong to an older session than the one read, which only costs a second
        // look, and never to a newer one.
        let steady_end = self.steady_end.load(Ordering::Acquire);
        let confirmed = self.epoch.load(Ordering::Acquire);
        let session = Session(self.current.load_full()?);
        let live =
            confirmed == epoch && now.steady < steady_end && now.wall < session.expires_nanos();
        live.then_some(session)
    }

    pub(crate) fn touch(&self, now: Now) {
        let seconds = now.seconds();
        if self.touched.load(Ordering::Relaxed) != seconds {
            self.touched.store(seconds, Ordering::Relaxed);
        }
    }

    pub(super) fn touched(&self) -> u32 {
        self.touched.load(Ordering::Relaxed)
    }

    pub(super) fn lock(&self) -> Locked<'_> {
        Locked { slot: self, busy: self.busy.lock() }
    }
}

/// A slot under its lock.
pub(super) struct Locked<'a> {
    slot: &'a Slot,
    busy: MutexGuard<'a, Option<Box<Busy>>>,
}

impl Locked<'_> {
    fn busy(&mut self) -> &mut Busy {
        self.busy.get_or_insert_default()
    }

    fn current_id(&self) -> Option<SessionId> {
        self.slot.current.load_full().map(|record| Session(record).id())
    }

    /// Makes `session` the one that requests read. One that was here before gets no more time,
    /// whatever the wall clock said now (rule 4).
    fn publish(&mut self, session: Session, steady_end: u64, epoch: u32) {
        let known = [self.current_id(), self.busy().doubted].contains(&Some(session.id()));
        let steady_end = match known {
            true => steady_end.min(self.slot.steady_end.load(Ordering::Acquire)),
            false => steady_end,
        };
        self.slot.current.store(None);
        self.slot.steady_end.store(steady_end, Ordering::Release);
        self.slot.epoch.store(epoch, Ordering::Release);
        self.slot.current.store(Some(session.0));
        self.arrived();
    }

    /// There is a session again, here or in the store.
    fn arrived(&mut self) {
        let busy = self.busy();
        busy.gone = None;
        busy.ended = None;
        busy.doubted = None;
        busy.signalled = false;
    }

    /// Forgets what was known: only the store knows. Whoever is loading loads again; whoever waits
    /// looks again.
    pub(super) fn doubt(&mut self) {
        self.take_out();
        self.busy().version += 1;
        self.wake();
    }

    /// Empties the slot, and remembers what was in it in case it comes back.
    fn take_out(&mut self) {
        if let Some(id) = self.current_id() {
            self.slot.current.store(None);
            self.busy().doubted = Some(id);
        }
    }

    fn wake(&self) {
        if let Some(arrivals) = self.busy.as_ref().and_then(|busy| busy.arrivals.as_ref()) {
            arrivals.notify_waiters();
        }
    }

    // A look at what is there.

    pub(super) fn live(&self, now: Now, epoch: u32) -> Option<Session> {
        self.slot.live(now, epoch)
    }

    /// Takes out a session whose time is over.
    pub(super) fn take_expired(&mut self, now: Now) -> Option<SessionId> {
        let session = Session(self.slot.current.load_full()?);
        let over = now.wall >= session.expires_nanos()
            || now.steady >= self.slot.steady_end.load(Ordering::Acquire);
        if !over {
            return None;
        }
        self.slot.current.store(None);
        self.busy().gone = Some(ReauthReason::Expired);
        self.busy().ended = Some(session.id());
        Some(session.id())
    }

    /// Whether this process saw the session with this id end.
    pub(super) fn has_seen_end_of(&mut self, id: SessionId) -> bool {
        self.busy().ended == Some(id)
    }

    // A shared load.

    pub(super) fn load(&mut self) -> Option<Load> {
        self.busy().load.clone()
    }

    pub(super) fn start_load(&mut self, load: Load) {
        self.busy().load = Some(load);
    }

    /// Ends `load`, or gives it up. Another that has taken its place stays.
    pub(super) fn end_load(&mut self, load: &Load) {
        let busy = self.busy();
        if busy.load.as_ref().is_some_and(|current| current.same_channel(load)) {
            busy.load = None;
            if busy.changes == 0 {
                busy.refused = None;
            }
        }
    }

    /// Whether the session with this id is being removed.
    pub(super) fn is_refused(&mut self, id: SessionId) -> bool {
        self.busy().refused == Some(id)
    }

    /// Whether nothing has changed since a load found nothing at `version`.
    pub(super) fn is_still_gone(&mut self, version: u64) -> bool {
        let busy = self.busy();
        busy.version == version && busy.signalled
    }

    pub(super) fn version(&mut self) -> u64 {
        self.busy().version
    }

    pub(super) fn loaded(&mut self, session: Session, steady_end: u64, epoch: u32) {
        self.publish(session, steady_end, epoch);
        self.wake();
    }

    /// The store has no live session: whatever is here is not the truth. Says why there is none, and
    /// whether this is the first to say so since there was one.
    pub(super) fn loaded_nothing(&mut self, expired: bool) -> (ReauthReason, bool) {
        self.slot.current.store(None);
        let busy = self.busy();
        if expired {
            busy.gone = Some(ReauthReason::Expired);
        }
        let first = !std::mem::replace(&mut busy.signalled, true);
        (busy.gone.unwrap_or(ReauthReason::Missing), first)
    }

    // A change by this process.

    pub(super) fn begin_change(&mut self, saving: Option<SessionId>) -> u64 {
        let busy = self.busy();
        busy.changes += 1;
        busy.saving = saving;
        busy.version
    }

    pub(super) fn end_change(&mut self) {
        let busy = self.busy();
        busy.changes -= 1;
        busy.saving = None;
        if busy.load.is_none() {
            busy.refused = None;
        }
    }

    /// The store has taken `session` in a save that began at `version`. If anything else happened
    /// meanwhile, only the store knows which came last.
    pub(super) fn saved(&mut self, version: u64, session: Session, steady_end: u64, epoch: u32) {
        let overtaken = self.busy().version != version;
        self.doubt();
        if !overtaken {
            self.publish(session, steady_end, epoch);
        }
    }

    /// Takes out the session with this id, which the server refused.
    pub(super) fn refuse(&mut self, id: SessionId) {
        if self.current_id() == Some(id) {
            self.take_out();
            self.busy().version += 1;
        }
        self.busy().refused = Some(id);
    }

    /// Takes out the session, whichever it is.
    pub(super) fn revoke(&mut self) {
        self.take_out();
        self.busy().version += 1;
    }

    /// Notes why there is no session, if there is none.
    pub(super) fn set_gone(&mut self, reason: ReauthReason) {
        if self.current_id().is_none() {
            self.busy().gone = Some(reason);
        }
    }

    /// Ends a change of which nobody knows whether it happened.
    pub(super) fn change_unknown(&mut self) {
        self.busy().refused = None;
        self.doubt();
    }

    // A change by any process, from the feed.

    pub(super) fn saved_somewhere(&mut self, id: SessionId) {
        if self.current_id() != Some(id) && self.busy().saving != Some(id) {
            self.doubt();
        }
    }

    // Those who wait for a login.

    pub(super) fn join(&mut self, limit: usize) -> Option<Arc<Notify>> {
        let busy = self.busy();
        if busy.waiters >= limit {
            return None;
        }
        busy.waiters += 1;
        Some(Arc::clone(busy.arrivals.get_or_insert_default()))
    }

    pub(super) fn leave(&mut self) {
        self.busy().waiters -= 1;
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        let idle = self.busy.as_ref().is_some_and(|busy| {
            busy.changes == 0
                && busy.load.is_none()
                && busy.waiters == 0
                && busy.gone.is_none()
                && busy.doubted.is_none()
                && !busy.signalled
        });
        if idle {
            *self.busy = None;
        }
    }
}
