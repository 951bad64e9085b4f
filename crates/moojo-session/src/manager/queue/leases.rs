//! Which process cares for a person, when several are on one store.
//!
//! Within a process the queue's claims decide. Among processes it is the lease, which a whole process
//! has: so a claim that was dropped goes to the next worker here at once, and to another process when
//! the lease runs out.

use std::error::Error as StdError;
use std::sync::Arc;
use std::time::Duration;

use crate::error::Error;
use crate::lease::{Lease, LeaseHolder, LeaseStore};
use crate::manager::Inner;
use crate::manager::calendar::Notice;
use crate::reauth::DeclineReason;
use crate::shown::Chain;
use crate::store::StoreError;
use crate::sync::{spawn, timeout};
use crate::user::UserId;

/// This process's share in the leases of all.
#[derive(Debug)]
pub(in crate::manager) struct Leases {
    store: Arc<dyn LeaseStore>,
    holder: LeaseHolder,
}

impl Leases {
    pub(in crate::manager) fn new(store: Arc<dyn LeaseStore>) -> Self {
        Self { store, holder: LeaseHolder::random() }
    }
}

impl Inner {
    /// Takes the lease for this long. Without a store for leases nobody else can have it.
    pub(super) async fn acquire_lease(
        &self,
        user: &UserId,
        time: Duration,
    ) -> Result<Lease, Error> {
        let Some(Leases { store, holder }) = &self.leases else { return Ok(Lease::Acquired) };
        match timeout(self.store_timeout, store.acquire(user, *holder, time)).await {
            Ok(lease) => Ok(lease?),
            Err(elapsed) => Err(StoreError::timed_out(elapsed).into()),
        }
    }

    /// Whether it is for this process to give a notice, and for no other.
    pub(in crate::manager) async fn acquire_notice(&self, notice: &Notice) -> Result<bool, Error> {
        // As the lease of a user whom nobody else has: the session's id is in it.
        let name = format!("notice:{}:{}", notice.id, notice.lead.as_secs());
        let name = UserId::new(name).expect("short and printable");
        let left = notice.end.saturating_sub(self.clock.read().unix_nanos);
        let left = Duration::from_nanos(u64::try_from(left).unwrap_or(0));
        let lease = self.acquire_lease(&name, left.saturating_add(self.store_timeout)).await?;
        Ok(lease == Lease::Acquired)
    }

    /// Keeps other processes away for this long from now. Says to `lost` if one has the lease.
    pub(super) fn keep_lease(
        self: &Arc<Self>,
        user: &UserId,
        time: Duration,
        lost: impl FnOnce() -> bool + Send + 'static,
    ) {
        self.in_background(user, move |inner, user| async move {
            if inner.acquire_lease(&user, time).await? != Lease::Acquired {
                lost();
            }
            Ok(())
        });
    }

    /// Tells other processes that the person is not to be asked for this long.
    pub(super) fn tell_declined(
        self: &Arc<Self>,
        user: &UserId,
        reason: DeclineReason,
        time: Duration,
    ) {
        self.in_background(user, move |inner, user| async move {
            if let Some(Leases { store, holder }) = &inner.leases {
                store.decline(&user, *holder, reason, time).await?;
            }
            Ok(())
        });
    }

    /// The person has logged in: what she said before does not count any more.
    pub(in crate::manager) fn clear_lease(self: &Arc<Self>, user: &UserId) {
        self.in_background(user, move |inner, user| async move {
            if let Some(Leases { store, .. }) = &inner.leases {
                store.clear(&user).await?;
            }
            Ok(())
        });
    }

    /// What fails here costs a prompt more at most: the lease runs out by itself.
    fn in_background<F>(
        self: &Arc<Self>,
        user: &UserId,
        work: impl FnOnce(Arc<Self>, UserId) -> F + Send + 'static,
    ) where
        F: Future<Output = Result<(), Error>> + Send + 'static,
    {
        if self.leases.is_none() {
            return;
        }
        let (inner, user) = (Arc::clone(self), user.clone());
        spawn(async move {
            let time = inner.store_timeout;
            match timeout(time, work(inner, user.clone())).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => note(&user, &error),
                Err(elapsed) => note(&user, &elapsed),
            }
        });
    }
}

fn note(user: &UserId, error: &(dyn StdError + 'static)) {
    tracing::warn!(%user, error = %Chain(error), "a lease could not be changed");
}
