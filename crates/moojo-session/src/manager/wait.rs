//! Waiting for a login, and sessions that have to be good for long enough.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use tokio::sync::Notify;

use super::Inner;
use super::breaker::is_outage;
use super::queue::{Place, Want};
use super::slot::{Slot, SlotRef};
use crate::clock::Sleep;
use crate::error::{Error, Limit};
use crate::reauth::{Purpose, ReauthReason, ReauthRequired};
use crate::session::Session;
use crate::store::StoreError;

/// When a store is asked again that failed but is not resting.
const AFTER_A_FAILURE: Duration = Duration::from_secs(2);

/// How a call waits for a person to log in; for
/// [`SessionManager::wait_with`](crate::SessionManager::wait_with).
///
/// ```
/// use std::time::Duration;
/// use moojo_session::{Purpose, Wait};
///
/// let minutes = |n: u64| Duration::from_secs(60 * n);
/// // Up to 5 minutes, for a session that is good for 20 from now on.
/// let wait = Wait::up_to(minutes(5))
///     .purpose(Purpose::new("calendar search")?)
///     .valid_for(minutes(20));
/// # Ok::<(), moojo_session::InvalidPurpose>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Wait {
    timeout: Duration,
    purpose: Option<Purpose>,
    valid_for: Duration,
}

impl Wait {
    /// Waits at most this long, counted by [`Clock::sleep`](crate::Clock::sleep). A look at the store
    /// that is under way when the time is over is waited for.
    pub fn up_to(timeout: Duration) -> Self {
        Self { timeout, purpose: None, valid_for: Duration::ZERO }
    }

    /// What the call is for: told to the person.
    pub fn purpose(self, purpose: impl Into<Option<Purpose>>) -> Self {
        Self { purpose: purpose.into(), ..self }
    }

    /// Waits for a session that is good for this long from now on, even if there is one that ends
    /// sooner.
    pub fn valid_for(self, time: Duration) -> Self {
        Self { valid_for: time, ..self }
    }
}

impl Inner {
    pub(super) async fn wait(
        self: &Arc<Self>,
        slot: &SlotRef,
        wait: &Wait,
    ) -> Result<Session, Error> {
        let needed_end = self.needed_end(wait.valid_for);
        // Who need not wait takes nobody's place.
        if let Some(session) = slot.live(self.now(), self.epoch()).filter(|s| lives(s, needed_end))
        {
            return Ok(session);
        }
        let mut waiter = Waiter::register(self, slot, wait.purpose.as_ref())?;
        let mut deadline = self.clock.sleep(wait.timeout);
        let (mut over, mut in_turn) = (false, false);
        loop {
            // Registered before the look, and so before anybody is prompted (rule 11): what
            // arrives after the look wakes this waiter.
            let arrivals = Arc::clone(&waiter.arrivals);
            let mut arrival = pin!(arrivals.notified());
            arrival.as_mut().enable();
            let mut gap = pin!(self.gaps.notified());
            gap.as_mut().enable();
            let mut looked = self.look_or_last_known(slot, in_turn).await;
            // The first time and the last: a load wakes those who wait, who make no other.
            if (!waiter.waits() || over)
                && let Ok(session) = &looked
                && !lives(session, needed_end)
                && !self.is_latest(slot, session).await?
            {
                looked = self.look_or_last_known(slot, in_turn).await;
            }
            let looked = match looked {
                Ok(session) if lives(&session, needed_end) => return Ok(session),
                Ok(session) => {
                    self.check_life(&session, wait.valid_for)?;
                    let renewed = self.renew(slot, ReauthReason::ExpiresTooSoon, needed_end).await;
                    self.long_enough(renewed, slot, needed_end)
                }
                Err(error) => Err(error),
            };
            let mut again = None;
            let signal = match looked {
                Ok(session) => return Ok(session),
                Err(Error::ReauthRequired(signal)) => Some(signal),
                // Who waits already goes on: there will be an answer, or the deadline (rule 6). A
                // login may be what the store could not tell, so it is asked again.
                Err(Error::Store(error)) if waiter.waits() && !over && is_outage(&error) => {
                    again = Some(self.after_a_failure());
                    None
                }
                Err(other) => return Err(other),
            };
            if let Some(signal) = signal {
                if !waiter.join(&signal, needed_end)? {
                    continue;
                }
                if over {
                    return Err(signal.with_waited(wait.timeout).into());
                }
            }
            over = poll_fn(|cx| {
                // First of all: whoever is woken again and again comes to an end, too.
                if deadline.as_mut().poll(cx).is_ready() {
                    in_turn = false;
                    return Poll::Ready(true);
                }
                if arrival.as_mut().poll(cx).is_ready() {
                    in_turn = false;
                    return Poll::Ready(false);
                }
                // With all others who wait.
                in_turn = true;
                let woken = gap.as_mut().poll(cx).is_ready()
                    || again.as_mut().is_some_and(|again| again.as_mut().poll(cx).is_ready());
                if woken { Poll::Ready(false) } else { Poll::Pending }
            })
            .await;
        }
    }

    /// The live session if it is good for so long, or a renewed one. If there is none, the user has
    /// to log in: that becomes a request.
    pub(super) async fn ensure_valid_for(
        self: &Arc<Self>,
        slot: &SlotRef,
        time: Duration,
    ) -> Result<Session, Error> {
        let mut session = self.get(slot).await?;
        let needed_end = self.needed_end(time);
        if !lives(&session, needed_end) && !self.is_latest(slot, &session).await? {
            session = self.get(slot).await?;
        }
        if lives(&session, needed_end) {
            return Ok(session);
        }
        self.check_life(&session, time)?;
        let renewed = self.renew(slot, ReauthReason::ExpiresTooSoon, needed_end).await;
        let signal = match self.long_enough(renewed, slot, needed_end) {
            Err(Error::ReauthRequired(signal)) => signal,
            other => return other,
        };
        let locked = slot.lock();
        match locked.live(self.now(), self.epoch()) {
            Some(newer) if lives(&newer, needed_end) => Ok(newer),
            _ => {
                self.want(&Want::new(&signal, needed_end));
                Err(signal.into())
            }
        }
    }

    /// What was renewed if it ends when it is needed to, or the signal that nothing of the kind was.
    fn long_enough(
        &self,
        renewed: Result<Option<Session>, StoreError>,
        slot: &Slot,
        needed_end: Option<i64>,
    ) -> Result<Session, Error> {
        match renewed? {
            Some(renewed) if lives(&renewed, needed_end) => Ok(renewed),
            _ => Err(self.signal(slot.user(), ReauthReason::ExpiresTooSoon).into()),
        }
    }

    /// Whether a session that ends too soon is the latest. If nobody tells of changes, or the store was
    /// away, only the store can say (rules 6 and 11). One that is not is in doubt from then on.
    pub(super) async fn is_latest(
        &self,
        slot: &Slot,
        session: &Session,
    ) -> Result<bool, StoreError> {
        if self.feed.hears_at_once() && slot.live(self.now(), self.epoch()).is_some() {
            return Ok(true);
        }
        let there = self.load(slot.user()).await?;
        let is_latest = there.is_some_and(|there| there.id() == session.id());
        if !is_latest {
            slot.lock().doubt();
        }
        Ok(is_latest)
    }

    /// The time after which a store is asked again that has failed.
    pub(super) fn after_a_failure(&self) -> Sleep {
        let rest = self.breaker.rests_until(self.moment());
        self.sleep_until(rest.unwrap_or_else(|| self.moment_after(AFTER_A_FAILURE)))
    }

    /// When a session has to end, or later, to be good for this long from now on. `None` if any
    /// will do.
    fn needed_end(&self, valid_for: Duration) -> Option<i64> {
        let nanos = i64::try_from(valid_for.as_nanos()).unwrap_or(i64::MAX);
        (nanos > 0).then(|| self.now().wall.saturating_add(nanos))
    }

    /// Whether the person's next session can be good for so long.
    fn check_life(&self, session: &Session, valid_for: Duration) -> Result<(), Error> {
        let life = (session.expires_at() - session.issued_at()).to_std().unwrap_or_default();
        let wanted = valid_for.saturating_add(Duration::from_nanos(self.margin_nanos));
        if life < wanted {
            return Err(Error::LifeTooShort { life, wanted });
        }
        Ok(())
    }
}

/// Whether the session ends when it is needed to, or later.
pub(super) fn lives(session: &Session, needed_end: Option<i64>) -> bool {
    needed_end.is_none_or(|needed| needed <= session.expires_nanos())
}

/// A place among those who wait; given back when it is dropped.
struct Waiter<'a> {
    manager: &'a Inner,
    slot: &'a Slot,
    arrivals: Arc<Notify>,
    purpose: Option<&'a Purpose>,
    /// Its place in the request that it waits for.
    place: Option<Place>,
}

impl<'a> Waiter<'a> {
    fn register(
        manager: &'a Inner,
        slot: &'a Slot,
        purpose: Option<&'a Purpose>,
    ) -> Result<Self, Error> {
        let (all, of_user) = (manager.max_waiters, manager.max_waiters_per_user);
        let one_more = |waiting| (waiting < all).then_some(waiting + 1);
        if manager.waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_err() {
            return Err(Error::Overloaded { limit: Limit::Waiters(all) });
        }
        match slot.lock().join(of_user) {
            Some(arrivals) => Ok(Self { manager, slot, arrivals, purpose, place: None }),
            None => {
                manager.waiting.fetch_sub(1, Ordering::Relaxed);
                Err(Error::Overloaded { limit: Limit::WaitersOfUser(of_user) })
            }
        }
    }

    /// Whether the person is being asked for this call.
    fn waits(&self) -> bool {
        self.place.is_some()
    }

    /// Has the person asked, unless a session has come meanwhile: then it is `false`, and it has to
    /// be looked for again.
    fn join(&mut self, signal: &ReauthRequired, needed_end: Option<i64>) -> Result<bool, Error> {
        let slot = self.slot.lock();
        let live = slot.live(self.manager.now(), self.manager.epoch());
        if live.is_some_and(|session| lives(&session, needed_end)) {
            return Ok(false);
        }
        let want = Want::new(signal, needed_end);
        self.place = Some(self.manager.join(&want, self.purpose, self.place)?);
        Ok(true)
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.manager.waiting.fetch_sub(1, Ordering::Relaxed);
        self.slot.lock().leave();
        if let Some(place) = self.place {
            self.manager.leave(self.slot.user(), place, self.purpose);
        }
    }
}
