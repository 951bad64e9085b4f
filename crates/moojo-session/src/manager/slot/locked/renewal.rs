//! What a slot knows of silent renewal.

use std::time::Duration;

use super::super::Now;
use super::{Locked, Renewing};
use crate::clock::nanos;
use crate::reauth::ReauthReason;
use crate::session::{Session, SessionId};

/// A silent renewal whose task runs, given up or not.
pub(super) struct Running {
    renewing: Renewing,
    /// Whether the user was revoked since it began: what it saves all the same goes again.
    was_revoked: bool,
    saves: Option<SessionId>,
}

impl Running {
    pub(super) fn revoke(&mut self) {
        self.was_revoked = true;
    }
}

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
        (may_try && !self.is_revoked()).then_some(reason)
    }

    pub(in crate::manager) fn renewing(&mut self) -> Option<Renewing> {
        self.busy().renewing.clone()
    }

    pub(in crate::manager) fn may_renew(&mut self, now: u64) -> bool {
        self.busy().renew_from <= now && !self.is_revoked()
    }

    /// Whether the user was revoked, or is being so, since the last session.
    fn is_revoked(&mut self) -> bool {
        let busy = self.busy();
        busy.revoked || busy.revoking > 0
    }

    pub(in crate::manager) fn start_renewal(&mut self, renewing: Renewing) {
        let busy = self.busy();
        let running = Running { renewing: renewing.clone(), was_revoked: false, saves: None };
        busy.renewing = Some(renewing);
        busy.renewals.push(running);
    }

    /// Whether `renewing` is still under way: it has not been given up.
    pub(in crate::manager) fn is_renewing(&mut self, renewing: &Renewing) -> bool {
        self.busy().renewing.as_ref().is_some_and(|current| current.same_channel(renewing))
    }

    /// Notes what `renewing` saves, if it is still under way.
    pub(in crate::manager) fn may_save(&mut self, renewing: &Renewing, id: SessionId) -> bool {
        let is_renewing = self.is_renewing(renewing);
        if let Some(running) = self.running(renewing).filter(|_| is_renewing) {
            running.saves = Some(id);
        }
        is_renewing
    }

    fn running(&mut self, renewing: &Renewing) -> Option<&mut Running> {
        let renewals = &mut self.busy().renewals;
        renewals.iter_mut().find(|running| running.renewing.same_channel(renewing))
    }

    /// Keeps what `renewing` gave, and when that ends by the steady clock, for the next one, if it is
    /// still under way.
    pub(in crate::manager) fn keep_unsaved(&mut self, renewing: &Renewing, given: (Session, u64)) {
        if self.is_renewing(renewing) {
            self.busy().unsaved = Some(given);
        }
    }

    /// What an earlier renewal gave that is live still by both clocks.
    pub(in crate::manager) fn take_unsaved(&mut self, now: Now) -> Option<(Session, u64)> {
        let is_live =
            |given: &(Session, u64)| now.wall < given.0.expires_nanos() && now.steady < given.1;
        self.busy().unsaved.take().filter(is_live)
    }

    pub(in crate::manager) fn renewal_failed(&mut self, now: u64, first: Duration, most: Duration) {
        let busy = self.busy();
        let pause = first.saturating_mul(1 << busy.renewals_failed.min(16)).min(most);
        busy.renewals_failed = busy.renewals_failed.saturating_add(1);
        busy.renew_from = now.saturating_add(nanos(pause));
    }

    /// Whether the user was revoked since `renewing` began.
    pub(in crate::manager) fn was_revoked_during(&mut self, renewing: &Renewing) -> bool {
        self.running(renewing).is_some_and(|running| running.was_revoked)
    }

    /// Whether what `renewing` has saved came after a revocation, and no login has come since.
    pub(in crate::manager) fn goes_again(&mut self, renewing: &Renewing) -> bool {
        self.was_revoked_during(renewing) && self.is_revoked()
    }

    /// Whether the session with this id goes again: nobody uses it meanwhile.
    pub(in crate::manager) fn is_unwanted(&mut self, id: SessionId) -> bool {
        let is_revoked = self.is_revoked();
        let saves_it = |running: &Running| running.was_revoked && running.saves == Some(id);
        is_revoked && self.busy().renewals.iter().any(saves_it)
    }

    /// Its task is over.
    pub(in crate::manager) fn finish_renewal(&mut self, renewing: &Renewing) {
        self.end_renewal(renewing);
        self.busy().renewals.retain(|running| !running.renewing.same_channel(renewing));
    }

    /// Ends it, or gives it up. Another that has taken its place stays.
    pub(in crate::manager) fn end_renewal(&mut self, renewing: &Renewing) {
        if self.is_renewing(renewing) {
            self.busy().renewing = None;
        }
    }

    /// This process was told to revoke the user.
    pub(in crate::manager) fn begin_revoke(&mut self) {
        self.revoke();
        let busy = self.busy();
        busy.revoking += 1;
        busy.revocations = busy.revocations.wrapping_add(1);
    }

    pub(in crate::manager) fn end_revoke(&mut self) {
        self.busy().revoking -= 1;
    }

    /// What was saved during a revocation has been removed: the revocation stands.
    pub(in crate::manager) fn taken_back(&mut self) {
        if self.current_id().is_none() {
            let busy = self.busy();
            busy.gone = Some(ReauthReason::Revoked);
            busy.revoked = true;
        }
    }
}
