//! The queue of those who have to log in again.

use std::fmt;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use tokio::sync::Notify;

use super::wait::lives;
use super::{Inner, SessionManager};
use crate::clock::nanos;
use crate::error::{Error, Limit};
use crate::lease::Lease;
use crate::reauth::{DeclineReason, Purpose, ReauthReason};
use crate::session::Session;
use crate::sync::{AtomicUsize, Mutex};
use crate::user::UserId;

mod claim;
mod leases;
mod request;
mod state;

pub use claim::{Claim, ClaimLost};
pub use request::ReauthRequest;

pub(super) use leases::Leases;
use state::{Came, Refused, Requests};
pub(super) use state::{Place, Want};

/// How long a request is put aside when the store cannot say whether it is still needed.
const STORE_PAUSE: Duration = Duration::from_secs(2);

/// The open requests of a manager, under one small lock.
pub(super) struct Queue {
    requests: Mutex<Requests>,
    /// The number of entries, to be read without the lock.
    len: AtomicUsize,
    max: usize,
    lease: Duration,
    /// Told whenever there may be something to claim, or to claim at another time.
    changed: Notify,
}

impl Queue {
    pub(super) fn new(max: usize, life: Duration, lease: Duration) -> Self {
        let requests = Mutex::new(Requests::new(max, nanos(life)));
        Self { requests, len: AtomicUsize::new(0), max, lease, changed: Notify::new() }
    }

    /// Whether the user is in it.
    pub(super) fn has(&self, user: &UserId) -> bool {
        self.len.load(Ordering::Acquire) > 0 && self.with(|requests| requests.has(user))
    }

    /// Those who will not log in for now.
    pub(super) fn declined(&self) -> Vec<UserId> {
        self.with(|requests| requests.declined())
    }

    /// Has those who wait for something to claim look again.
    pub(super) fn look_again(&self) {
        self.changed.notify_waiters();
    }

    fn with<T>(&self, change: impl FnOnce(&mut Requests) -> T) -> T {
        let mut requests = self.requests.lock();
        let outcome = change(&mut requests);
        self.len.store(requests.total(), Ordering::Release);
        outcome
    }
}

impl Inner {
    /// A call found no session. Under the slot's lock, so that one which comes then closes the
    /// request.
    pub(super) fn want(&self, want: &Want<'_>) {
        let now = self.moment();
        // One too many, or one who does not want to be asked: this call fails either way.
        if let Ok((_, true)) = self.queue.with(|requests| requests.want(want, now)) {
            self.queue.changed.notify_waiters();
        }
    }

    /// As [`Inner::want`], for a call that waits and was registered with the slot before.
    pub(super) fn join(
        &self,
        want: &Want<'_>,
        purpose: Option<&Purpose>,
        place: Option<Place>,
    ) -> Result<Place, Error> {
        let now = self.moment();
        match self.queue.with(|requests| requests.join(want, purpose, place, now)) {
            Ok((place, new)) => {
                if new {
                    self.queue.changed.notify_waiters();
                }
                Ok(place)
            }
            Err(Refused::Declined(declined)) => Err(declined.into()),
            Err(Refused::Full) => Err(Error::Overloaded { limit: Limit::Requests(self.queue.max) }),
        }
    }

    pub(super) fn leave(&self, user: &UserId, place: Place, purpose: Option<&Purpose>) {
        let now = self.moment();
        self.queue.with(|requests| requests.leave(user, place, purpose, now));
    }

    /// Gives a request back, to be handed out from then on, if the claim still holds. Says whether it
    /// did.
    fn give_back(&self, user: &UserId, claim: u64, from: u64) -> bool {
        let now = self.moment();
        let held = self.queue.with(|requests| requests.release(user, claim, from, now));
        if held {
            self.queue.changed.notify_waiters();
        }
        held
    }

    /// A session has come. Under the slot's lock.
    pub(super) fn answered(&self, session: &Session) {
        if self.queue.len.load(Ordering::Acquire) > 0 {
            let (user, came) = (session.user(), Came::of(session));
            self.queue.with(|requests| requests.close(user, came));
        }
    }
}

/// Those who have to log in again, as state and not as a stream of messages: one request a user,
/// however many calls and tasks want it, for as long as it is true. From
/// [`SessionManager::reauth_queue`]. Clones are the same queue.
///
/// A request is open from when the first call finds no session until a session arrives, from
/// wherever, or until nobody has wanted it for [a
/// while](crate::SessionManagerBuilder::request_life). A worker *claims* it for some time, the lease:
/// nobody else gets it meanwhile. It then has the person log in, which answers the request by
/// itself, or [declines](Claim::decline) for the person, or [puts it aside](Claim::release). If the
/// worker drops the claim or lets the lease run out, the request is handed out again. A slow worker
/// loses nothing, and users who have logged in meanwhile are not handed out at all.
///
/// Several processes on one store each have a queue of their own, of what their own calls wait for,
/// and workers of their own. With a common [`LeaseStore`](crate::LeaseStore), set by
/// [`leases`](crate::SessionManagerBuilder::leases), a user is handed out in one of them at a time.
///
/// Claiming asks the store: [`next`](Self::next), [`try_next`](Self::try_next) and
/// [`claim`](Self::claim) panic outside of a tokio runtime with its timer enabled. Dropping one of
/// their futures loses nothing: what it had claimed is handed out again.
///
/// ```
/// use std::time::Duration;
/// use moojo_session::{MemoryStore, Purpose, SessionManager, UserId, Wait};
/// # use chrono::{TimeDelta, Utc};
/// # use moojo_session::{AccessToken, Session};
/// # fn log_in(user: &UserId) -> Session {
/// #     let token = AccessToken::new("6c0350a00925").unwrap();
/// #     let ends = Utc::now() + TimeDelta::hours(2);
/// #     Session::builder(user.clone(), token).expires_at(ends).build().unwrap()
/// # }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let sessions = SessionManager::new(MemoryStore::new());
/// let queue = sessions.reauth_queue();
///
/// // A worker: asks people, here one after the other.
/// tokio::spawn(async move {
///     loop {
///         let claim = queue.next().await;
///         let request = claim.request();
///         println!("{} has to log in", request.user());
///         for purpose in request.purposes() {
///             println!("  for {purpose}");
///         }
///         let session = log_in(request.user());
///         claim.answer(session).await.ok();
///     }
/// });
///
/// // A call: waits for the person.
/// let alice = UserId::new("alice")?;
/// let wait = Wait::up_to(Duration::from_secs(300)).purpose(Purpose::new("calendar search")?);
/// let session = sessions.wait_with(&alice, &wait).await?;
/// assert_eq!(session.user(), &alice);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct ReauthQueue(SessionManager);

impl ReauthQueue {
    pub(super) fn new(sessions: SessionManager) -> Self {
        Self(sessions)
    }

    /// Claims the next open request, or waits for one: of those that were handed out least often, the
    /// oldest. Whether it is still needed is looked up in the store first, and while the store does
    /// not answer nothing is handed out (rule 6).
    ///
    /// The lease is that of [`lease`](crate::SessionManagerBuilder::lease).
    pub async fn next(&self) -> Claim {
        let inner = &self.0.0;
        loop {
            // Registered before the look.
            let mut changed = pin!(inner.queue.changed.notified());
            changed.as_mut().enable();
            if let Some(claim) = self.claim_where(None).await {
                return claim;
            }
            // While the store rests, nothing is claimed before it is asked again.
            let rest = inner.breaker.rests_until(inner.moment());
            let next = rest.or_else(|| inner.queue.with(|requests| requests.next_look()));
            let mut timer = next.map(|at| inner.sleep_until(at));
            poll_fn(|cx| {
                if changed.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(());
                }
                timer.as_mut().map_or(Poll::Pending, |timer| timer.as_mut().poll(cx))
            })
            .await;
        }
    }

    /// As [`next`](Self::next), without waiting: `None` if no request is open, or the store does not
    /// say whether one is still needed.
    pub async fn try_next(&self) -> Option<Claim> {
        self.claim_where(None).await
    }

    /// Claims the request of this user, if there is one and nobody else has it, even if it was
    /// [put aside](Claim::release): for when the person comes by. `None` also if the store does not
    /// say whether it is still needed. With a common [`LeaseStore`](crate::LeaseStore), a process that
    /// put it aside has it until then, and only that process can claim it.
    pub async fn claim(&self, user: &UserId) -> Option<Claim> {
        self.claim_where(Some(user)).await
    }

    /// The open requests of users whose names come after `after`, at most `max` of them, whether
    /// claimed or not.
    pub fn list(&self, after: Option<&UserId>, max: usize) -> Vec<ReauthRequest> {
        let inner = &self.0.0;
        let now = inner.moment();
        inner.queue.with(|requests| requests.list(after, max, now))
    }

    /// How many requests are open, claimed or not. It counts them.
    pub fn len(&self) -> usize {
        let inner = &self.0.0;
        let now = inner.moment();
        inner.queue.with(|requests| requests.len(now))
    }

    /// Whether nobody has to log in.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    async fn claim_where(&self, user: Option<&UserId>) -> Option<Claim> {
        let inner = &self.0.0;
        loop {
            if user.is_none() && inner.breaker.rests_until(inner.moment()).is_some() {
                return None;
            }
            // The lease begins after the look, for which there is time before.
            let look = inner.queue.lease.saturating_add(inner.load_timeout());
            let (now, until) = (inner.moment(), inner.moment_after(look));
            let claimed = inner.queue.with(|requests| requests.claim(user, until, now))?;
            let claim = Claim::new(self.0.clone(), claimed);
            match self.is_due(&claim).await {
                Ok(Due::Now(from)) => {
                    let user = claim.request().user().clone();
                    // Other processes may take over when the lease ends: so does the claim.
                    let until = from.saturating_add(nanos(inner.queue.lease));
                    if let Some(claim) = claim.hand_out(until) {
                        return Some(claim);
                    }
                    // Answered meanwhile.
                    inner.release_lease(&user);
                    continue;
                }
                // If it was wanted anew at this moment, it goes back.
                Ok(Due::Over) => continue,
                // A login there ends the request here. If none comes, it is looked at again.
                Ok(Due::Elsewhere(left)) => claim.put_aside(left.max(STORE_PAUSE)),
                Ok(Due::Declined(reason, left)) => {
                    let _ = claim.decline_here(reason, left);
                }
                // Nobody knows whether it is needed: nobody is prompted (rule 6).
                Err(error) => {
                    let now = inner.clock.monotonic();
                    inner.trouble.note_put_aside(claim.request().user(), &error, now);
                    claim.put_aside(STORE_PAUSE);
                }
            }
            // Nobody is to be asked for now: a worker goes on to the next one.
            if user.is_some() {
                return None;
            }
        }
    }

    /// Whether a person is to be asked here and now.
    async fn is_due(&self, claim: &Claim) -> Result<Due, Error> {
        if !self.is_needed(claim).await? {
            return Ok(Due::Over);
        }
        let inner = &self.0.0;
        let (lease, from) = inner.acquire_lease(claim.request().user(), inner.queue.lease).await?;
        Ok(match lease {
            Lease::Acquired => Due::Now(from),
            Lease::Held(left) => Due::Elsewhere(left),
            Lease::Declined(reason, left) => Due::Declined(reason, left),
        })
    }

    /// Whether there is still no session, says the store (rule 11), and no way to one without the
    /// person. It is closed if there is one.
    async fn is_needed(&self, claim: &Claim) -> Result<bool, Error> {
        let inner = &self.0.0;
        let slot = self.0.pin(claim.request().user())?;
        let needed_end = claim.request().needed_end;
        let mut looked = inner.look(&slot, false).await;
        if let Ok(session) = &looked
            && !lives(session, needed_end)
            && !inner.is_latest(&slot, session).await?
        {
            looked = inner.look(&slot, false).await;
        }
        match looked {
            Ok(_) => {}
            Err(Error::ReauthRequired(_)) => return Ok(true),
            Err(other) => return Err(other),
        }
        {
            let locked = slot.lock();
            let Some(session) = locked.live(inner.now(), inner.epoch()) else { return Ok(false) };
            if claim.finish(Came::of(&session)) {
                return Ok(false);
            }
        }
        // It ends too soon. One that is saved answers the request by itself; one that the renewal came
        // across, and that nobody has told of yet, does not.
        let renewed = inner.renew(&slot, ReauthReason::ExpiresTooSoon, needed_end).await?;
        Ok(!renewed.is_some_and(|session| claim.finish(Came::of(&session))))
    }
}

enum Due {
    /// By the lease that began then.
    Now(u64),
    /// Another process cares for the person, for this long.
    Elsewhere(Duration),
    /// The person does not want to be asked, for this long.
    Declined(DeclineReason, Duration),
    /// There is a session.
    Over,
}

impl fmt::Debug for ReauthQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReauthQueue").field("open", &self.len()).finish_non_exhaustive()
    }
}
