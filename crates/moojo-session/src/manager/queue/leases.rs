//! Which process cares for a person, when several are on one store.
//!
//! Within a process the queue's claims decide. Among processes it is the lease, which a whole process
//! has: so a claim that was dropped goes to the next worker here at once, and to another process when
//! the lease runs out.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::error::Error;
use crate::lease::{Lease, LeaseHolder, LeaseStore};
use crate::manager::Inner;
use crate::manager::calendar::Notice;
use crate::manager::trouble::LeaseCall;
use crate::reauth::DeclineReason;
use crate::store::StoreError;
use crate::sync::{Mutex, spawn, timeout};
use crate::user::UserId;

/// This process's share in the leases of all.
#[derive(Debug)]
pub(in crate::manager) struct Leases {
    store: Arc<dyn LeaseStore>,
    holder: LeaseHolder,
    rows: Mutex<Rows>,
}

/// The calls under way. Those for one user are made one after the other: one that came late would
/// undo what a later one did.
#[derive(Debug, Default)]
struct Rows {
    last: u64,
    /// The number of the last call for a user, and its end.
    ends: HashMap<UserId, (u64, oneshot::Receiver<()>)>,
}

impl Leases {
    pub(in crate::manager) fn new(store: Arc<dyn LeaseStore>) -> Self {
        Self { store, holder: LeaseHolder::random(), rows: Mutex::default() }
    }

    async fn acquire(&self, user: &UserId, time: Duration) -> Result<Lease, StoreError> {
        self.store.acquire(user, self.holder, time).await
    }
}

impl Inner {
    /// Takes the lease for this long. Says when the store was asked, too: that is when it began at the
    /// earliest. Without a store for leases nobody else can have it.
    pub(super) async fn acquire_lease(
        self: &Arc<Self>,
        user: &UserId,
        time: Duration,
    ) -> Result<(Lease, u64), Error> {
        let acquired =
            self.in_row(LeaseCall::Acquire, user, move |inner, leases, user| async move {
                let asked = inner.moment();
                Ok((leases.acquire(&user, time).await?, asked))
            });
        let Some(acquired) = acquired else { return Ok((Lease::Acquired, self.moment())) };
        let gone = |_| StoreError::unavailable("the lease store panicked, or the runtime has gone");
        Ok(acquired.await.map_err(gone)??)
    }

    /// Whether it is for this process to give a notice, and for no other.
    pub(in crate::manager) async fn acquire_notice(
        self: &Arc<Self>,
        notice: &Notice,
    ) -> Result<bool, Error> {
        // As the lease of a user whom nobody else has: the session's id is in it.
        let name = format!("notice:{}:{}", notice.id, notice.lead.as_secs());
        let name = UserId::new(name).expect("short and printable");
        let left = notice.end.saturating_sub(self.clock.read().unix_nanos);
        let left = Duration::from_nanos(u64::try_from(left).unwrap_or(0));
        let time = left.saturating_add(self.store_timeout);
        let (lease, _) = self.acquire_lease(&name, time).await?;
        Ok(lease == Lease::Acquired)
    }

    /// Has the lease run until the end of the claim, which was just renewed for this long. If the
    /// leases are away, it is tried once more: until the lease runs out, nobody else can have it.
    pub(super) fn keep_claimed(
        self: &Arc<Self>,
        user: &UserId,
        claim: u64,
        time: Duration,
        until: u64,
    ) {
        let Some(kept) = self.keep_lease(user, claim, time) else { return };
        let (inner, user) = (Arc::downgrade(self), user.clone());
        spawn(async move {
            if let Ok(Ok(())) = kept.await {
                return;
            }
            let pause = inner.upgrade().map(|inner| inner.clock.sleep(time / 4));
            let Some(pause) = pause else { return };
            pause.await;
            let Some(inner) = inner.upgrade() else { return };
            let now = inner.moment();
            // Unless it is over, or was renewed since.
            if inner.queue.with(|requests| requests.lease_end(&user, claim, now)) == Some(until) {
                inner.keep_lease(&user, claim, Duration::from_nanos(until.saturating_sub(now)));
            }
        });
    }

    /// Keeps other processes away for this long from now. If one of them has the lease, the claim is
    /// given back.
    pub(super) fn keep_lease(
        self: &Arc<Self>,
        user: &UserId,
        claim: u64,
        time: Duration,
    ) -> Option<oneshot::Receiver<Result<(), StoreError>>> {
        self.in_row(LeaseCall::Acquire, user, move |inner, leases, user| async move {
            if leases.acquire(&user, time).await? != Lease::Acquired {
                inner.give_back(&user, claim, 0);
            }
            Ok(())
        })
    }

    /// Tells other processes that the person is not to be asked for this long, even if the lease has
    /// run out meanwhile.
    pub(super) fn tell_declined(
        self: &Arc<Self>,
        user: &UserId,
        reason: DeclineReason,
        time: Duration,
    ) {
        self.in_row(LeaseCall::Decline, user, move |_, leases, user| async move {
            let Leases { store, holder, .. } = &*leases;
            if !store.decline(&user, *holder, reason, time).await?
                && leases.acquire(&user, time).await? == Lease::Acquired
            {
                store.decline(&user, *holder, reason, time).await?;
            }
            Ok(())
        });
    }

    /// Gives the lease back, unless the user is in the queue again.
    pub(super) fn release_lease(self: &Arc<Self>, user: &UserId) {
        self.in_row(LeaseCall::Release, user, |_, leases, user| async move {
            leases.store.release(&user, leases.holder).await
        });
    }

    /// The person has logged in: what she said before does not count any more.
    pub(in crate::manager) fn clear_lease(self: &Arc<Self>, user: &UserId) {
        self.in_row(LeaseCall::Clear, user, |_, leases, user| async move {
            leases.store.clear(&user).await
        });
    }

    /// Makes the call that `work` gives once all that was begun for this user before is over, in a task:
    /// it goes on if nobody waits for it. What fails there costs a prompt more at most, as the lease
    /// runs out by itself. `None` without a store for leases.
    fn in_row<T, F>(
        self: &Arc<Self>,
        kind: LeaseCall,
        user: &UserId,
        work: impl FnOnce(Arc<Self>, Arc<Leases>, UserId) -> F + Send + 'static,
    ) -> Option<oneshot::Receiver<Result<T, StoreError>>>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        let leases = Arc::clone(self.leases.as_ref()?);
        let (turn, earlier) = Turn::begin(&leases, user);
        let (inner, user) = (Arc::clone(self), user.clone());
        let (answer, answered) = oneshot::channel();
        spawn(async move {
            let limit = inner.store_timeout;
            if let Some(earlier) = earlier {
                // Limited here as well: the runtime that it runs on may stand still.
                let _ = timeout(limit, earlier).await;
            }
            // She is in the queue again, and the lease is needed.
            if kind == LeaseCall::Release && inner.queue.has(&user) {
                return;
            }
            let outcome = match timeout(limit, work(Arc::clone(&inner), leases, user)).await {
                Ok(outcome) => outcome,
                Err(elapsed) => Err(StoreError::timed_out(elapsed)),
            };
            drop(turn);
            inner.trouble.note_lease(kind, &outcome);
            let _ = answer.send(outcome);
        });
        Some(answered)
    }
}

/// The turn of one call, which is over when this is dropped.
struct Turn {
    leases: Arc<Leases>,
    user: UserId,
    number: u64,
    _over: oneshot::Sender<()>,
}

impl Turn {
    /// Gives the end of the call before it as well.
    fn begin(leases: &Arc<Leases>, user: &UserId) -> (Self, Option<oneshot::Receiver<()>>) {
        let (over, is_over) = oneshot::channel();
        let mut rows = leases.rows.lock();
        rows.last += 1;
        let number = rows.last;
        let earlier = rows.ends.insert(user.clone(), (number, is_over));
        drop(rows);
        let turn = Self { leases: Arc::clone(leases), user: user.clone(), number, _over: over };
        (turn, earlier.map(|(_, is_over)| is_over))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut rows = self.leases.rows.lock();
        if rows.ends.get(&self.user).is_some_and(|(last, _)| *last == self.number) {
            rows.ends.remove(&self.user);
        }
    }
}
