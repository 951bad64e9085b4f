use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::oneshot;

use super::super::SessionManager;
use super::super::events::Event;
use super::request::ReauthRequest;
use super::state::{Came, Claimed};
use crate::error::Error;
use crate::reauth::DeclineReason;
use crate::session::Session;

/// The care for one [`ReauthRequest`]: nobody else gets it as long as this lives and its lease runs.
/// From [`ReauthQueue::next`](super::ReauthQueue::next).
///
/// Dropped, it gives the request back at once, to be handed out again.
///
/// With common [`leases`](crate::SessionManagerBuilder::leases), its methods that change something tell
/// the other processes in a task: they panic outside of a tokio runtime.
#[must_use = "a claim that is dropped gives the request back"]
pub struct Claim {
    sessions: SessionManager,
    request: ReauthRequest,
    claim: u64,
    /// Until when the request was put aside, as long as it has not been handed out.
    aside: u64,
    /// Closed when the claim is over.
    over: oneshot::Receiver<()>,
}

/// The claim is over: its lease ran out, or the request was answered by other ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the claim is over: its lease ran out, or the user has logged in")]
pub struct ClaimLost;

impl Claim {
    pub(super) fn new(sessions: SessionManager, claimed: Claimed) -> Self {
        let Claimed { claim, aside, request, over } = claimed;
        Self { sessions, request, claim, aside, over }
    }

    /// The request as it was when it was claimed.
    pub fn request(&self) -> &ReauthRequest {
        &self.request
    }

    /// The request as it is now: more calls may wait, for more.
    ///
    /// # Errors
    /// [`ClaimLost`].
    pub fn refreshed(&self) -> Result<ReauthRequest, ClaimLost> {
        let inner = &self.sessions.0;
        let now = inner.moment();
        let user = self.request.user();
        let request = inner.queue.with(|requests| requests.look(user, self.claim, now));
        request.ok_or(ClaimLost)
    }

    /// Lets the lease run for this long from now. Other processes
    /// [on the same leases](crate::SessionManagerBuilder::leases) are told so in the background, once
    /// more if that fails; if another process has the lease, the claim ends.
    ///
    /// # Errors
    /// [`ClaimLost`].
    pub fn renew(&self, lease: Duration) -> Result<(), ClaimLost> {
        let inner = &self.sessions.0;
        let (now, until) = (inner.moment(), inner.moment_after(lease));
        let user = self.request.user();
        let held = inner.queue.with(|requests| requests.renew(user, self.claim, until, now));
        // A worker that waits for a lease to run out has to wait for another moment.
        inner.queue.changed.notify_waiters();
        if !held {
            return Err(ClaimLost);
        }
        inner.keep_claimed(user, self.claim, lease, until);
        Ok(())
    }

    /// Ends when the claim is over: because the user has logged in, through this claim or by other
    /// ways, or because the lease ran out. Dropping the future loses nothing.
    ///
    /// # Panics
    /// With [`SystemClock`](crate::SystemClock) outside of a tokio runtime with its timer enabled.
    pub async fn over(&mut self) {
        let user = self.request.user();
        loop {
            let inner = &self.sessions.0;
            let now = inner.moment();
            let end = inner.queue.with(|requests| requests.lease_end(user, self.claim, now));
            let Some(end) = end else { return };
            let mut lease = inner.sleep_until(end);
            // Nothing is ever sent: it ends when the other end goes.
            let over = poll_fn(|cx| match Pin::new(&mut self.over).poll(cx) {
                Poll::Ready(_) => Poll::Ready(true),
                Poll::Pending => lease.as_mut().poll(cx).map(|()| false),
            });
            if over.await {
                return;
            }
        }
    }

    /// Puts the session in: all who wait go on with it. The same as
    /// [`SessionManager::insert`], and as a login by `moojo-otp`'s flow: neither needs a claim.
    ///
    /// # Errors
    /// As [`SessionManager::insert`]; the request is given back then. So it is when the future is
    /// dropped, and the session may have been saved or not.
    pub async fn answer(self, session: Session) -> Result<(), Error> {
        self.sessions.insert(session).await
    }

    /// Notes that the person is not to be asked for this long: all calls that wait end with
    /// [`Error::Declined`], as do those that would wait until then. Other processes
    /// [on the same leases](crate::SessionManagerBuilder::leases) learn it when they would ask next.
    ///
    /// # Errors
    /// [`ClaimLost`]: nothing was done.
    pub fn decline(self, reason: DeclineReason, time: Duration) -> Result<(), ClaimLost> {
        self.decline_here(reason, time)?;
        self.sessions.0.tell_declined(self.request.user(), reason, time);
        Ok(())
    }

    /// As [`Claim::decline`], for this process.
    pub(super) fn decline_here(
        &self,
        reason: DeclineReason,
        time: Duration,
    ) -> Result<(), ClaimLost> {
        let inner = &self.sessions.0;
        let user = self.request.user();
        let until = later(inner.clock.now(), time);
        let (now, moment) = (inner.moment(), inner.moment_after(time));
        let declined = inner
            .queue
            .with(|requests| requests.decline(user, self.claim, (reason, until), moment, now));
        let declined = declined.ok_or(ClaimLost)?;
        if let Some(slot) = inner.table.get(user) {
            slot.lock().wake();
        }
        inner.queue.changed.notify_waiters();
        inner.emit(Event::Declined(declined));
        Ok(())
    }

    /// Gives the request back, to be handed out again after this time; whoever waits goes on waiting.
    ///
    /// # Errors
    /// [`ClaimLost`]: nothing was done.
    pub fn release(self, after: Duration) -> Result<(), ClaimLost> {
        if !self.give_back(after) {
            return Err(ClaimLost);
        }
        // Other processes wait as long; those here go on at once.
        if !after.is_zero() {
            self.sessions.0.keep_lease(self.request.user(), self.claim, after);
        }
        Ok(())
    }

    /// As [`Claim::release`], for this process.
    pub(super) fn put_aside(self, after: Duration) {
        self.give_back(after);
    }

    /// Closes the request, unless a call waits for it: nobody is asked until the next call wants it.
    /// Says whether it did; if not, the claim goes on, or is over.
    pub fn close_unless_awaited(&self) -> bool {
        let (inner, user) = (&self.sessions.0, self.request.user());
        let closed = inner.queue.with(|requests| requests.close_unless_awaited(user, self.claim));
        if closed {
            // Calls may wait for her in other processes.
            inner.release_lease(user);
        }
        closed
    }

    /// Has the lease run until then, unless the claim is over.
    pub(super) fn hand_out(mut self, until: u64) -> Option<Self> {
        let inner = &self.sessions.0;
        let now = inner.moment();
        let user = self.request.user();
        let request =
            inner.queue.with(|requests| requests.hand_out(user, self.claim, until, now))?;
        // A worker that waits for a lease to run out has to wait for another moment.
        inner.queue.changed.notify_waiters();
        self.request = request;
        self.aside = 0;
        Some(self)
    }

    /// Closes the request if the session that has come is enough for it.
    pub(super) fn finish(&self, came: Came) -> bool {
        let user = self.request.user();
        self.sessions.0.queue.with(|requests| requests.finish(user, self.claim, came))
    }

    fn give_back(&self, after: Duration) -> bool {
        let inner = &self.sessions.0;
        // A claim that comes to nothing changes nothing.
        let from = inner.moment_after(after).max(self.aside);
        inner.give_back(self.request.user(), self.claim, from)
    }
}

impl Drop for Claim {
    /// What was ended otherwise is not this claim's any more, and stays as it is.
    fn drop(&mut self) {
        self.give_back(Duration::ZERO);
    }
}

impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Claim").field(&self.request).finish()
    }
}

/// The moment `after` from `now`, or the last one there is.
fn later(now: DateTime<Utc>, after: Duration) -> DateTime<Utc> {
    let after = TimeDelta::from_std(after).unwrap_or(TimeDelta::MAX);
    now.checked_add_signed(after).unwrap_or(DateTime::<Utc>::MAX_UTC)
}
