//! A slot under its lock, and what is decided there.

use std::sync::Arc;

use tokio::sync::{Notify, watch};

use super::{Live, Now, State};
use crate::reauth::ReauthReason;
use crate::session::{Session, SessionId};
use crate::store::StoreError;
use crate::sync::RwLockWriteGuard;
use crate::user::UserId;

mod arrival;
mod notice;
mod renewal;

use notice::Heard;
use renewal::Running;

/// What a shared load found.
#[derive(Clone)]
pub(in crate::manager) enum Loaded {
    /// A live session; it is in the slot, unless something newer happened since: look there.
    Live,
    /// There was none, for this reason, when the session's version and the epoch were these.
    Gone(ReauthReason, u64, u32),
    Failed(StoreError),
}

/// The load in flight; `None` until it is over. A closed channel is a load that was given up.
pub(in crate::manager) type Load = watch::Receiver<Option<Loaded>>;

/// The silent renewal under way; `None` until it is over. A closed channel is one whose runtime went.
pub(in crate::manager) type Renewing = watch::Receiver<Option<Result<Option<Session>, StoreError>>>;

#[derive(Default)]
pub(super) struct Busy {
    /// Counts what changed the user's session while somebody was at work on it.
    version: u64,
    /// Changes by this process that are in flight, and the session that the latest of them saves.
    changes: u32,
    saving: Option<SessionId>,
    /// What the feed said last since the first of them began.
    heard: Heard,
    /// A session of which no notice is given unless the feed says that it is the user's, and its end
    /// by the wall clock.
    put_by: Option<(SessionId, i64)>,
    load: Option<Load>,
    waiters: usize,
    /// `None` until somebody waits.
    arrivals: Option<Arc<Notify>>,
    /// Why there is no session any more.
    gone: Option<ReauthReason>,
    /// The session that this process saw end, whatever the store's clock thinks of it.
    ended: Option<SessionId>,
    /// The session that is put in doubt, and when it ends by the steady clock: if it turns out to be
    /// the truth, it gets no more time.
    doubted: Option<(SessionId, u64)>,
    /// The session that is being removed because the server refused it: a load may still see it.
    refused: Option<SessionId>,
    /// Until when it is remembered that there is none, and the version and epoch that holds for.
    missed: Option<(u64, u64, u32)>,
    /// Whether the signal was raised since the last session.
    signalled: bool,
    /// The silent renewal under way, how often it was of no help in a row, and from when on it may
    /// be tried again by the steady clock.
    renewing: Option<Renewing>,
    renewals_failed: u32,
    renew_from: u64,
    /// The silent renewals whose tasks run, given up or not.
    renewals: Vec<Running>,
    /// What a silent renewal gave and the store did not take, and when it ends by the steady clock: it
    /// is tried again with that.
    unsaved: Option<(Session, u64)>,
    /// Whether it was revoked, or that was tried, since the last session: nothing is renewed then.
    revoked: bool,
    /// Revocations in flight: a load may have seen meanwhile what they remove.
    revoking: u32,
    /// The logins that are being saved, and how often the user was revoked: what is revoked meanwhile
    /// is not saved.
    logins: u32,
    revocations: u32,
}

/// A slot under its lock.
pub(in crate::manager) struct Locked<'a> {
    pub(super) user: &'a UserId,
    pub(super) state: RwLockWriteGuard<'a, State>,
}

impl Locked<'_> {
    fn busy(&mut self) -> &mut Busy {
        self.state.busy.get_or_insert_default()
    }

    pub(in crate::manager) fn current_id(&self) -> Option<SessionId> {
        self.state.live.as_ref().map(|live| live.id)
    }

    /// Makes `session` the one that requests are sent with: the only way into the slot, and not open
    /// to another user's session (rule 1). One that was here before gets no more time, whatever the
    /// wall clock said now (rule 4).
    fn publish(&mut self, session: Session, steady_end: u64, epoch: u32) {
        if session.user() != self.user {
            return;
        }
        let id = session.id();
        let current = self.state.live.as_ref().map(|live| (live.id, live.steady_end));
        let known = [current, self.busy().doubted].into_iter().flatten();
        let earlier_end = known.filter(|known| known.0 == id).map(|known| known.1).min();
        self.state.live = Some(Live {
            authorization: session.authorization(),
            id,
            wall_end: session.expires_nanos(),
            steady_end: steady_end.min(earlier_end.unwrap_or(u64::MAX)),
            session,
        });
        self.state.confirmed = epoch;
        self.arrived();
    }

    /// There is a session again, here or in the store.
    fn arrived(&mut self) {
        let busy = self.busy();
        busy.gone = None;
        busy.missed = None;
        busy.ended = None;
        busy.doubted = None;
        busy.put_by = None;
        busy.signalled = false;
        busy.renewals_failed = 0;
        busy.unsaved = None;
        busy.revoked = false;
        busy.renew_from = 0;
    }

    /// Forgets what was known: only the store knows. Whoever is loading loads again; whoever waits
    /// looks again.
    pub(in crate::manager) fn doubt(&mut self) {
        self.take_out();
        self.busy().version += 1;
        self.wake();
    }

    /// Empties the slot, and remembers what was in it in case it comes back.
    fn take_out(&mut self) {
        if let Some(live) = self.state.live.take() {
            self.busy().doubted = Some((live.id, live.steady_end));
        }
    }

    pub(in crate::manager) fn wake(&self) {
        if let Some(arrivals) = self.state.busy.as_ref().and_then(|busy| busy.arrivals.as_ref()) {
            arrivals.notify_waiters();
        }
    }

    // A look at what is there.

    pub(in crate::manager) fn touch(&self, now: Now) {
        self.state.touch(now);
    }

    pub(in crate::manager) fn live(&self, now: Now, epoch: u32) -> Option<Session> {
        Some(self.state.good(now, epoch)?.session.clone())
    }

    /// Takes out a session whose time is over.
    pub(in crate::manager) fn take_expired(&mut self, now: Now) -> Option<SessionId> {
        let over = self.state.live.take_if(|live| live.is_over(now))?;
        let busy = self.busy();
        busy.gone = Some(ReauthReason::Expired);
        busy.ended = Some(over.id);
        Some(over.id)
    }

    /// Whether the session is over. What this process saw end is, though the clock of the store, or this
    /// one's wall clock by now, says otherwise (rule 4). Other processes judge for themselves.
    pub(in crate::manager) fn has_ended(&mut self, session: &Session, now: Now) -> bool {
        self.busy().ended == Some(session.id()) || now.wall >= session.expires_nanos()
    }

    /// Whether a session that was found in the store is of use here.
    pub(in crate::manager) fn is_good(&mut self, there: &Session, now: Now) -> bool {
        !self.is_refused(there.id()) && !self.has_ended(there, now)
    }

    // A shared load.

    pub(in crate::manager) fn load(&mut self) -> Option<Load> {
        self.busy().load.clone()
    }

    pub(in crate::manager) fn start_load(&mut self, load: Load) {
        self.busy().load = Some(load);
    }

    /// Whether `load` is the one that the slot waits for.
    pub(in crate::manager) fn is_loading(&mut self, load: &Load) -> bool {
        self.busy().load.as_ref().is_some_and(|current| current.same_channel(load))
    }

    /// Ends `load`, or gives it up. Another that has taken its place stays.
    pub(in crate::manager) fn end_load(&mut self, load: &Load) {
        if self.is_loading(load) {
            let busy = self.busy();
            busy.load = None;
            if busy.changes == 0 {
                busy.refused = None;
            }
        }
    }

    /// Whether the session with this id is being removed.
    pub(in crate::manager) fn is_refused(&mut self, id: SessionId) -> bool {
        self.busy().refused == Some(id)
    }

    /// Whether nothing has changed since a load found nothing at `version`.
    pub(in crate::manager) fn is_still_gone(&mut self, version: u64) -> bool {
        let busy = self.busy();
        busy.version == version && busy.signalled
    }

    pub(in crate::manager) fn version(&mut self) -> u64 {
        self.busy().version
    }

    pub(in crate::manager) fn loaded(&mut self, session: Session, steady_end: u64, epoch: u32) {
        self.publish(session, steady_end, epoch);
        self.wake();
    }

    /// The store has no live session: whatever is here is not the truth. Says why there is none, and
    /// whether this is the first to say so since there was one.
    pub(in crate::manager) fn loaded_nothing(&mut self, expired: bool) -> (ReauthReason, bool) {
        self.state.live = None;
        let busy = self.busy();
        if expired {
            busy.gone = Some(ReauthReason::Expired);
        }
        let first = !std::mem::replace(&mut busy.signalled, true);
        (busy.gone.unwrap_or(ReauthReason::Missing), first)
    }

    pub(in crate::manager) fn set_missed(&mut self, until: u64, epoch: u32) {
        let busy = self.busy();
        busy.missed = Some((until, busy.version, epoch));
    }

    /// Why there is no session, if a load has found that a moment ago and nothing has happened since.
    pub(in crate::manager) fn missed(&self, now: u64, epoch: u32) -> Option<ReauthReason> {
        let busy = self.state.busy.as_ref()?;
        let (until, version, when) = busy.missed?;
        let holds = now < until && version == busy.version && when == epoch;
        (holds && busy.changes == 0).then(|| busy.gone.unwrap_or(ReauthReason::Missing))
    }

    // A change by this process.

    pub(in crate::manager) fn begin_change(&mut self, saving: Option<SessionId>) -> u64 {
        let busy = self.busy();
        if busy.changes == 0 {
            busy.heard = Heard::Nothing;
        }
        busy.changes += 1;
        busy.saving = saving;
        busy.version
    }

    pub(in crate::manager) fn end_change(&mut self) {
        let busy = self.busy();
        busy.changes -= 1;
        busy.saving = None;
        if busy.changes == 0 && busy.load.is_none() {
            busy.refused = None;
        }
    }

    /// The store has taken `session` in a save that began at `version`. If anything else happened
    /// meanwhile, only the store knows which came last.
    pub(in crate::manager) fn saved(
        &mut self,
        version: u64,
        session: Session,
        steady_end: u64,
        epoch: u32,
    ) {
        let overtaken = self.busy().version != version;
        self.doubt();
        if !overtaken {
            self.publish(session, steady_end, epoch);
        }
    }

    /// Takes out the session with this id, which the server refused.
    pub(in crate::manager) fn refuse(&mut self, id: SessionId) {
        if self.current_id() == Some(id) {
            self.take_out();
            self.busy().version += 1;
        }
        self.busy().refused = Some(id);
    }

    /// Takes out the session, whichever it is, and gives up to renew it.
    pub(in crate::manager) fn revoke(&mut self) {
        self.take_out();
        let busy = self.busy();
        busy.version += 1;
        busy.renewing = None;
        busy.renewals.iter_mut().for_each(Running::revoke);
        busy.unsaved = None;
        busy.revoked = true;
    }

    /// Notes why there is no session, if there is none.
    pub(in crate::manager) fn set_gone(&mut self, reason: ReauthReason) {
        if self.current_id().is_none() {
            self.busy().gone = Some(reason);
        }
    }

    /// Ends a change of which nobody knows whether it happened.
    pub(in crate::manager) fn change_unknown(&mut self) {
        self.busy().refused = None;
        self.doubt();
    }

    // A change by any process, from the feed.

    /// Says whether it is news.
    pub(in crate::manager) fn saved_somewhere(&mut self, id: SessionId) -> bool {
        let news = self.current_id() != Some(id) && self.busy().saving != Some(id);
        if news {
            self.doubt();
        }
        news
    }

    // Those who wait for a login.

    pub(in crate::manager) fn join(&mut self, limit: usize) -> Option<Arc<Notify>> {
        let busy = self.busy();
        if busy.waiters >= limit {
            return None;
        }
        busy.waiters += 1;
        Some(Arc::clone(busy.arrivals.get_or_insert_default()))
    }

    pub(in crate::manager) fn leave(&mut self) {
        self.busy().waiters -= 1;
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        let idle = self.state.busy.as_ref().is_some_and(|busy| {
            busy.changes == 0
                && busy.load.is_none()
                && busy.waiters == 0
                && busy.gone.is_none()
                && busy.doubted.is_none()
                && busy.put_by.is_none()
                && !busy.signalled
                && busy.renewing.is_none()
                && busy.renewals.is_empty()
                && busy.renewals_failed == 0
                && busy.unsaved.is_none()
                && !busy.revoked
                && busy.logins == 0
        });
        if idle {
            self.state.busy = None;
        }
    }
}
