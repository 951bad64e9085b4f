//! What the tests of this crate share. Not every test uses all of it.
#![allow(dead_code, unreachable_pub)]

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use chrono::{DateTime, TimeDelta, Utc};
use moojo_session::{
    AccessToken, Change, ChangeStream, Clock, ManualClock, MemoryStore, Session, SessionId,
    SessionManager, SessionStore, StoreError, UserId, async_trait,
};
use tokio::sync::{Notify, Semaphore, mpsc};

pub mod hook;
pub mod processes;
pub mod queue;

/// The time at which tests begin: far from the system's, so that nobody reads that by mistake.
pub fn start() -> DateTime<Utc> {
    "2025-02-16T13:12:52.555Z".parse().unwrap()
}

pub fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

pub fn session(user: &UserId, token: &str, expires_at: DateTime<Utc>) -> Session {
    let token = AccessToken::new(token).unwrap();
    Session::builder(user.clone(), token).expires_at(expires_at).build().unwrap()
}

/// A session of the documented two hours.
pub fn fresh(user: &UserId, token: &str, clock: &ManualClock) -> Session {
    session(user, token, clock.now() + TimeDelta::hours(2))
}

/// A manager on a manual clock over a store that tests look into and break.
pub fn setup() -> (SessionManager, TestStore, ManualClock) {
    let clock = ManualClock::new(start());
    let store = TestStore::new(&clock);
    (SessionManager::builder(store.clone()).clock(clock.clone()).build(), store, clock)
}

/// A memory store that counts, fails and stops as a test likes. Clones are the same store.
#[derive(Debug, Clone)]
pub struct TestStore(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    memory: MemoryStore,
    loads: AtomicUsize,
    calls: AtomicUsize,
    fail: AtomicBool,
    hang: AtomicBool,
    read_only: AtomicBool,
    panic: AtomicBool,
    feed: parking_lot::Mutex<Feed>,
    /// What a user's load gives instead of what was saved.
    forged: parking_lot::Mutex<HashMap<UserId, Session>>,
    /// Loads read their answer, say so, and wait here before they give it.
    gate: parking_lot::Mutex<Option<Arc<Gate>>>,
    held: parking_lot::Mutex<HashMap<At, Arc<Gate>>>,
}

/// Where the changes are from that the store tells of.
#[derive(Debug, Default)]
enum Feed {
    #[default]
    None,
    Memory,
    Test(mpsc::UnboundedReceiver<Change>),
}

/// Where a change is held up: before it is made, or before that is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum At {
    Save,
    Saved,
    /// Of a session only if it is still the user's.
    Remove,
    Removed,
}

/// Says that a call has come there, which goes on with a permit.
#[derive(Debug)]
pub struct Gate {
    pub arrived: Notify,
    pub open: Semaphore,
}

impl Gate {
    fn shut() -> Arc<Self> {
        Arc::new(Self { arrived: Notify::new(), open: Semaphore::new(0) })
    }

    async fn pass(&self) {
        self.arrived.notify_one();
        self.open.acquire().await.unwrap().forget();
    }
}

impl TestStore {
    pub fn new(clock: &ManualClock) -> Self {
        Self(Arc::new(Inner {
            memory: MemoryStore::builder().clock(clock.clone()).build(),
            loads: AtomicUsize::new(0),
            calls: AtomicUsize::new(0),
            fail: AtomicBool::new(false),
            hang: AtomicBool::new(false),
            read_only: AtomicBool::new(false),
            panic: AtomicBool::new(false),
            feed: Default::default(),
            forged: Default::default(),
            gate: Default::default(),
            held: Default::default(),
        }))
    }

    pub fn memory(&self) -> &MemoryStore {
        &self.0.memory
    }

    pub fn loads(&self) -> usize {
        self.0.loads.load(Ordering::SeqCst)
    }

    pub fn calls(&self) -> usize {
        self.0.calls.load(Ordering::SeqCst)
    }

    pub fn fail(&self, fail: bool) {
        self.0.fail.store(fail, Ordering::SeqCst);
    }

    pub fn hang(&self, hang: bool) {
        self.0.hang.store(hang, Ordering::SeqCst);
    }

    /// Whether saves fail.
    pub fn read_only(&self, read_only: bool) {
        self.0.read_only.store(read_only, Ordering::SeqCst);
    }

    pub fn panic(&self, panic: bool) {
        self.0.panic.store(panic, Ordering::SeqCst);
    }

    pub fn has_feed(&self) {
        *self.0.feed.lock() = Feed::Memory;
    }

    /// The feed says what is sent here, to whoever listens first.
    pub fn told(&self) -> mpsc::UnboundedSender<Change> {
        let (tell, told) = mpsc::unbounded_channel();
        *self.0.feed.lock() = Feed::Test(told);
        tell
    }

    pub fn forge(&self, user: &UserId, session: Session) {
        self.0.forged.lock().insert(user.clone(), session);
    }

    /// From now on loads wait at the gate that this gives.
    pub fn gate(&self) -> Arc<Gate> {
        let gate = Gate::shut();
        *self.0.gate.lock() = Some(Arc::clone(&gate));
        gate
    }

    pub fn no_gate(&self) {
        if let Some(gate) = self.0.gate.lock().take() {
            gate.open.add_permits(Semaphore::MAX_PERMITS / 2);
        }
    }

    /// Holds up the next change that comes there, at the gate that this gives.
    pub fn hold_next(&self, at: At) -> Arc<Gate> {
        let gate = Gate::shut();
        self.0.held.lock().insert(at, Arc::clone(&gate));
        gate
    }

    async fn pass(&self, at: At) {
        let gate = self.0.held.lock().remove(&at);
        if let Some(gate) = gate {
            gate.pass().await;
        }
    }

    async fn trouble(&self) -> Result<(), StoreError> {
        self.0.calls.fetch_add(1, Ordering::SeqCst);
        assert!(!self.0.panic.load(Ordering::SeqCst), "the store panics");
        if self.0.hang.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        if self.0.fail.load(Ordering::SeqCst) {
            return Err(StoreError::unavailable("the store is down"));
        }
        Ok(())
    }
}

#[async_trait]
impl SessionStore for TestStore {
    async fn load(&self, user: &UserId) -> Result<Option<Session>, StoreError> {
        self.0.loads.fetch_add(1, Ordering::SeqCst);
        self.trouble().await?;
        let forged = self.0.forged.lock().get(user).cloned();
        let found = match forged {
            Some(session) => Some(session),
            None => self.0.memory.load(user).await?,
        };
        let gate = self.0.gate.lock().clone();
        if let Some(gate) = gate {
            gate.pass().await;
        }
        Ok(found)
    }

    async fn save(&self, session: &Session) -> Result<(), StoreError> {
        self.trouble().await?;
        if self.0.read_only.load(Ordering::SeqCst) {
            return Err(StoreError::unavailable("it can only be read"));
        }
        self.pass(At::Save).await;
        let saved = self.0.memory.save(session).await;
        self.pass(At::Saved).await;
        saved
    }

    async fn remove(&self, user: &UserId) -> Result<bool, StoreError> {
        self.trouble().await?;
        let removed = self.0.memory.remove(user).await;
        self.pass(At::Removed).await;
        removed
    }

    async fn remove_if_current(&self, user: &UserId, id: SessionId) -> Result<bool, StoreError> {
        self.trouble().await?;
        self.pass(At::Remove).await;
        let removed = self.0.memory.remove_if_current(user, id).await;
        self.pass(At::Removed).await;
        removed
    }

    fn changes(&self) -> ChangeStream {
        let mut feed = self.0.feed.lock();
        match std::mem::take(&mut *feed) {
            Feed::None => ChangeStream::none(),
            Feed::Memory => {
                *feed = Feed::Memory;
                self.0.memory.changes()
            }
            Feed::Test(mut told) => {
                ChangeStream::new(futures_util::stream::poll_fn(move |cx| told.poll_recv(cx)))
            }
        }
    }
}

/// Lets everything that can go on do so.
pub async fn turns() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}
