//! Notices before sessions end, and how many end when.

use std::fmt;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::task::Poll;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::Notify;

use super::calendar::{Calendar, Notice};
use super::slot::Locked;
use super::{Inner, SessionManager};
use crate::clock::nanos;
use crate::session::{Session, SessionId};
use crate::shown::Chain;
use crate::user::UserId;

/// Notices that are given at once.
const BATCH: usize = 1024;

/// A notice of which nobody knows whether it may be given here and now is asked about again after this
/// time.
const ASK_AGAIN: Duration = Duration::from_secs(30);

/// The longest sleep between two looks at the wall clock, which may be set forward.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// The calendar, and those who wait for it.
pub(super) struct Notices {
    calendar: Calendar,
    /// Told when something comes due before `armed`.
    earlier: Notify,
    /// Until when those who wait sleep, in nanoseconds of Unix time.
    armed: AtomicI64,
}

impl Notices {
    pub(super) fn new(leads: Vec<Duration>, max: usize) -> Self {
        let calendar = Calendar::new(leads, max);
        Self { calendar, earlier: Notify::new(), armed: AtomicI64::new(i64::MAX) }
    }

    /// Gives the session that this one has taken the place of, and its end.
    fn arrived(
        &self,
        user: &UserId,
        id: SessionId,
        end: i64,
        now: i64,
    ) -> Option<(SessionId, i64)> {
        let other = self.calendar.arrived(user, id, end, now);
        let due = self.calendar.next_due().unwrap_or(i64::MAX);
        if due < self.armed.load(Ordering::SeqCst) {
            self.earlier.notify_waiters();
        }
        other
    }
}

/// What becomes of a user's notices: all of it under her slot's lock, if there is a slot, so that it
/// comes in the order of what is noted there.
///
/// The feed is late: what it tells may be older than what this process has saved since. But it tells
/// the changes of one user in order, so its last word is right. Who has another session than the
/// feed said last, or none, is out of the calendar; the slot remembers when the session ends that was
/// taken out, and puts it back when the feed comes to it.
impl Inner {
    /// The session was saved or loaded, and noted in the slot.
    pub(super) fn schedule(&self, session: &Session, slot: Option<&mut Locked<'_>>) {
        let Some(notices) = &self.notices else { return };
        let (user, id, end) = (session.user(), session.id(), session.expires_nanos());
        let now = self.clock.read().unix_nanos;
        // In the slot unless something else has happened meanwhile: then this may be the user's
        // session, or another is by now.
        let Some(slot) = slot.filter(|slot| slot.current_id() != Some(id)) else {
            notices.arrived(user, id, end, now);
            return;
        };
        if slot.may_have_stayed(id) {
            if let Some(other) = notices.arrived(user, id, end, now) {
                slot.put_by(other);
            }
        } else {
            slot.put_by((id, end));
        }
    }

    /// The user has no session any more.
    pub(super) fn unschedule(&self, user: &UserId, slot: Option<&mut Locked<'_>>) {
        self.unschedule_if(user, |_| true, slot);
    }

    /// The user has no session any more of which this is true.
    pub(super) fn unschedule_if(
        &self,
        user: &UserId,
        is_gone: impl Fn(SessionId) -> bool,
        slot: Option<&mut Locked<'_>>,
    ) {
        let Some(notices) = &self.notices else { return };
        notices.calendar.gone(user, &is_gone);
        if let Some(slot) = slot {
            slot.forget_put_by(is_gone);
        }
    }

    /// The feed says that the user's session is now the one with this id, or that there is none.
    pub(super) fn reschedule(
        &self,
        user: &UserId,
        current: Option<SessionId>,
        slot: Option<&mut Locked<'_>>,
    ) {
        let Some(notices) = &self.notices else { return };
        let out = notices.calendar.gone(user, |id| Some(id) != current);
        let Some(slot) = slot else { return };
        let back = current.and_then(|id| slot.take_put_by(id));
        // What the feed has come to already does not come again.
        if let Some(out) = out.filter(|out| !slot.has_heard_of(out.0)) {
            slot.put_by(out);
        }
        slot.heard(current);
        if let Some((id, end)) = back {
            notices.arrived(user, id, end, self.clock.read().unix_nanos);
        }
    }
}

/// A session ends soon: the time to ask the person before work is interrupted.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExpiringSoon {
    /// Whose.
    pub user: UserId,
    /// Which.
    pub id: SessionId,
    /// When it ends.
    pub expires_at: DateTime<Utc>,
    /// Which of the [times before the end](crate::SessionManagerBuilder::expiry_notices) this notice
    /// is for. Less may be left, if it was held back or nobody took it.
    pub lead: Duration,
}

type Quiet = dyn Fn(&UserId, DateTime<Utc>) -> Option<DateTime<Utc>> + Send + Sync;

/// The notices of a manager; from [`SessionManager::expiry_notices`].
///
/// They come from a calendar of the sessions that this process has seen, not from a stream: a slow
/// reader loses none that is still of use, and each is given to one reader. A session that was
/// replaced, revoked or has ended gives no notice, nor does one that was loaded from the store when
/// the time of the notice was past. If the store's change feed loses changes just after a session
/// was saved, that one may give none until it is used again.
///
/// Every process gives the notices of the sessions that it has seen; of those on the same
/// [leases](crate::SessionManagerBuilder::leases), one gives each.
///
/// ```
/// use std::time::Duration;
/// use moojo_session::{MemoryStore, SessionManager};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let minutes = |n: u64| Duration::from_secs(60 * n);
/// let sessions = SessionManager::builder(MemoryStore::new())
///     .expiry_notices([minutes(15), minutes(5)])
///     .build();
/// let notices = sessions.expiry_notices().expect("they were set");
/// tokio::spawn(async move {
///     loop {
///         for notice in notices.next().await {
///             println!("{} should log in again before {}", notice.user, notice.expires_at);
///         }
///     }
/// });
/// # }
/// ```
#[derive(Clone)]
pub struct ExpiryNotices {
    sessions: SessionManager,
    quiet: Option<Arc<Quiet>>,
}

impl ExpiryNotices {
    /// Holds notices back while a user is not to be disturbed. `quiet_until` says until when that is
    /// for a user at a time, in the user's own time zone, or `None`. What is held until one moment is
    /// given together then, unless the session has ended or was replaced. Should `quiet_until` panic,
    /// that user's notice is held back for half a minute, and it is asked again.
    #[must_use]
    pub fn quiet_hours(
        mut self,
        quiet_until: impl Fn(&UserId, DateTime<Utc>) -> Option<DateTime<Utc>> + Send + Sync + 'static,
    ) -> Self {
        self.quiet = Some(Arc::new(quiet_until));
        self
    }

    /// The notices that are due, or the next that will be; some thousand at most. Dropping the
    /// future loses none.
    pub async fn next(&self) -> Vec<ExpiringSoon> {
        let inner = &self.sessions.0;
        let Some(notices) = &inner.notices else { return std::future::pending().await };
        loop {
            let mut earlier = pin!(notices.earlier.notified());
            earlier.as_mut().enable();
            let due = self.due(notices);
            if !due.is_empty() {
                let given = self.given_here(notices, due).await;
                if given.is_empty() {
                    continue;
                }
                return given.into_iter().map(ExpiringSoon::from).collect();
            }
            let next = notices.calendar.next_due().unwrap_or(i64::MAX);
            notices.armed.store(next, Ordering::SeqCst);
            // One that came in between has not seen what was just noted.
            if notices.calendar.next_due().unwrap_or(i64::MAX) < next {
                continue;
            }
            let left = next.saturating_sub(inner.clock.read().unix_nanos);
            let left = Duration::from_nanos(u64::try_from(left).unwrap_or(0));
            let mut time = inner.clock.sleep(left.clamp(Duration::from_millis(1), LOOK_AGAIN));
            poll_fn(|cx| match earlier.as_mut().poll(cx) {
                Poll::Ready(()) => Poll::Ready(()),
                Poll::Pending => time.as_mut().poll(cx),
            })
            .await;
        }
    }

    /// How many sessions are in the calendar. Those that have just ended may be among them.
    pub fn scheduled(&self) -> usize {
        self.sessions.0.notices.as_ref().map_or(0, |notices| notices.calendar.len())
    }

    /// How many sessions found no room in the calendar, and give no notice.
    pub fn left_out(&self) -> u64 {
        self.sessions.0.notices.as_ref().map_or(0, |notices| notices.calendar.left_out())
    }

    fn due(&self, notices: &Notices) -> Vec<Notice> {
        let now = self.sessions.0.clock.read().unix_nanos;
        let wall = DateTime::from_timestamp_nanos(now);
        let mut due = notices.calendar.due(now, BATCH);
        if let Some(quiet) = &self.quiet {
            due.retain(|notice| match quiet_until(&**quiet, &notice.user, wall) {
                None => true,
                Some(until) => {
                    let until = until.timestamp_nanos_opt().unwrap_or(i64::MAX);
                    notices.calendar.hold(notice, until);
                    false
                }
            });
        }
        due
    }

    /// Those of them that no other process gives.
    async fn given_here(&self, notices: &Notices, due: Vec<Notice>) -> Vec<Notice> {
        let inner = &self.sessions.0;
        if inner.leases.is_none() {
            return due;
        }
        let mut taken = Taken { sessions: &self.sessions, calendar: &notices.calendar, due, at: 0 };
        while let Some(notice) = taken.due.get(taken.at) {
            match inner.acquire_notice(notice).await {
                Ok(true) => taken.at += 1,
                Ok(false) => drop(taken.due.swap_remove(taken.at)),
                Err(error) => {
                    let error = Chain(&error);
                    tracing::warn!(user = %notice.user, %error, "a notice is held back");
                    taken.hold_back();
                }
            }
        }
        std::mem::take(&mut taken.due)
    }
}

/// Until when the user is not to be disturbed, if that is later than `now`. Not for a while if nobody
/// can say so; the others' notices are given all the same.
fn quiet_until(quiet: &Quiet, user: &UserId, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let until = catch_unwind(AssertUnwindSafe(|| quiet(user, now))).unwrap_or_else(|_| {
        tracing::error!(%user, "the quiet hours panicked: a notice is held back");
        Some(now + ASK_AGAIN)
    });
    until.filter(|until| *until > now)
}

/// Notices that are being asked about: given back if that is not waited for.
struct Taken<'a> {
    sessions: &'a SessionManager,
    calendar: &'a Calendar,
    due: Vec<Notice>,
    /// The one that is asked about; those before it are given here.
    at: usize,
}

impl Taken<'_> {
    /// Nobody knows who gives this one: it is asked again.
    fn hold_back(&mut self) {
        let notice = self.due.swap_remove(self.at);
        let now = self.sessions.0.clock.read().unix_nanos;
        self.calendar.hold(&notice, now.saturating_add_unsigned(nanos(ASK_AGAIN)));
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        let now = self.sessions.0.clock.read().unix_nanos;
        for notice in &self.due {
            self.calendar.hold(notice, now);
        }
    }
}

impl From<Notice> for ExpiringSoon {
    fn from(notice: Notice) -> Self {
        Self {
            user: notice.user,
            id: notice.id,
            expires_at: DateTime::from_timestamp_nanos(notice.end),
            lead: notice.lead,
        }
    }
}

impl SessionManager {
    /// The notices before sessions end. `None` unless
    /// [times for them](crate::SessionManagerBuilder::expiry_notices) were set.
    pub fn expiry_notices(&self) -> Option<ExpiryNotices> {
        let sessions = self.clone();
        self.0.notices.as_ref().map(|_| ExpiryNotices { sessions, quiet: None })
    }

    /// How many of the sessions that this process has seen end in each of the next so many minutes
    /// (up to a week of them), the first beginning now: for planning. It costs the same however many
    /// sessions there are. `None` unless [notices](crate::SessionManagerBuilder::expiry_notices) were
    /// set.
    pub fn forecast(&self, minutes: usize) -> Option<Vec<usize>> {
        let now = self.0.clock.read().unix_nanos;
        let minutes = minutes.min(7 * 24 * 60);
        self.0.notices.as_ref().map(|notices| notices.calendar.forecast(now, minutes))
    }
}

impl fmt::Debug for ExpiryNotices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExpiryNotices")
            .field("has_quiet_hours", &self.quiet.is_some())
            .finish_non_exhaustive()
    }
}
