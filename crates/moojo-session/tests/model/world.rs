//! A store and a clock that shuttle schedules, and managers on them.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::stream;
use moojo_session::model::{self, Mutex};
use moojo_session::{
    AccessToken, Change, ChangeStream, Clock, Session, SessionId, SessionManager,
    SessionManagerBuilder, SessionStore, Sleep, StoreError, UserId, Wait, async_trait,
};
use shuttle::future::{block_on, yield_now};
use shuttle::rand::{Rng, thread_rng};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, watch};

/// Explores a model that is a future.
pub(crate) fn explore<F: Future<Output = ()>>(
    model: impl Fn() -> F + Clone + Send + Sync + 'static,
) {
    model::explore(move || block_on(model()));
}

/// One of `0..choices`.
pub(crate) fn choose(choices: usize) -> usize {
    thread_rng().gen_range(0..choices)
}

/// Lets the others do something, or come to rest.
pub(crate) async fn some_turns() {
    for _ in 0..choose(40) {
        yield_now().await;
    }
}

pub(crate) fn alice() -> UserId {
    UserId::new("alice").unwrap()
}

/// What processes have in common.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) store: Store,
    pub(crate) clock: ModelClock,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with_feed(16)
    }

    /// Whoever is this many changes behind loses some.
    pub(crate) fn with_feed(changes: usize) -> Self {
        Self { store: Store::new(changes, 1), clock: ModelClock::new() }
    }

    /// Each step of the store can take this many turns.
    pub(crate) fn with_turns(turns: usize) -> Self {
        Self { store: Store::new(16, turns), clock: ModelClock::new() }
    }

    /// A process.
    pub(crate) fn manager(&self) -> SessionManager {
        self.builder().build()
    }

    pub(crate) fn builder(&self) -> SessionManagerBuilder {
        SessionManager::builder(self.store.clone()).clock(self.clock.clone()).event_buffer(16)
    }

    pub(crate) fn session(&self) -> Session {
        self.session_of(alice())
    }

    /// One that ends too soon for a call which needs it for longer than this.
    pub(crate) fn ending(&self, left: Duration) -> Session {
        let now = self.clock.now();
        let token = AccessToken::new("6c0350a00925").unwrap();
        let login = Session::builder(alice(), token).expires_at(now + left);
        login.issued_at(now - TimeDelta::hours(2)).build().unwrap()
    }

    pub(crate) fn session_of(&self, user: UserId) -> Session {
        let ends = self.clock.now() + TimeDelta::days(365);
        let token = AccessToken::new("6c0350a00925").unwrap();
        Session::builder(user, token).expires_at(ends).build().unwrap()
    }
}

/// Longer than any model's time.
pub(crate) const EVER: Duration = Duration::from_secs(100 * 365 * 86_400);

pub(crate) async fn wait(sessions: SessionManager) -> Result<Session, moojo_session::Error> {
    wait_for(sessions, alice()).await
}

pub(crate) async fn wait_for(
    sessions: SessionManager,
    user: UserId,
) -> Result<Session, moojo_session::Error> {
    sessions.wait_with(&user, &Wait::up_to(EVER)).await
}

/// A store in which others may come in between before and after each step.
#[derive(Debug, Clone)]
pub(crate) struct Store(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    sessions: Mutex<HashMap<UserId, Session>>,
    changes: broadcast::Sender<Change>,
    loads: AtomicUsize,
    loads_to_lose: AtomicUsize,
    /// How many turns a step can take.
    turns: usize,
}

impl Store {
    fn new(feed: usize, turns: usize) -> Self {
        Self(Arc::new(Inner {
            sessions: Mutex::default(),
            changes: broadcast::Sender::new(feed),
            loads: AtomicUsize::new(0),
            loads_to_lose: AtomicUsize::new(0),
            turns,
        }))
    }

    async fn step(&self) {
        let turns = if self.0.turns == 1 { 1 } else { choose(self.0.turns) };
        for _ in 0..turns {
            yield_now().await;
        }
    }

    pub(crate) fn put(&self, session: &Session) {
        let mut sessions = self.0.sessions.lock();
        sessions.insert(session.user().clone(), session.clone());
        self.tell(Change::Saved { user: session.user().clone(), id: session.id() });
    }

    /// Of which the feed says only that something was lost.
    pub(crate) fn put_unheard(&self, session: &Session) {
        let mut sessions = self.0.sessions.lock();
        sessions.insert(session.user().clone(), session.clone());
        self.tell(Change::Lagged);
    }

    /// What alice has.
    pub(crate) fn current(&self) -> Option<Session> {
        self.0.sessions.lock().get(&alice()).cloned()
    }

    /// Has the feed say something, whether it is true or not.
    pub(crate) fn tell(&self, change: Change) {
        // An error says that nobody listens.
        let _ = self.0.changes.send(change);
    }

    /// How often it was asked for a session.
    pub(crate) fn loads(&self) -> usize {
        self.0.loads.load(Ordering::Relaxed)
    }

    /// The next loads never end, and take their tasks with them.
    pub(crate) fn lose_loads(&self, loads: usize) {
        self.0.loads_to_lose.store(loads, Ordering::Relaxed);
    }
}

#[async_trait]
impl SessionStore for Store {
    async fn load(&self, user: &UserId) -> Result<Option<Session>, StoreError> {
        self.0.loads.fetch_add(1, Ordering::Relaxed);
        self.step().await;
        let found = self.0.sessions.lock().get(user).cloned();
        self.step().await;
        let one_less = |loads: usize| loads.checked_sub(1);
        let to_lose = &self.0.loads_to_lose;
        if to_lose.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_ok() {
            model::be_lost().await;
        }
        Ok(found)
    }

    async fn save(&self, session: &Session) -> Result<(), StoreError> {
        self.step().await;
        self.put(session);
        self.step().await;
        Ok(())
    }

    async fn remove(&self, user: &UserId) -> Result<bool, StoreError> {
        self.step().await;
        let removed = {
            let mut sessions = self.0.sessions.lock();
            self.tell(Change::Removed { user: user.clone() });
            sessions.remove(user).is_some()
        };
        self.step().await;
        Ok(removed)
    }

    async fn remove_if_current(&self, user: &UserId, id: SessionId) -> Result<bool, StoreError> {
        self.step().await;
        let removed = {
            let mut sessions = self.0.sessions.lock();
            let current = sessions.get(user).is_some_and(|session| session.id() == id);
            if current {
                sessions.remove(user);
                self.tell(Change::Removed { user: user.clone() });
            }
            current
        };
        self.step().await;
        Ok(removed)
    }

    fn changes(&self) -> ChangeStream {
        let changes = self.0.changes.subscribe();
        ChangeStream::new(stream::unfold(changes, |mut changes| async move {
            // Messages take their time.
            for _ in 0..choose(8) {
                yield_now().await;
            }
            match changes.recv().await {
                Ok(change) => Some((change, changes)),
                Err(RecvError::Lagged(_)) => Some((Change::Lagged, changes)),
                Err(RecvError::Closed) => None,
            }
        }))
    }
}

/// A clock that models move. Clones share the time.
#[derive(Debug, Clone)]
pub(crate) struct ModelClock(Arc<watch::Sender<Duration>>);

impl ModelClock {
    fn new() -> Self {
        Self(Arc::new(watch::Sender::new(Duration::from_secs(1000))))
    }

    pub(crate) fn advance(&self, time: Duration) {
        self.0.send_modify(|now| *now += time);
    }
}

impl Clock for ModelClock {
    fn now(&self) -> DateTime<Utc> {
        DateTime::<Utc>::from_timestamp_nanos(1_739_711_572_555_000_000) + self.monotonic()
    }

    fn monotonic(&self) -> Duration {
        *self.0.borrow()
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        let mut time = self.0.subscribe();
        let until = self.monotonic() + duration;
        Box::pin(async move {
            let _ = time.wait_for(|now| *now >= until).await;
        })
    }
}
