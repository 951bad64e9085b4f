use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{self, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, broadcast};

use super::breaker::{self, Breaker};
use super::feed::Feed;
use super::notices::Notices;
use super::queue::{Leases, Queue};
use super::renew::Renewal;
use super::table::Table;
use super::trouble::Trouble;
use super::{Inner, ManagerId, SessionManager};
use crate::clock::{Clock, SystemClock, nanos};
use crate::lease::LeaseStore;
use crate::reauth::Reauthenticate;
use crate::store::{MemoryStore, SessionStore};
use crate::sync::{AtomicU32, AtomicUsize};

/// How many users are loaded at once when all who wait for a login look again, as they do once the
/// store is back: it is not to be buried under them, nor are other calls.
const TURNS: usize = 256;

/// Settings of a [`SessionManager`]; from [`SessionManager::builder`].
#[derive(Debug, Clone)]
#[must_use]
pub struct SessionManagerBuilder {
    store: Arc<dyn SessionStore>,
    /// The store again, if it is one that takes its time from the manager.
    memory: Option<MemoryStore>,
    clock: Arc<dyn Clock>,
    expiry_margin: Duration,
    store_timeout: Duration,
    breaker: breaker::Settings,
    max_staleness: Duration,
    miss_life: Duration,
    max_users: usize,
    idle_after: Duration,
    max_waiters: usize,
    max_waiters_per_user: usize,
    event_buffer: usize,
    reauthenticate: Option<Arc<dyn Reauthenticate>>,
    reauthenticate_timeout: Duration,
    reauthenticate_pause: (Duration, Duration),
    max_requests: usize,
    request_life: Duration,
    lease: Duration,
    leases: Option<Arc<dyn LeaseStore>>,
    expiry_notices: Vec<Duration>,
}

impl SessionManagerBuilder {
    pub(super) fn new<S: SessionStore>(store: S) -> Self {
        let store_as_any = &store as &dyn Any;
        let shared = store_as_any.downcast_ref::<Arc<MemoryStore>>().map(|store| (**store).clone());
        let memory = store_as_any.downcast_ref::<MemoryStore>().cloned().or(shared);
        Self {
            store: Arc::new(store),
            memory,
            clock: Arc::new(SystemClock),
            expiry_margin: Duration::from_secs(30),
            store_timeout: Duration::from_secs(5),
            breaker: breaker::Settings {
                failures: 5,
                pause: Duration::from_secs(1),
                max_pause: Duration::from_secs(30),
            },
            max_staleness: Duration::from_secs(60),
            miss_life: Duration::from_secs(1),
            max_users: 1 << 20,
            idle_after: Duration::from_secs(15 * 60),
            max_waiters: 100_000,
            max_waiters_per_user: 10_000,
            event_buffer: 4096,
            reauthenticate: None,
            reauthenticate_timeout: Duration::from_secs(10),
            reauthenticate_pause: (Duration::from_secs(30), Duration::from_secs(600)),
            max_requests: 100_000,
            request_life: Duration::from_secs(15 * 60),
            lease: Duration::from_secs(60),
            leases: None,
            expiry_notices: Vec::new(),
        }
    }

    /// The clock to judge by. Default: [`SystemClock`]. A [`MemoryStore`] that has no clock of its
    /// own takes this one too, unless it is hidden in an `Arc<dyn SessionStore>` or another store.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// How long before its end a session is no longer used, so that it does not end on the way.
    /// Default: 30 seconds.
    pub fn expiry_margin(mut self, margin: Duration) -> Self {
        self.expiry_margin = margin;
        self
    }

    /// How long one call of the store may take before it counts as failed. Default: 5 seconds.
    pub fn store_timeout(mut self, timeout: Duration) -> Self {
        self.store_timeout = timeout;
        self
    }

    /// When the store is given a rest: after so many calls in a row that failed because it is
    /// [unavailable](crate::StoreErrorKind::Unavailable) or did not answer in time. From then on
    /// loads fail at once, for `pause`; then one goes through to see, and each that fails doubles the
    /// pause, up to `max_pause`. Saves and removals are always tried, and one that succeeds ends the
    /// rest, as does the store's feed when it hears again.
    ///
    /// Sessions in memory stay in use meanwhile. Default: 5 calls, 1 second, 30 seconds.
    pub fn store_breaker(mut self, failures: u32, pause: Duration, max_pause: Duration) -> Self {
        self.breaker = breaker::Settings { failures: failures.max(1), pause, max_pause };
        self
    }

    /// While the store's [feed](SessionStore::changes) hears nothing
    /// ([`Change::Disconnected`](crate::Change::Disconnected)), a session in memory is looked up again
    /// after this time at the latest: a revocation by another process is known by then. If the store
    /// cannot be asked either, the session stays in use until its end. Default: 60 seconds; at least 1.
    ///
    /// A store without a feed is not looked up again: what other processes change is then known when
    /// the session ends, or ends too soon for a call, or is refused.
    pub fn max_staleness(mut self, time: Duration) -> Self {
        self.max_staleness = time.max(Duration::from_secs(1));
        self
    }

    /// For how long it is remembered that a user has no session, so that calls for users who are not
    /// logged in cost the store little. Only while the store's [feed](SessionStore::changes) is heard,
    /// which tells of logins: until the message of one that another process made has arrived, this one
    /// still says that there is none. Never over a feed that [tells late](crate::ChangeStream::late), as
    /// that of a SQLite file does. Zero: never. Default: 1 second.
    pub fn remember_misses(mut self, time: Duration) -> Self {
        self.miss_life = time;
        self
    }

    /// How many users the manager remembers at once. Past that it forgets some that were not used
    /// for long, who cost one load when they come back; it refuses only if it finds none, because
    /// those that it looks at (some thousands) are all in use at the very moment.
    /// Default: 1,048,576, about 160 bytes each beside their sessions.
    pub fn max_users(mut self, users: usize) -> Self {
        self.max_users = users;
        self
    }

    /// After what time without a request a user is forgotten, when the memory is next needed.
    /// Default: 15 minutes.
    pub fn idle_after(mut self, time: Duration) -> Self {
        self.idle_after = time;
        self
    }

    /// How many calls may wait for a login at once. Default: 100,000.
    pub fn max_waiters(mut self, calls: usize) -> Self {
        self.max_waiters = calls;
        self
    }

    /// How many calls of one user may wait for a login at once. Default: 10,000.
    pub fn max_waiters_per_user(mut self, calls: usize) -> Self {
        self.max_waiters_per_user = calls;
        self
    }

    /// How many events are held for a reader that is behind, before it loses the oldest.
    /// Default: 4,096; at least 1.
    pub fn event_buffer(mut self, events: usize) -> Self {
        self.event_buffer = events.max(1);
        self
    }

    /// A way to new sessions without the person, tried before anybody is asked. Default: none.
    pub fn reauthenticate(mut self, hook: impl Reauthenticate) -> Self {
        self.reauthenticate = Some(Arc::new(hook));
        self
    }

    /// How long one try of it may take. Calls of the user wait for it, and for a look at the store and
    /// a save after it, each within [`store_timeout`](Self::store_timeout). Default: 10 seconds.
    pub fn reauthenticate_timeout(mut self, timeout: Duration) -> Self {
        self.reauthenticate_timeout = timeout;
        self
    }

    /// How long a user is left alone after it was of no help: at first, doubling with each time, and
    /// at most. Default: 30 seconds and 10 minutes.
    pub fn reauthenticate_pause(mut self, first: Duration, most: Duration) -> Self {
        self.reauthenticate_pause = (first, most);
        self
    }

    /// How many users may be in the [`ReauthQueue`](crate::ReauthQueue) at once, with those who are
    /// not to be asked for now. Calls that wait come before those that have failed; one that would wait
    /// for one more is refused, and others fail as if they were in it. Default: 100,000.
    pub fn max_requests(mut self, users: usize) -> Self {
        self.max_requests = users;
        self
    }

    /// How long a request stays in the [`ReauthQueue`](crate::ReauthQueue) after the last call that
    /// failed for want of the session, when none waits for it. Default: 15 minutes.
    pub fn request_life(mut self, time: Duration) -> Self {
        self.request_life = time;
        self
    }

    /// How long a worker has a request for itself before it is handed out again; it can
    /// [renew](crate::Claim::renew) its claim. Default: 60 seconds.
    pub fn lease(mut self, time: Duration) -> Self {
        self.lease = time;
        self
    }

    /// Has the processes on one store ask a person once, whichever of them her calls wait in: before a
    /// request is handed out, this process takes the user's lease there. Default: none, which is right
    /// for a single process.
    pub fn leases(mut self, leases: impl LeaseStore) -> Self {
        self.leases = Some(Arc::new(leases));
        self
    }

    /// Keeps a calendar of the sessions that this process sees, for
    /// [notices](SessionManager::expiry_notices) so long before their end and for the
    /// [forecast](SessionManager::forecast). It takes some 70 bytes a session, of at most
    /// [`max_users`](Self::max_users) users. Default: none.
    pub fn expiry_notices(mut self, leads: impl IntoIterator<Item = Duration>) -> Self {
        self.expiry_notices = leads.into_iter().collect();
        self
    }

    /// Makes the manager.
    pub fn build(self) -> SessionManager {
        static NEXT_ID: atomic::AtomicUsize = atomic::AtomicUsize::new(0);

        if let Some(memory) = &self.memory {
            memory.follow(&self.clock);
        }
        let idle_seconds = u32::try_from(self.idle_after.as_secs()).unwrap_or(u32::MAX);
        SessionManager(Arc::new(Inner {
            id: ManagerId(NEXT_ID.fetch_add(1, Ordering::Relaxed)),
            store: self.store,
            clock: self.clock,
            margin_nanos: nanos(self.expiry_margin),
            store_timeout: self.store_timeout,
            breaker: Breaker::new(self.breaker),
            trouble: Trouble::new(),
            max_staleness: self.max_staleness,
            miss_life: self.miss_life,
            table: Table::new(self.max_users, idle_seconds),
            turns: Semaphore::new(TURNS),
            epoch: AtomicU32::new(0),
            feed: Feed::default(),
            events: broadcast::Sender::new(self.event_buffer),
            gaps: Notify::new(),
            waiting: AtomicUsize::new(0),
            max_waiters: self.max_waiters,
            max_waiters_per_user: self.max_waiters_per_user,
            queue: Queue::new(self.max_requests, self.request_life, self.lease),
            leases: self.leases.map(Leases::new).map(Arc::new),
            notices: (!self.expiry_notices.is_empty())
                .then(|| Notices::new(self.expiry_notices, self.max_users)),
            renewal: self.reauthenticate.map(|hook| Renewal {
                hook,
                timeout: self.reauthenticate_timeout,
                pause: self.reauthenticate_pause,
            }),
        }))
    }
}
