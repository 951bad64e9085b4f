//! What the layer asks of the manager.

use super::slot::{Pass, SlotRef};
use super::{SessionManager, UserHandle};
use crate::error::Error;
use crate::session::{Session, SessionId};
use crate::user::UserId;

impl SessionManager {
    /// What a request of the user is sent with, if there is a live session in memory.
    #[inline]
    pub(crate) fn pass(&self, user: &UserId) -> Option<Pass> {
        // The clock is read while the slot is on its way from memory.
        self.0.table.read(user, |slot| slot.pass(self.0.now(), self.0.epoch()))?
    }

    /// As [`pass`](Self::pass), by a handle; one of another manager is only a user's name here.
    #[inline]
    pub(crate) fn pass_handle(&self, handle: &UserHandle) -> Option<Pass> {
        if handle.manager() != self.0.id {
            return self.pass(handle.user());
        }
        handle.slot().pass(self.0.now(), self.0.epoch())
    }

    /// As [`pass`](Self::pass), for a call that was given `session` since the epoch was `epoch`. If that
    /// was the session last seen, because the store could not be asked, it still is good for as long as
    /// nothing more was missed.
    pub(crate) fn pass_of(&self, session: &Session, epoch: u32) -> Option<Pass> {
        self.pass(session.user()).or_else(|| {
            let last_known = |slot: &SlotRef| slot.last_known(self.0.now());
            let known = self.0.table.read(session.user(), last_known).flatten()?;
            (known == *session && self.epoch() == epoch).then(|| Pass::of(&known))
        })
    }

    /// Goes up whenever changes of the store may have been missed.
    pub(crate) fn epoch(&self) -> u32 {
        self.0.epoch()
    }

    /// As [`get`](Self::get), for who asks nobody to log in: it would be too early.
    pub(crate) async fn look_or_last_known(&self, user: &UserId) -> Result<Session, Error> {
        let slot = self.pin(user)?;
        self.0.look_or_last_known(&slot, false).await
    }

    /// As [`reject`](Self::reject), for an answer that may have a trace id. Gives the newer session
    /// if there is one. If there is none, the user has to log in, which `waits` leaves to the wait
    /// that comes next.
    pub(crate) async fn replace(
        &self,
        user: &UserId,
        refused: SessionId,
        trace_id: Option<&str>,
        waits: bool,
    ) -> Result<Session, Error> {
        self.0.reject(user, refused).await?;
        let newer = if waits { self.look_or_last_known(user).await } else { self.get(user).await };
        newer.map_err(|error| error.with_trace_id(trace_id))
    }
}
