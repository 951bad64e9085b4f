//! Two processes on one store with common leases: one of them at a time has a person.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use moojo_session::model::Mutex;
use moojo_session::{
    Claim, DeclineReason, Lease, LeaseHolder, LeaseStore, MemoryLeaseStore, SessionManager,
    StoreError, UserId, async_trait,
};
use shuttle::future::{spawn, yield_now};

use crate::world::{World, choose, explore, some_turns, wait};

const LEASE: Duration = Duration::from_secs(60);

/// Leases in which others may come in between before and after each step.
#[derive(Debug, Clone)]
struct Leases(MemoryLeaseStore);

#[async_trait]
impl LeaseStore for Leases {
    async fn acquire(
        &self,
        user: &UserId,
        holder: LeaseHolder,
        time: Duration,
    ) -> Result<Lease, StoreError> {
        some_turns().await;
        let lease = self.0.acquire(user, holder, time).await;
        some_turns().await;
        lease
    }

    async fn release(&self, user: &UserId, holder: LeaseHolder) -> Result<bool, StoreError> {
        some_turns().await;
        self.0.release(user, holder).await
    }

    async fn decline(
        &self,
        user: &UserId,
        holder: LeaseHolder,
        reason: DeclineReason,
        time: Duration,
    ) -> Result<bool, StoreError> {
        some_turns().await;
        self.0.decline(user, holder, reason, time).await
    }

    async fn clear(&self, user: &UserId) -> Result<(), StoreError> {
        some_turns().await;
        self.0.clear(user).await
    }
}

/// The claim of each process.
type Claims = Arc<Mutex<[Option<Claim>; 2]>>;

#[test]
fn rule_7_a_person_is_had_by_one_process_at_a_time() {
    explore(async || {
        let world = World::new();
        let leases = Leases(MemoryLeaseStore::with_clock(world.clock.clone()));
        let process = || world.builder().leases(leases.clone()).lease(LEASE).build();
        let processes = [process(), process()];
        let waiting = processes.clone().map(|sessions| spawn(wait(sessions)));
        let claims = Claims::default();
        let workers =
            [0, 1].map(|n| spawn(work(world.clone(), processes[n].clone(), claims.clone(), n)));
        let done = Arc::new(AtomicBool::new(false));
        let clock = spawn({
            let (clock, done, claims) = (world.clock.clone(), done.clone(), claims.clone());
            async move {
                // Fast while somebody has her, slowly for who has to ask the stores.
                for turn in 1.. {
                    if done.load(Ordering::Relaxed) {
                        break;
                    }
                    let held = claims.lock().iter().any(Option::is_some);
                    if turn % 200 == 0 || (held && turn % 8 == 0) {
                        clock.advance(LEASE / 4);
                    }
                    yield_now().await;
                }
            }
        });
        for one in waiting {
            one.await.unwrap().unwrap();
        }
        workers.iter().for_each(|worker| worker.abort());
        done.store(true, Ordering::Relaxed);
        clock.await.unwrap();
    });
}

/// Claims, and gives it back or lets it lapse; in the end she logs in.
async fn work(world: World, sessions: SessionManager, claims: Claims, n: usize) {
    let queue = sessions.reauth_queue();
    for round in 0.. {
        let claim = queue.next().await;
        {
            let mut claims = claims.lock();
            claims[n] = Some(claim);
            let held = claims.iter().flatten().filter(|claim| claim.refreshed().is_ok()).count();
            assert!(held <= 1, "two processes have her");
        }
        some_turns().await;
        let Some(claim) = claims.lock()[n].take() else { continue };
        match choose(4) {
            0 => drop(claim),
            1 => drop(claim.release(Duration::from_secs(1))),
            2 if round < 3 => {
                claims.lock()[n] = Some(claim);
                some_turns().await;
                drop(claims.lock()[n].take());
            }
            _ => claim.answer(world.session()).await.unwrap(),
        }
    }
}
