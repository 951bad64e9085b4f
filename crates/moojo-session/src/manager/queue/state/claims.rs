//! What can be done with a request by who takes care of it.

use chrono::{DateTime, Utc};
use tokio::sync::oneshot;

use super::entry::{Entry, Status};
use super::{Came, Moment, Requests};
use crate::manager::queue::request::ReauthRequest;
use crate::reauth::{DeclineReason, Declined};
use crate::user::UserId;

pub(in crate::manager::queue) struct Claimed {
    pub(in crate::manager::queue) claim: u64,
    /// Until when it was put aside.
    pub(in crate::manager::queue) aside: Moment,
    pub(in crate::manager::queue) request: ReauthRequest,
    pub(in crate::manager::queue) over: oneshot::Receiver<()>,
}

impl Requests {
    /// Claims the next open request, or that of `user`, even if it is put aside.
    pub(in crate::manager::queue) fn claim(
        &mut self,
        user: Option<&UserId>,
        until: Moment,
        now: Moment,
    ) -> Option<Claimed> {
        self.advance(now);
        let user = match user {
            Some(user) => user.clone(),
            None => self.open.first_key_value()?.1.clone(),
        };
        if !matches!(self.entries.get(&user)?.status, Status::Open | Status::Held) {
            return None;
        }
        let mut entry = self.take(&user)?;
        self.last += 1;
        let (alive, over) = oneshot::channel();
        let claim = self.last;
        let aside = if matches!(entry.status, Status::Held) { entry.timer } else { 0 };
        entry.status = Status::Claimed { claim, _alive: alive };
        entry.timer = until;
        let request = entry.snapshot(&user);
        self.put(user, entry);
        Some(Claimed { claim, aside, request, over })
    }

    /// Hands it out to be cared for until then, if the claim still holds and has not been handed out.
    pub(in crate::manager::queue) fn hand_out(
        &mut self,
        user: &UserId,
        claim: u64,
        until: Moment,
        now: Moment,
    ) -> Option<ReauthRequest> {
        self.advance(now);
        self.change(user, claim, |entry| {
            entry.timer = until;
            entry.handed_out = entry.handed_out.saturating_add(1);
        });
        self.claimed_by(user, claim).map(|entry| entry.snapshot(user))
    }

    /// The request as it is now, if the claim still holds.
    pub(in crate::manager::queue) fn look(
        &mut self,
        user: &UserId,
        claim: u64,
        now: Moment,
    ) -> Option<ReauthRequest> {
        self.advance(now);
        self.claimed_by(user, claim).map(|entry| entry.snapshot(user))
    }

    /// When the claim ends by itself, if it still holds.
    pub(in crate::manager::queue) fn lease_end(
        &mut self,
        user: &UserId,
        claim: u64,
        now: Moment,
    ) -> Option<Moment> {
        self.advance(now);
        self.claimed_by(user, claim).map(|entry| entry.timer)
    }

    /// Claims it for longer, if the claim still holds.
    pub(in crate::manager::queue) fn renew(
        &mut self,
        user: &UserId,
        claim: u64,
        until: Moment,
        now: Moment,
    ) -> bool {
        self.advance(now);
        self.change(user, claim, |entry| entry.timer = until)
    }

    /// Gives it back, to be handed out again from `from` on.
    pub(in crate::manager::queue) fn release(
        &mut self,
        user: &UserId,
        claim: u64,
        from: Moment,
        now: Moment,
    ) -> bool {
        self.advance(now);
        let held = self.change(user, claim, |entry| {
            entry.status = Status::Held;
            entry.timer = from;
        });
        self.advance(now);
        held
    }

    /// Ends it for all who wait, and for those who would until `until`.
    pub(in crate::manager::queue) fn decline(
        &mut self,
        user: &UserId,
        claim: u64,
        (reason, until_wall): (DeclineReason, DateTime<Utc>),
        until: Moment,
        now: Moment,
    ) -> Option<Declined> {
        self.advance(now);
        let declined = Declined::new(user.clone(), reason, until_wall);
        let holds = self.change(user, claim, |entry| {
            entry.declined = Some((entry.generation, declined.clone()));
            entry.status = Status::Declined { until };
            entry.timer = until;
        });
        holds.then(|| {
            self.advance(now);
            declined
        })
    }

    /// Closes the claimed request if the session that has come is enough by now.
    pub(in crate::manager::queue) fn finish(
        &mut self,
        user: &UserId,
        claim: u64,
        came: Came,
    ) -> bool {
        self.claimed_by(user, claim).is_some() && self.close(user, came)
    }

    /// Closes the claimed request if no call waits for it: one that comes at the same time either
    /// is seen here or opens another.
    pub(in crate::manager::queue) fn close_unless_awaited(
        &mut self,
        user: &UserId,
        claim: u64,
    ) -> bool {
        let unawaited = self.claimed_by(user, claim).is_some_and(|entry| entry.waiting == 0);
        unawaited && self.take(user).is_some()
    }

    fn claimed_by(&self, user: &UserId, claim: u64) -> Option<&Entry> {
        self.entries.get(user).filter(|entry| entry.is_claimed_by(claim))
    }

    /// Changes the entry if the claim still holds. Says whether it does.
    fn change(&mut self, user: &UserId, claim: u64, change: impl FnOnce(&mut Entry)) -> bool {
        if self.claimed_by(user, claim).is_none() {
            return false;
        }
        let Some(mut entry) = self.take(user) else { return false };
        change(&mut entry);
        self.put(user.clone(), entry);
        true
    }
}
