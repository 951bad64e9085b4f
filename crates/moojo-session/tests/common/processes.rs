//! Several managers on one store, as several processes are, with leases that tests hold up and break.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use moojo_session::{
    DeclineReason, Lease, LeaseHolder, LeaseStore, ManualClock, MemoryLeaseStore, MemoryStore,
    SessionManager, SessionManagerBuilder, StoreError, UserId, async_trait,
};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::queue::{Waiting, wait};
use super::{start, turns};

/// Leases that can be away, that can refuse a kind of call, and whose calls can be held up.
#[derive(Debug, Clone)]
pub struct Leases {
    pub store: MemoryLeaseStore,
    pub away: Arc<AtomicBool>,
    /// The kind of call that is refused, as to a user without the right.
    pub refused: Arc<Mutex<Option<&'static str>>>,
    gates: Arc<Mutex<HashMap<At, Arc<Semaphore>>>>,
}

/// Where a call is held up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum At {
    Acquire,
    Acquired,
    Clear,
}

impl Leases {
    /// Holds up the next call that comes there, until the gate that this gives gets a permit.
    pub fn hold_next(&self, at: At) -> Arc<Semaphore> {
        let gate = Arc::new(Semaphore::new(0));
        self.gates.lock().insert(at, Arc::clone(&gate));
        gate
    }

    async fn pass(&self, at: At) {
        let gate = self.gates.lock().remove(&at);
        if let Some(gate) = gate {
            gate.acquire().await.unwrap().forget();
        }
    }

    fn may(&self, what: &'static str) -> Result<&MemoryLeaseStore, StoreError> {
        if self.away.load(Ordering::SeqCst) {
            return Err(StoreError::unavailable("down"));
        }
        if *self.refused.lock() == Some(what) {
            return Err(StoreError::refused(format!("no permission to {what}")));
        }
        Ok(&self.store)
    }
}

#[async_trait]
impl LeaseStore for Leases {
    async fn acquire(
        &self,
        user: &UserId,
        holder: LeaseHolder,
        time: Duration,
    ) -> Result<Lease, StoreError> {
        self.pass(At::Acquire).await;
        let lease = self.may("acquire")?.acquire(user, holder, time).await;
        self.pass(At::Acquired).await;
        lease
    }

    async fn release(&self, user: &UserId, holder: LeaseHolder) -> Result<bool, StoreError> {
        self.may("release")?.release(user, holder).await
    }

    async fn decline(
        &self,
        user: &UserId,
        holder: LeaseHolder,
        reason: DeclineReason,
        time: Duration,
    ) -> Result<bool, StoreError> {
        self.may("decline")?.decline(user, holder, reason, time).await
    }

    async fn clear(&self, user: &UserId) -> Result<(), StoreError> {
        self.pass(At::Clear).await;
        self.may("clear")?.clear(user).await
    }
}

pub struct World {
    pub processes: [SessionManager; 2],
    pub clock: ManualClock,
    pub leases: Leases,
}

impl World {
    pub fn new() -> Self {
        Self::with(|manager| manager)
    }

    /// Processes with settings.
    pub fn with(settings: impl Fn(SessionManagerBuilder) -> SessionManagerBuilder) -> Self {
        let clock = ManualClock::new(start());
        let store = MemoryStore::builder().clock(clock.clone()).build();
        let leases = MemoryLeaseStore::with_clock(clock.clone());
        let leases = Leases {
            store: leases,
            away: Arc::default(),
            refused: Arc::default(),
            gates: Arc::default(),
        };
        let process = || {
            let manager = SessionManager::builder(store.clone()).clock(clock.clone());
            settings(manager.leases(leases.clone())).build()
        };
        Self { processes: [process(), process()], clock, leases }
    }

    /// A call of the user that waits in each process.
    pub async fn calls(&self, user: &UserId) -> [Waiting; 2] {
        let calls = [0, 1].map(|n| wait(&self.processes[n], user, None));
        turns().await;
        calls
    }

    pub async fn pass(&self, time: Duration) {
        self.clock.advance(time);
        turns().await;
    }
}
