//! Notices before sessions end, of several processes on the same leases: one gives each.

mod common;

use std::sync::atomic::Ordering;
use std::time::Duration;

use common::processes::{At, World};
use common::queue::{MINUTE, soon};
use common::{session, turns, user};
use moojo_session::{Clock, ExpiringSoon, UserId};
use tokio::task::JoinHandle;

struct Ending(World);

impl Ending {
    fn new() -> Self {
        Self(World::with(|manager| manager.expiry_notices([5 * MINUTE])))
    }

    /// Somebody whose session ends in seven minutes, as both processes know.
    async fn ends_soon(&self) -> UserId {
        let alice = user("alice");
        let ends = self.0.clock.now() + chrono::TimeDelta::minutes(7);
        self.0.processes[0].insert(session(&alice, "one", ends)).await.unwrap();
        self.0.processes[1].get(&alice).await.unwrap();
        alice
    }

    fn notices(&self, n: usize) -> JoinHandle<Vec<ExpiringSoon>> {
        let notices = self.0.processes[n].expiry_notices().unwrap();
        tokio::spawn(async move { notices.next().await })
    }
}

#[tokio::test]
async fn one_of_the_processes_gives_a_notice() {
    let world = Ending::new();
    let alice = world.ends_soon().await;
    let both = [0, 1].map(|n| world.notices(n));
    world.0.pass(MINUTE).await;
    assert!(both.iter().all(|notices| !notices.is_finished()));
    world.0.pass(MINUTE).await;
    world.0.pass(MINUTE).await;
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
    let world = Ending::new();
    let alice = world.ends_soon().await;
    let notices = world.notices(0);
    world.0.leases.away.store(true, Ordering::SeqCst);
    for _ in 0..4 {
        world.0.pass(MINUTE).await;
    }
    assert!(!notices.is_finished());
    world.0.leases.away.store(false, Ordering::SeqCst);
    world.0.pass(MINUTE).await;
    assert_eq!(soon(notices).await.unwrap()[0].user, alice);
}

#[tokio::test]
async fn rule_10_a_notice_is_not_lost_with_a_reader_that_goes_away() {
    let world = Ending::new();
    let alice = world.ends_soon().await;
    let gate = world.0.leases.hold_next(At::Acquired);
    let notices = world.notices(0);
    world.0.pass(2 * MINUTE).await;
    notices.abort();
    turns().await;
    gate.add_permits(1);
    let notices = world.notices(0);
    world.0.pass(Duration::from_secs(2)).await;
    assert_eq!(soon(notices).await.unwrap()[0].user, alice);
}
