//! Several managers on one store, as several processes are: one of them asks a person.

mod common;

use std::sync::atomic::Ordering;
use std::time::Duration;

use common::processes::World;
use common::queue::{LEASE, MINUTE, claim, next, soon, wait};
use common::{fresh, start, turns, user};
use moojo_session::{DeclineReason, Error, Lease, LeaseHolder, LeaseStore};

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
