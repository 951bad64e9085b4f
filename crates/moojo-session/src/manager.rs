//! This process's view of the store: the sessions it is busy with, and all that is decided about
//! them.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, broadcast};

use crate::clock::{Clock, ClockReading, Sleep, nanos};
use crate::error::{Error, Limit};
use crate::session::{Session, SessionId};
use crate::store::{SessionStore, StoreError};
use crate::sync::{AtomicU32, AtomicUsize, timeout};
use crate::user::UserId;

mod arrival;
mod breaker;
mod builder;
mod calendar;
mod change;
mod events;
mod feed;
mod for_layer;
mod groups;
mod handle;
mod load;
mod notices;
mod queue;
mod renew;
mod slot;
mod table;
mod trouble;
mod wait;

pub use arrival::{Arrival, Arrived};
pub use builder::SessionManagerBuilder;
pub use events::{Event, EventStream};
pub use handle::UserHandle;
pub use notices::{ExpiringSoon, ExpiryNotices};
pub use queue::{Claim, ClaimLost, ReauthQueue, ReauthRequest};
pub use wait::Wait;

use breaker::Breaker;
use feed::Feed;
use notices::Notices;
use queue::{Leases, Queue};
use renew::Renewal;
pub(crate) use slot::Pass;
use slot::{Now, SlotRef};
use table::Table;
use trouble::{Call, Trouble};

/// The sessions of all users of one process, in front of a [`SessionStore`].
///
/// The store is the truth. The manager remembers what it last saw of each user that the process is
/// busy with, so that a request for a user who is logged in does not touch the store; it loads once
/// however many ask at the same time, and judges by its [`Clock`] whether a session
/// has ended. Clones are the same manager.
///
/// All methods take the runtime that they are called on: they panic outside of a tokio runtime
/// with its timer enabled when they have to ask the store. Every future may be dropped at any
/// time: a load goes on for those who share it, and a change that was cut short is looked up again.
///
/// ```
/// use chrono::{TimeDelta, Utc};
/// use moojo_session::{AccessToken, MemoryStore, Session, SessionManager, UserId};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let sessions = SessionManager::new(MemoryStore::new());
/// let alice = UserId::new("alice")?;
///
/// let login = Session::builder(alice.clone(), AccessToken::new("6c0350a00925")?)
///     .expires_at(Utc::now() + TimeDelta::hours(2))
///     .build()?;
/// sessions.insert(login).await?;
/// assert_eq!(sessions.get(&alice).await?.user(), &alice);
///
/// sessions.revoke(&alice).await?;
/// assert!(sessions.get(&alice).await.is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct SessionManager(Arc<Inner>);

struct Inner {
    id: ManagerId,
    store: Arc<dyn SessionStore>,
    clock: Arc<dyn Clock>,
    margin_nanos: u64,
    store_timeout: Duration,
    breaker: Breaker,
    trouble: Trouble,
    max_staleness: Duration,
    miss_life: Duration,
    table: Table,
    /// Bounds how many users are loaded at once because all who wait look again.
    turns: Semaphore,
    /// Goes up whenever changes of the store may have been missed.
    epoch: AtomicU32,
    feed: Feed,
    events: broadcast::Sender<Event>,
    /// Told whenever changes may have been missed.
    gaps: Notify,
    waiting: AtomicUsize,
    max_waiters: usize,
    max_waiters_per_user: usize,
    queue: Queue,
    leases: Option<Arc<Leases>>,
    renewal: Option<Renewal>,
    notices: Option<Notices>,
}

/// Tells managers of one process apart: a handle works with the manager that it is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct ManagerId(usize);

impl SessionManager {
    /// A manager with the default settings.
    pub fn new(store: impl SessionStore) -> Self {
        Self::builder(store).build()
    }

    /// A manager with settings.
    pub fn builder<S: SessionStore>(store: S) -> SessionManagerBuilder {
        SessionManagerBuilder::new(store)
    }

    /// The user's live session: the one in memory, or else the one in the store. However many call
    /// this at once, the store is asked once.
    ///
    /// # Errors
    /// [`Error::ReauthRequired`] if there is none, [`Error::Store`] if the store fails or does not
    /// answer in time, [`Error::Overloaded`] if the limit of users is reached. While the store is
    /// unavailable, the session last seen is given until its end, unless it is known to have changed.
    pub async fn get(&self, user: &UserId) -> Result<Session, Error> {
        let live = |slot: &SlotRef| slot.live(self.0.now(), self.0.epoch());
        if let Some(session) = self.0.table.read(user, live).flatten() {
            return Ok(session);
        }
        let slot = self.pin(user)?;
        self.0.get(&slot).await
    }

    /// Takes a session in: saves it in the store, in place of whatever the user had, and wakes who
    /// waits for it.
    ///
    /// # Errors
    /// [`Error::AlreadyExpired`] if its end has passed; nothing is changed then. [`Error::Store`]
    /// if the store fails or does not answer in time: the session may have been saved or not.
    pub async fn insert(&self, session: Session) -> Result<(), Error> {
        let user = session.user().clone();
        self.0.insert(session).await?;
        // Not for one that was renewed without the person: she may still not want to be asked.
        self.0.clear_lease(&user);
        Ok(())
    }

    /// Removes the user's session, whichever it is. Says whether there was one.
    ///
    /// # Errors
    /// [`Error::Store`] if the store fails or does not answer in time. This process then asks the
    /// store before it uses the session again; if that still has it, it is in use again. So call this
    /// again until it succeeds.
    pub async fn revoke(&self, user: &UserId) -> Result<bool, Error> {
        self.0.revoke(user).await
    }

    /// Removes this very session, because the server refused it. A newer one stays (rule 5). Says
    /// whether it was still the user's session.
    ///
    /// # Errors
    /// [`Error::Store`] if the store fails or does not answer in time.
    pub async fn reject(&self, session: &Session) -> Result<bool, Error> {
        self.0.reject(session.user(), session.id()).await
    }

    /// The user's live session, or the next one to arrive within `timeout`, as
    /// [`wait_with`](Self::wait_with) of [`Wait::up_to`].
    ///
    /// # Errors
    /// As there.
    pub async fn wait(&self, user: &UserId, timeout: Duration) -> Result<Session, Error> {
        self.wait_with(user, &Wait::up_to(timeout)).await
    }

    /// The user's live session, or the next one to arrive within a time. Meanwhile the user is in the
    /// [`ReauthQueue`] for a worker to ask.
    ///
    /// # Errors
    /// As [`get`](Self::get); [`Error::Declined`] if the person will not log in for now, and
    /// [`Error::Overloaded`] if too many wait already. When the time is over, the store is looked at
    /// a last time; then it is [`Error::ReauthRequired`], whose
    /// [`waited`](crate::ReauthRequired::waited) is set. A call that waits already waits on while the
    /// store is unavailable. [`Error::LifeTooShort`] if no session of the user is good for so long.
    pub async fn wait_with(&self, user: &UserId, wait: &Wait) -> Result<Session, Error> {
        let slot = self.pin(user)?;
        self.0.wait(&slot, wait).await
    }

    /// The user's live session, if it is good for this long from now on; before work that must not
    /// be interrupted. If it ends sooner, another is had without the person where there is
    /// [a way](SessionManagerBuilder::reauthenticate), or else the user is in the [`ReauthQueue`] from
    /// now on. The session that is there stays in use. To wait for the person, see
    /// [`Wait::valid_for`].
    ///
    /// ```
    /// # use chrono::{TimeDelta, Utc};
    /// # use moojo_session::{AccessToken, MemoryStore, Session, UserId};
    /// use std::time::Duration;
    /// use moojo_session::{Error, SessionManager};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let (sessions, alice) = (SessionManager::new(MemoryStore::new()), UserId::new("alice")?);
    /// # let login = Session::builder(alice.clone(), AccessToken::new("6c0350a00925")?)
    /// #     .expires_at(Utc::now() + TimeDelta::hours(2))
    /// #     .build()?;
    /// // Alice has a session of two hours. Half an hour of work can begin, ...
    /// sessions.insert(login).await?;
    /// sessions.ensure_valid_for(&alice, Duration::from_secs(30 * 60)).await?;
    /// // ... and nothing that no session of hers is good for.
    /// let day = sessions.ensure_valid_for(&alice, Duration::from_secs(24 * 3600)).await;
    /// assert!(matches!(day, Err(Error::LifeTooShort { .. })));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`get`](Self::get); [`Error::ReauthRequired`] is for
    /// [`ExpiresTooSoon`](crate::ReauthReason::ExpiresTooSoon) if there is one that ends too soon, and
    /// [`Error::LifeTooShort`] if no session of the user is good for so long. If the store's feed is
    /// not heard, the store is asked first whether there is a longer one by now; while it cannot be
    /// asked, that is [`Error::Store`].
    pub async fn ensure_valid_for(&self, user: &UserId, time: Duration) -> Result<Session, Error> {
        let slot = self.pin(user)?;
        self.0.ensure_valid_for(&slot, time).await
    }

    /// The queue of those who have to log in again.
    pub fn reauth_queue(&self) -> ReauthQueue {
        ReauthQueue::new(self.clone())
    }

    /// A shared pointer to what this manager knows of the user: for who makes many calls for one
    /// user. It skips the lookup and always sees the latest session. It counts against
    /// [`max_users`](SessionManagerBuilder::max_users) as long as it is held, and is given out even
    /// when that limit is reached.
    pub fn handle(&self, user: &UserId) -> UserHandle {
        let now = self.0.now();
        UserHandle::new(self.0.table.pin_always(user, now.seconds()), self.0.id)
    }

    /// What happens to sessions in this process, from now on.
    pub fn events(&self) -> EventStream {
        EventStream::new(&self.0.events)
    }

    /// The clock that the manager judges by.
    pub fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.0.clock)
    }

    /// The number of users whom the process is busy with.
    pub fn users(&self) -> usize {
        self.0.table.len()
    }

    fn pin(&self, user: &UserId) -> Result<SlotRef, Error> {
        let table = &self.0.table;
        table
            .pin(user, self.0.now().seconds())
            .map_err(|table::Full| Error::Overloaded { limit: Limit::Users(table.max()) })
    }
}

impl Inner {
    fn now(&self) -> Now {
        let ClockReading { unix_nanos, monotonic_nanos } = self.clock.read();
        let margin = i64::try_from(self.margin_nanos).unwrap_or(i64::MAX);
        Now {
            wall: unix_nanos.saturating_add(margin),
            steady: monotonic_nanos.saturating_add(self.margin_nanos),
        }
    }

    fn epoch(&self) -> u32 {
        self.epoch.load(Ordering::Acquire)
    }

    /// The steady clock in nanoseconds.
    fn moment(&self) -> u64 {
        self.clock.read().monotonic_nanos
    }

    fn moment_after(&self, time: Duration) -> u64 {
        self.moment().saturating_add(nanos(time))
    }

    /// Sleeps until then by the steady clock, which may be read some milliseconds late: for one at
    /// least, so that who wakes too early does not spin.
    fn sleep_until(&self, moment: u64) -> Sleep {
        let left = Duration::from_nanos(moment.saturating_sub(self.moment()));
        self.clock.sleep(left.max(Duration::from_millis(1)))
    }

    /// When a session that was received now ends by the steady clock.
    fn steady_end(&self, session: &Session, now: Now) -> u64 {
        let left = i128::from(session.expires_nanos()) - i128::from(now.wall);
        let end = i128::from(now.steady) + left;
        u64::try_from(end.max(0)).unwrap_or(u64::MAX)
    }

    /// How long a load may take.
    fn load_timeout(&self) -> Duration {
        let Some(renewal) = &self.renewal else { return self.store_timeout };
        // Load, renew, load again.
        self.store_timeout.saturating_mul(2).saturating_add(self.renewal_limit(renewal))
    }

    /// Runs one call of the store within the time limit.
    async fn limited<T>(
        &self,
        what: Call,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let outcome = timeout(self.store_timeout, call).await;
        let outcome = outcome.unwrap_or_else(|elapsed| Err(StoreError::timed_out(elapsed)));
        self.trouble.note(what, &outcome);
        if self.breaker.note(&outcome, self.moment()) {
            // Those who wait for a login have missed what happened meanwhile.
            self.gaps.notify_waiters();
            self.queue.look_again();
        }
        outcome
    }

    fn emit(&self, event: Event) {
        tracing::debug!(?event, "session event");
        // An error says that nobody listens.
        let _ = self.events.send(event);
    }

    fn expired(&self, user: &UserId, id: SessionId) {
        self.emit(Event::Expired { user: user.clone(), id });
    }
}

impl fmt::Debug for SessionManager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionManager")
            .field("store", &self.0.store)
            .field("clock", &self.0.clock)
            .field("users", &self.users())
            .finish_non_exhaustive()
    }
}
