//! Which of the processes on one store takes care of a person who has to log in.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;

use crate::clock::{Clock, SystemClock};
use crate::reauth::DeclineReason;
use crate::session::SessionId;
use crate::store::StoreError;
use crate::user::UserId;

#[cfg(feature = "sealed")]
mod sealed;

/// Leases of several processes on the care for a user, so that a person is asked by one of them
/// (rule 7), and by none while she does not want to be asked.
///
/// # What an implementation promises
///
/// - Each method is one atomic step in the backend, seen by every process once it has returned.
/// - A user has at most one entry; the user is part of the key.
/// - Times run by the backend's own clock, from when it takes the call: clocks of processes differ.
///   An entry whose time is over is gone.
#[async_trait]
pub trait LeaseStore: fmt::Debug + Send + Sync + 'static {
    /// Takes the user's lease for this long, or has `holder`'s run for this long from now, unless
    /// somebody else has it or the person does not want to be asked.
    async fn acquire(
        &self,
        user: &UserId,
        holder: LeaseHolder,
        time: Duration,
    ) -> Result<Lease, StoreError>;

    /// Gives the lease back, if `holder` has it. Says whether it had.
    async fn release(&self, user: &UserId, holder: LeaseHolder) -> Result<bool, StoreError>;

    /// In place of the lease, notes that nobody is to ask the person for this long, if `holder` has
    /// the lease. Says whether it had.
    async fn decline(
        &self,
        user: &UserId,
        holder: LeaseHolder,
        reason: DeclineReason,
        time: Duration,
    ) -> Result<bool, StoreError>;

    /// Forgets the user's entry, whoever made it: she has logged in.
    async fn clear(&self, user: &UserId) -> Result<(), StoreError>;
}

#[async_trait]
impl<S: LeaseStore + ?Sized> LeaseStore for Arc<S> {
    async fn acquire(
        &self,
        user: &UserId,
        holder: LeaseHolder,
        time: Duration,
    ) -> Result<Lease, StoreError> {
        (**self).acquire(user, holder, time).await
    }

    async fn release(&self, user: &UserId, holder: LeaseHolder) -> Result<bool, StoreError> {
        (**self).release(user, holder).await
    }

    async fn decline(
        &self,
        user: &UserId,
        holder: LeaseHolder,
        reason: DeclineReason,
        time: Duration,
    ) -> Result<bool, StoreError> {
        (**self).decline(user, holder, reason, time).await
    }

    async fn clear(&self, user: &UserId) -> Result<(), StoreError> {
        (**self).clear(user).await
    }
}

/// What [`LeaseStore::acquire`] says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lease {
    /// The caller has it, for the time that it asked for.
    Acquired,
    /// Somebody else has it, for this long if it is not prolonged.
    Held(Duration),
    /// The person does not want to be asked, for this long.
    Declined(DeclineReason, Duration),
}

/// Who has a lease: 128 random bits, of one claim of one process.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct LeaseHolder([u8; 16]);

impl LeaseHolder {
    /// A new one.
    ///
    /// # Panics
    /// If the operating system has no random bytes.
    pub fn random() -> Self {
        Self(SessionId::random().to_bytes())
    }

    /// One that a store kept.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// For a store to keep.
    pub fn to_bytes(self) -> [u8; 16] {
        self.0
    }
}

/// 32 hexadecimal digits.
impl fmt::Display for LeaseHolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for LeaseHolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LeaseHolder({self})")
    }
}

/// Leases in the memory of this process: for several managers in one process, and for tests. Clones
/// are the same store.
#[derive(Clone)]
pub struct MemoryLeaseStore(Arc<Shared>);

struct Shared {
    clock: Arc<dyn Clock>,
    entries: Mutex<HashMap<UserId, Entry>>,
}

struct Entry {
    /// By the steady clock.
    until: Duration,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Held(LeaseHolder),
    Declined(DeclineReason),
}

impl MemoryLeaseStore {
    /// An empty store by the system's clock.
    pub fn new() -> Self {
        Self::with_clock(SystemClock)
    }

    /// An empty store by this clock.
    pub fn with_clock(clock: impl Clock) -> Self {
        Self(Arc::new(Shared { clock: Arc::new(clock), entries: Mutex::default() }))
    }

    /// Changes the user's entry, if it is not over, as `change` says.
    fn change<T>(
        &self,
        user: &UserId,
        change: impl FnOnce(&mut Option<Entry>, Duration) -> T,
    ) -> T {
        let now = self.0.clock.monotonic();
        let mut entries = self.0.entries.lock();
        if entries.len() == entries.capacity() {
            entries.retain(|_, entry| now < entry.until);
        }
        let mut entry = entries.remove(user).filter(|entry| now < entry.until);
        let outcome = change(&mut entry, now);
        if let Some(entry) = entry {
            entries.insert(user.clone(), entry);
        }
        outcome
    }
}

impl Default for MemoryLeaseStore {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryLeaseStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entries = self.0.entries.lock().len();
        f.debug_struct("MemoryLeaseStore").field("entries", &entries).finish_non_exhaustive()
    }
}

#[async_trait]
impl LeaseStore for MemoryLeaseStore {
    async fn acquire(
        &self,
        user: &UserId,
        holder: LeaseHolder,
        time: Duration,
    ) -> Result<Lease, StoreError> {
        Ok(self.change(user, |entry, now| match entry {
            Some(Entry { until, kind: Kind::Declined(reason) }) => {
                Lease::Declined(*reason, *until - now)
            }
            Some(Entry { until, kind: Kind::Held(other) }) if *other != holder => {
                Lease::Held(*until - now)
            }
            _ => {
                let until = now.saturating_add(time);
                *entry = Some(Entry { until, kind: Kind::Held(holder) });
                Lease::Acquired
            }
        }))
    }

    async fn release(&self, user: &UserId, holder: LeaseHolder) -> Result<bool, StoreError> {
        Ok(self.change(user, |entry, _| {
            entry.take_if(|entry| entry.kind == Kind::Held(holder)).is_some()
        }))
    }

    async fn decline(
        &self,
        user: &UserId,
        holder: LeaseHolder,
        reason: DeclineReason,
        time: Duration,
    ) -> Result<bool, StoreError> {
        Ok(self.change(user, |entry, now| {
            let held = entry.as_ref().is_some_and(|entry| entry.kind == Kind::Held(holder));
            if held {
                let until = now.saturating_add(time);
                *entry = Some(Entry { until, kind: Kind::Declined(reason) });
            }
            held
        }))
    }

    async fn clear(&self, user: &UserId) -> Result<(), StoreError> {
        self.change(user, |entry, _| *entry = None);
        Ok(())
    }
}
