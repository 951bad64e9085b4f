//! Several managers on one store, as several processes are: one of them asks a person.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::queue::{LEASE, MINUTE, Waiting, claim, next, soon, wait};
use common::{fresh, session, start, turns, user};
use moojo_session::{
    Clock, DeclineReason, Error, ExpiringSoon, Lease, LeaseHolder, LeaseStore, ManualClock,
    MemoryLeaseStore, MemoryStore, SessionManager, StoreError, UserId, async_trait,
};
use tokio::task::JoinHandle;

/// Leases that can be away.
#[derive(Debug, Clone)]
struct Leases {
    store: MemoryLeaseStore,
    away: Arc<AtomicBool>,
    hang: Arc<AtomicBool>,
}

impl Leases {
    fn there(&self) -> Result<&MemoryLeaseStore, StoreError> {
        if self.away.load(Ordering::SeqCst) {
            return Err(StoreError::unavailable("down"));
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
        let lease = self.there()?.acquire(user, holder, time).await;
        if self.hang.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        lease
    }

    async fn release(&self, user: &UserId, holder: LeaseHolder) -> Result<bool, StoreError> {
        self.there()?.release(user, holder).await
    }

    async fn decline(
        &self,
        user: &UserId,
        holder: LeaseHolder,
        reason: DeclineReason,
        time: Duration,
    ) -> Result<bool, StoreError> {
        self.there()?.decline(user, holder, reason, time).await
    }

    async fn clear(&self, user: &UserId) -> Result<(), StoreError> {
        self.there()?.clear(user).await
    }
}

struct World {
    processes: [SessionManager; 2],
    clock: ManualClock,
    leases: Leases,
}

impl World {
    fn new() -> Self {
        let clock = ManualClock::new(start());
        let store = MemoryStore::builder().clock(clock.clone()).build();
        let leases = MemoryLeaseStore::with_clock(clock.clone());
        let leases = Leases { store: leases, away: Arc::default(), hang: Arc::default() };
        let process = || {
            let manager = SessionManager::builder(store.clone()).clock(clock.clone());
            manager.leases(leases.clone()).expiry_notices([5 * MINUTE]).build()
        };
        Self { processes: [process(), process()], clock, leases }
    }

    /// A call of the user that waits in each process.
    async fn calls(&self, user: &UserId) -> [Waiting; 2] {
        let calls = [0, 1].map(|n| wait(&self.processes[n], user, None));
        turns().await;
        calls
    }

    async fn pass(&self, time: Duration) {
        self.clock.advance(time);
        turns().await;
    }
}

#[tokio::test]
async fn rule_7_one_of_the_processes_asks_and_a_login_wakes_the_calls_of_all() {
    let world = World::new();
    let [here, there] = &world.processes;
    let alice = user("alice");
    let calls = world.calls(&alice).await;
    let held = claim(&here.reauth_queue()).await;
    let other = next(&there.reauth_queue());
    for _ in 0..10 {
        world.pass(LEASE / 2).await;
        held.renew(LEASE).unwrap();
        turns().await;
    }
    assert!(!other.is_finished(), "she is asked a second time");
    assert!(there.reauth_queue().claim(&alice).await.is_none());
    let login = fresh(&alice, "one", &world.clock);
    held.answer(login.clone()).await.unwrap();
    for call in calls {
        assert_eq!(soon(call).await.unwrap().unwrap(), login);
    }
    assert!(here.reauth_queue().is_empty() && there.reauth_queue().is_empty());
    // The next time it is open to all.
    there.revoke(&alice).await.unwrap();
    let _calls = world.calls(&alice).await;
    assert_eq!(soon(other).await.unwrap().request().user(), &alice);
}

#[tokio::test]
async fn rule_10_what_a_process_that_died_had_is_taken_over() {
    let world = World::new();
    let alice = user("alice");
    let _calls = world.calls(&alice).await;
    // It is never heard of again.
    std::mem::forget(claim(&world.processes[0].reauth_queue()).await);
    let other = next(&world.processes[1].reauth_queue());
    turns().await;
    world.pass(LEASE - Duration::from_secs(1)).await;
    assert!(!other.is_finished());
    world.pass(Duration::from_secs(2)).await;
    assert_eq!(soon(other).await.unwrap().request().user(), &alice);
}

#[tokio::test]
async fn a_claim_that_was_dropped_goes_on_in_its_own_process_at_once() {
    let world = World::new();
    let alice = user("alice");
    let _calls = world.calls(&alice).await;
    let [here, there] = [0, 1].map(|n| world.processes[n].reauth_queue());
    drop(claim(&here).await);
    assert!(there.try_next().await.is_none());
    assert_eq!(claim(&here).await.request().user(), &alice);
}

#[tokio::test]
async fn rule_7_who_declines_in_one_process_is_not_asked_by_another() {
    let world = World::new();
    let alice = user("alice");
    let [first, second] = world.calls(&alice).await;
    let held = claim(&world.processes[0].reauth_queue()).await;
    let other = next(&world.processes[1].reauth_queue());
    turns().await;
    held.decline(DeclineReason::NotNow, 60 * MINUTE).unwrap();
    assert!(matches!(soon(first).await.unwrap(), Err(Error::Declined(_))));
    world.pass(LEASE).await;
    let declined = match soon(second).await.unwrap() {
        Err(Error::Declined(declined)) => declined,
        other => panic!("{other:?}"),
    };
    assert_eq!(declined.reason(), DeclineReason::NotNow);
    assert!(declined.until() <= start() + chrono::TimeDelta::hours(1));
    assert!(!other.is_finished());
    let again = wait(&world.processes[1], &alice, None);
    assert!(matches!(soon(again).await.unwrap(), Err(Error::Declined(_))));
    // She logs in all the same, and what she said is forgotten.
    world.processes[0].insert(fresh(&alice, "one", &world.clock)).await.unwrap();
    turns().await;
    world.processes[1].revoke(&alice).await.unwrap();
    let _calls = world.calls(&alice).await;
    assert_eq!(soon(other).await.unwrap().request().user(), &alice);
}

#[tokio::test]
async fn what_one_process_puts_aside_no_other_takes_up_meanwhile() {
    let world = World::new();
    let alice = user("alice");
    let _calls = world.calls(&alice).await;
    claim(&world.processes[0].reauth_queue()).await.release(5 * MINUTE).unwrap();
    let others = [0, 1].map(|n| next(&world.processes[n].reauth_queue()));
    for _ in 0..4 {
        world.pass(MINUTE).await;
        assert!(others.iter().all(|other| !other.is_finished()));
    }
    world.pass(MINUTE + Duration::from_secs(1)).await;
    let asked = others.iter().filter(|other| other.is_finished()).count();
    assert_eq!(asked, 1);
}

#[tokio::test]
async fn rule_6_while_the_leases_are_away_nobody_is_asked() {
    let world = World::new();
    let alice = user("alice");
    let [first, second] = world.calls(&alice).await;
    world.leases.away.store(true, Ordering::SeqCst);
    let others = [0, 1].map(|n| next(&world.processes[n].reauth_queue()));
    for _ in 0..10 {
        world.pass(Duration::from_secs(3)).await;
    }
    assert!(others.iter().all(|other| !other.is_finished()));
    assert!(!first.is_finished() && !second.is_finished());
    world.leases.away.store(false, Ordering::SeqCst);
    world.pass(Duration::from_secs(3)).await;
    let asked = others.iter().filter(|other| other.is_finished()).count();
    assert_eq!(asked, 1);
}

#[tokio::test]
async fn a_lease_that_was_lost_ends_the_claim() {
    let world = World::new();
    let alice = user("alice");
    let _calls = world.calls(&alice).await;
    let mut held = claim(&world.processes[0].reauth_queue()).await;
    // As if this process had stood still, and another had taken over.
    world.leases.clear(&alice).await.unwrap();
    let other = LeaseHolder::random();
    assert_eq!(world.leases.acquire(&alice, other, LEASE).await.unwrap(), Lease::Acquired);
    held.renew(LEASE).unwrap();
    soon(held.over()).await;
    assert!(held.decline(DeclineReason::NotNow, MINUTE).is_err());
}

impl World {
    /// Somebody whose session ends in seven minutes, as both processes know.
    async fn ends_soon(&self) -> UserId {
        let alice = user("alice");
        let ends = self.clock.now() + chrono::TimeDelta::minutes(7);
        self.processes[0].insert(session(&alice, "one", ends)).await.unwrap();
        self.processes[1].get(&alice).await.unwrap();
        alice
    }

    fn notices(&self, n: usize) -> JoinHandle<Vec<ExpiringSoon>> {
        let notices = self.processes[n].expiry_notices().unwrap();
        tokio::spawn(async move { notices.next().await })
    }
}

#[tokio::test]
async fn one_of_the_processes_gives_a_notice() {
    let world = World::new();
    let alice = world.ends_soon().await;
    let both = [0, 1].map(|n| world.notices(n));
    world.pass(MINUTE).await;
    assert!(both.iter().all(|notices| !notices.is_finished()));
    world.pass(MINUTE).await;
    world.pass(MINUTE).await;
    let mut given = Vec::new();
    for notices in both {
        if notices.is_finished() {
            given.extend(notices.await.unwrap());
        }
    }
    assert_eq!(given.len(), 1);
    assert_eq!((&given[0].user, given[0].lead), (&alice, 5 * MINUTE));
}

#[tokio::test]
async fn a_notice_of_which_nobody_knows_who_gives_it_is_held_back() {
    let world = World::new();
    let alice = world.ends_soon().await;
    let notices = world.notices(0);
    world.leases.away.store(true, Ordering::SeqCst);
    for _ in 0..4 {
        world.pass(MINUTE).await;
    }
    assert!(!notices.is_finished());
    world.leases.away.store(false, Ordering::SeqCst);
    world.pass(MINUTE).await;
    assert_eq!(soon(notices).await.unwrap()[0].user, alice);
}

#[tokio::test]
async fn rule_10_a_notice_is_not_lost_with_a_reader_that_goes_away() {
    let world = World::new();
    let alice = world.ends_soon().await;
    world.leases.hang.store(true, Ordering::SeqCst);
    let notices = world.notices(0);
    world.pass(2 * MINUTE).await;
    notices.abort();
    turns().await;
    world.leases.hang.store(false, Ordering::SeqCst);
    let notices = world.notices(0);
    world.pass(Duration::from_secs(2)).await;
    assert_eq!(soon(notices).await.unwrap()[0].user, alice);
}
