//! What a slot knows of silent renewal.

use std::time::Duration;

use super::super::Now;
use super::{Locked, Renewing};
use crate::clock::nanos;
use crate::reauth::ReauthReason;
use crate::session::{Session, SessionId};

impl Locked<'_> {
    /// Why there is no session, if one may be had without the person at this moment. What was revoked
    /// stays so.
    pub(in crate::manager) fn reason_to_renew(
        &mut self,
        expired: bool,
        now: u64,
    ) -> Option<ReauthReason> {
        let busy = self.busy();
        let gone = busy.gone.unwrap_or(ReauthReason::Missing);
        let reason = if expired { ReauthReason::Expired } else { gone };
        let may_try = busy.renewing.is_some() || busy.renew_from <= now;
        (may_try && !busy.revoked).then_some(reason)
    }

    pub(in crate::manager) fn renewing(&mut self) -> Option<Renewing> {
        self.busy().renewing.clone()
    }

    pub(in crate::manager) fn may_renew(&mut self, now: u64) -> bool {
        let busy = self.busy();
        busy.renew_from <= now && !busy.revoked
    }

    pub(in crate::manager) fn start_renewal(&mut self, renewing: Renewing) {
        self.busy().renewing = Some(renewing);
    }

    /// Whether `renewing` is still under way: it has not been given up.
    pub(in crate::manager) fn is_renewing(&mut self, renewing: &Renewing) -> bool {
        self.busy().renewing.as_ref().is_some_and(|current| current.same_channel(renewing))
    }

    /// Keeps what `renewing` gave for the next one, if it is still under way.
    pub(in crate::manager) fn keep_unsaved(&mut self, renewing: &Renewing, session: Session) {
        if self.is_renewing(renewing) {
            self.busy().unsaved = Some(session);
        }
    }

    /// What an earlier renewal gave that is live still.
    pub(in crate::manager) fn take_unsaved(&mut self, now: Now) -> Option<Session> {
        self.busy().unsaved.take().filter(|session| now.wall < session.expires_nanos())
    }

    pub(in crate::manager) fn renewal_failed(&mut self, now: u64, first: Duration, most: Duration) {
        let busy = self.busy();
        let pause = first.saturating_mul(1 << busy.renewals_failed.min(16)).min(most);
        busy.renewals_failed = busy.renewals_failed.saturating_add(1);
        busy.renew_from = now.saturating_add(nanos(pause));
    }

    /// Whether `renewing` was under way when the user was revoked.
    fn was_renewal_stopped(&mut self, renewing: &Renewing) -> bool {
        self.busy().stopped.as_ref().is_some_and(|stopped| stopped.same_channel(renewing))
    }

    /// Whether the session with this `id`, which `renewing` has saved, came after a revocation and
    /// no login has come since.
    pub(in crate::manager) fn goes_again(&mut self, renewing: &Renewing, id: SessionId) -> bool {
        let is_there = self.current_id() == Some(id);
        self.was_renewal_stopped(renewing) && (self.busy().revoked || is_there)
    }

    /// Its task is over.
    pub(in crate::manager) fn finish_renewal(&mut self, renewing: &Renewing) {
        self.end_renewal(renewing);
        if self.was_renewal_stopped(renewing) {
            self.busy().stopped = None;
        }
    }

    /// Ends it, or gives it up. Another that has taken its place stays.
    pub(in crate::manager) fn end_renewal(&mut self, renewing: &Renewing) {
        if self.is_renewing(renewing) {
            self.busy().renewing = None;
        }
    }

    /// What was renewed during a revocation has been removed: the revocation stands.
    pub(in crate::manager) fn taken_back(&mut self) {
        self.set_gone(ReauthReason::Revoked);
        if self.current_id().is_none() {
            self.busy().revoked = true;
        }
    }
}
