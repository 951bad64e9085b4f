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

    /// Gives how often the user was revoked up to now.
    pub(in crate::manager) fn start_renewal(&mut self, renewing: Renewing) -> u32 {
        let busy = self.busy();
        busy.renewing = Some(renewing);
        busy.renewals += 1;
        busy.revocations
    }

    /// Whether `renewing` is still under way: it has not been given up.
    pub(in crate::manager) fn is_renewing(&mut self, renewing: &Renewing) -> bool {
        self.busy().renewing.as_ref().is_some_and(|current| current.same_channel(renewing))
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

    /// Whether the user was revoked since a renewal began, that is since it had been so often.
    pub(in crate::manager) fn was_revoked_since(&mut self, revocations: u32) -> bool {
        self.busy().revocations != revocations
    }

    /// Whether the session with this `id`, which a renewal has saved that began after so many
    /// revocations, came after another and no login has come since. It may have been seen here.
    pub(in crate::manager) fn goes_again(&mut self, revocations: u32, id: SessionId) -> bool {
        let doubted = self.busy().doubted.map(|doubted| doubted.0);
        let was_seen = [self.current_id(), doubted].contains(&Some(id));
        self.was_revoked_since(revocations) && (self.busy().revoked || was_seen)
    }

    /// Its task is over.
    pub(in crate::manager) fn finish_renewal(&mut self, renewing: &Renewing) {
        self.end_renewal(renewing);
        self.busy().renewals -= 1;
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
