use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use moka::ops::compute::{CompResult, Op};
use moka::sync::Cache;
use moka::{Entry, Expiry};
use parking_lot::Mutex;
use tokio::sync::broadcast;

use super::{
    Change, ChangeStream, Page, PageToken, SessionAdmin, SessionInfo, SessionStore, StoreError,
};
use crate::broadcast::Subscription;
use crate::clock::{Clock, SystemClock};
use crate::session::{Session, SessionId};
use crate::user::UserId;

/// Sessions in the memory of this process: a moka cache in which each entry lives as long as its
/// own session.
///
/// A restart logs every user out, and so does an eviction if a
/// [capacity](MemoryStoreBuilder::capacity) is set and reached: there is nothing behind this store.
///
/// A session has ended when the [`Clock`] says so, or, should that be set back, when moka's own timer
/// does; moka frees the memory a while later, with other activity on the cache. Clones are the same
/// store.
///
/// ```
/// use moojo_session::{MemoryStore, SessionManager};
///
/// let sessions = SessionManager::new(MemoryStore::new());
/// ```
#[derive(Clone)]
pub struct MemoryStore {
    cache: Cache<UserId, Session>,
    clock: Arc<StoreClock>,
    changes: broadcast::Sender<Change>,
    /// Held over a change and its announcement, so that the feed has them in order.
    order: Arc<Mutex<()>>,
}

impl MemoryStore {
    /// A store without a limit on the number of sessions.
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// A store with settings.
    pub fn builder() -> MemoryStoreBuilder {
        MemoryStoreBuilder { capacity: None, clock: OnceLock::new() }
    }

    /// Takes the time from `clock`, unless a clock was set or followed before.
    pub(crate) fn follow(&self, clock: &Arc<dyn Clock>) {
        let _ = self.clock.0.set(Arc::clone(clock));
    }

    fn changed(&self, change: Change) {
        // An error says that nobody listens.
        let _ = self.changes.send(change);
    }

    /// One atomic step on the user's entry. moka puts these in a row, and only these: its plain
    /// `insert` and `remove` would slip in between another's comparison and its removal.
    fn change(
        &self,
        user: &UserId,
        decide: impl FnOnce(Option<Entry<UserId, Session>>) -> Op<Session>,
    ) -> CompResult<UserId, Session> {
        self.cache.entry_by_ref(user).and_compute_with(decide)
    }

    /// Removes the user's session if it is the one meant, and says whether it did and it was live.
    fn remove_where(&self, user: &UserId, is_meant: impl FnOnce(&Session) -> bool) -> bool {
        let order = self.order.lock();
        let outcome = self.change(user, |entry| match entry {
            Some(entry) if is_meant(entry.value()) => Op::Remove,
            _ => Op::Nop,
        });
        let CompResult::Removed(removed) = outcome else { return false };
        self.changed(Change::Removed { user: user.clone() });
        drop(order);
        // moka lets go of a removed entry, and with it of the token, in its maintenance.
        self.cache.run_pending_tasks();
        self.clock.is_live(removed.value())
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore")
            .field("sessions", &self.cache.entry_count())
            .field("capacity", &self.cache.policy().max_capacity())
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl SessionStore for MemoryStore {
    async fn load(&self, user: &UserId) -> Result<Option<Session>, StoreError> {
        Ok(self.cache.get(user).filter(|session| self.clock.is_live(session)))
    }

    async fn save(&self, session: &Session) -> Result<(), StoreError> {
        let _order = self.order.lock();
        self.change(session.user(), |_| Op::Put(session.clone()));
        self.changed(Change::Saved { user: session.user().clone(), id: session.id() });
        Ok(())
    }

    async fn remove(&self, user: &UserId) -> Result<bool, StoreError> {
        Ok(self.remove_where(user, |_| true))
    }

    async fn remove_if_current(&self, user: &UserId, id: SessionId) -> Result<bool, StoreError> {
        Ok(self.remove_where(user, |session| session.id() == id))
    }

    fn changes(&self) -> ChangeStream {
        ChangeStream::new(Subscription::new(&self.changes, |_missed| Change::Lagged))
    }
}

/// A page costs a look at all sessions.
#[async_trait]
impl SessionAdmin for MemoryStore {
    async fn list(&self, after: Option<&PageToken>, limit: usize) -> Result<Page, StoreError> {
        let is_behind = |user: &UserId| after.is_none_or(|after| after.as_str() < user.as_str());
        let live = self.cache.iter().filter(|(_, session)| self.clock.is_live(session));
        let behind = live.filter(|(user, _)| is_behind(user));
        let mut sessions: Vec<_> = behind.map(|(_, session)| SessionInfo::from(&session)).collect();
        sessions.sort_unstable_by(|a, b| a.user.cmp(&b.user));
        let more = sessions.len() > limit.max(1);
        sessions.truncate(limit.max(1));
        let last = sessions.last().filter(|_| more);
        let next = last.map(|info| PageToken::new(info.user.as_str()));
        Ok(Page { sessions, next })
    }

    async fn count(&self) -> Result<u64, StoreError> {
        Ok(self.cache.iter().filter(|(_, session)| self.clock.is_live(session)).count() as u64)
    }

    async fn remove_all(&self) -> Result<u64, StoreError> {
        let mut removed = 0;
        for (user, session) in &self.cache {
            removed += u64::from(self.remove_where(&user, |current| current.id() == session.id()));
        }
        Ok(removed)
    }

    async fn replace_if_current(&self, session: &Session) -> Result<bool, StoreError> {
        let outcome = self.change(session.user(), |entry| match entry {
            Some(entry) if entry.value().id() == session.id() => Op::Put(session.clone()),
            _ => Op::Nop,
        });
        Ok(matches!(outcome, CompResult::ReplacedWith(_)))
    }
}

/// Settings of a [`MemoryStore`]; from [`MemoryStore::builder`].
#[derive(Debug, Clone)]
#[must_use]
pub struct MemoryStoreBuilder {
    capacity: Option<u64>,
    clock: OnceLock<Arc<dyn Clock>>,
}

impl MemoryStoreBuilder {
    /// How many changes the feed holds for a listener that is behind, before it tells it so.
    const FEED_CAPACITY: usize = 4096;

    /// Keeps at most about `sessions` of them: past that, those that are used least go, **and their
    /// users have to log in again**. No limit unless set.
    pub fn capacity(mut self, sessions: u64) -> Self {
        self.capacity = Some(sessions);
        self
    }

    /// The clock by which sessions end. Unless set, the clock of the first manager that is built
    /// directly on the store, or else the system's.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = OnceLock::from(Arc::new(clock) as Arc<dyn Clock>);
        self
    }

    /// Makes the store.
    pub fn build(self) -> MemoryStore {
        let clock = Arc::new(StoreClock(self.clock));
        let mut cache = Cache::builder().expire_after(OwnEnd(Arc::clone(&clock)));
        if let Some(capacity) = self.capacity {
            cache = cache.max_capacity(capacity);
        }
        let changes = broadcast::Sender::new(Self::FEED_CAPACITY);
        MemoryStore { cache: cache.build(), clock, changes, order: Arc::default() }
    }
}

/// The store's clock: its own, that of the manager on it, or the system's.
struct StoreClock(OnceLock<Arc<dyn Clock>>);

impl StoreClock {
    fn unix_nanos(&self) -> i64 {
        self.0.get().map_or_else(|| SystemClock.read(), Clock::read).unix_nanos
    }

    fn is_live(&self, session: &Session) -> bool {
        self.unix_nanos() < session.expires_nanos()
    }

    fn time_left(&self, session: &Session) -> Duration {
        let left = session.expires_nanos().saturating_sub(self.unix_nanos());
        Duration::from_nanos(u64::try_from(left).unwrap_or(0))
    }
}

/// An entry's life in moka: from each save to that session's own end. Being on moka's steady clock,
/// it also holds when the wall clock is set back.
struct OwnEnd(Arc<StoreClock>);

impl Expiry<UserId, Session> for OwnEnd {
    fn expire_after_create(&self, _: &UserId, session: &Session, _: Instant) -> Option<Duration> {
        Some(self.0.time_left(session))
    }

    fn expire_after_update(
        &self,
        _: &UserId,
        session: &Session,
        _: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Some(self.0.time_left(session))
    }
}
