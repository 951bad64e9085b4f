//! Leases whose calls come late, fail, or are not needed any more: a person is asked by one process at
//! a time all the same, and no lease stays with a process that does not need it.

mod common;

use std::sync::atomic::Ordering;
use std::time::Duration;

use chrono::TimeDelta;
use common::hook::{Does, Hook};
use common::processes::{At, World};
use common::queue::{LEASE, MINUTE, claim, next, soon, wait, want};
use common::{fresh, session, start, turns, user};
use moojo_session::{Clock, DeclineReason, Error, ManualClock};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn rule_7_a_claim_ends_no_later_than_its_lease() {
    let world = World::new();
    let alice = user("alice");
    let _calls = world.calls(&alice).await;
    // The lease begins, and its answer takes ten seconds.
    let gate = world.leases.hold_next(At::Acquired);
    let held = next(&world.processes[0].reauth_queue());
    turns().await;
    world.pass(10 * SECOND).await;
    gate.add_permits(1);
    let held = soon(held).await.unwrap();
    let other = next(&world.processes[1].reauth_queue());
    turns().await;
    world.pass(LEASE - 11 * SECOND).await;
    assert!(held.refreshed().is_ok() && !other.is_finished());
    world.pass(2 * SECOND).await;
    assert!(other.is_finished() && held.refreshed().is_err(), "both ask her");
}

#[tokio::test]
async fn rule_7_one_failure_of_the_leases_gives_nobody_to_another() {
    let world = World::new();
    let alice = user("alice");
    let _calls = world.calls(&alice).await;
    let held = claim(&world.processes[0].reauth_queue()).await;
    let other = next(&world.processes[1].reauth_queue());
    turns().await;
    world.pass(LEASE / 2).await;
    world.leases.away.store(true, Ordering::SeqCst);
    held.renew(LEASE).unwrap();
    turns().await;
    world.leases.away.store(false, Ordering::SeqCst);
    for _ in 0..58 {
        world.pass(SECOND).await;
    }
    assert!(held.refreshed().is_ok());
    assert!(!other.is_finished(), "both ask her");
    // What was kept is no longer than what was asked for.
    for _ in 0..6 {
        world.pass(SECOND).await;
    }
    assert!(held.refreshed().is_err() && other.is_finished());
}

#[tokio::test]
async fn rule_7_who_was_put_aside_by_one_process_is_not_claimed_by_another() {
    let world = World::new();
    let alice = user("alice");
    let _calls = world.calls(&alice).await;
    let [here, there] = [0, 1].map(|process| world.processes[process].reauth_queue());
    claim(&here).await.release(LEASE / 2).unwrap();
    turns().await;
    assert!(there.claim(&alice).await.is_none());
    assert!(here.claim(&alice).await.is_some());
}

#[tokio::test]
async fn rule_7_a_call_that_comes_late_does_not_shorten_a_later_lease() {
    let world = World::new();
    let alice = user("alice");
    let _calls = world.calls(&alice).await;
    let here = world.processes[0].reauth_queue();
    let held = claim(&here).await;
    let gate = world.leases.hold_next(At::Acquire);
    held.release(SECOND).unwrap();
    turns().await;
    // The person comes by.
    let again = tokio::spawn({
        let (here, alice) = (here.clone(), alice.clone());
        async move { here.claim(&alice).await }
    });
    turns().await;
    gate.add_permits(1);
    let again = soon(again).await.unwrap().unwrap();
    let other = next(&world.processes[1].reauth_queue());
    turns().await;
    world.pass(3 * SECOND).await;
    assert!(again.refreshed().is_ok());
    assert!(!other.is_finished(), "both ask her");
}

#[tokio::test]
async fn rule_7_a_login_that_comes_late_does_not_end_a_later_lease() {
    let world = World::new();
    let alice = user("alice");
    let [here, there] = &world.processes;
    let gate = world.leases.hold_next(At::Clear);
    here.insert(fresh(&alice, "one", &world.clock)).await.unwrap();
    turns().await;
    here.revoke(&alice).await.unwrap();
    let _calls = world.calls(&alice).await;
    let held = next(&here.reauth_queue());
    turns().await;
    gate.add_permits(1);
    let held = soon(held).await.unwrap();
    turns().await;
    assert!(there.reauth_queue().try_next().await.is_none(), "both ask her");
    assert!(held.refreshed().is_ok());
}

#[tokio::test]
async fn rule_7_who_declines_is_not_asked_though_the_lease_was_lost() {
    let world = World::new();
    let alice = user("alice");
    let [_first, second] = world.calls(&alice).await;
    let held = claim(&world.processes[0].reauth_queue()).await;
    world.leases.away.store(true, Ordering::SeqCst);
    held.renew(2 * LEASE).unwrap();
    turns().await;
    world.leases.away.store(false, Ordering::SeqCst);
    world.pass(LEASE + SECOND).await;
    held.decline(DeclineReason::NotNow, 60 * MINUTE).unwrap();
    turns().await;
    assert!(world.processes[1].reauth_queue().try_next().await.is_none());
    assert!(matches!(soon(second).await.unwrap(), Err(Error::Declined(_))));
}

#[tokio::test]
async fn rule_7_what_was_renewed_without_her_makes_nobody_forget_that_she_declined() {
    let hook = Hook::new(&ManualClock::new(start()), Does::Nothing);
    let world = World::with(|manager| manager.reauthenticate(hook.clone()));
    let alice = user("alice");
    let [here, there] = &world.processes;
    let _calls = world.calls(&alice).await;
    let held = claim(&here.reauth_queue()).await;
    held.decline(DeclineReason::NotNow, 60 * MINUTE).unwrap();
    turns().await;
    world.pass(MINUTE).await;
    let soon_over = world.clock.now() + TimeDelta::minutes(5);
    hook.does(Does::Gives(session(&alice, "renewed", soon_over)));
    assert!(there.get(&alice).await.is_ok());
    turns().await;
    world.pass(6 * MINUTE).await;
    let call = wait(there, &alice, None);
    turns().await;
    assert!(there.reauth_queue().try_next().await.is_none(), "she is asked");
    assert!(matches!(soon(call).await.unwrap(), Err(Error::Declined(_))));
}

#[tokio::test]
async fn a_lease_that_came_after_a_login_is_given_back() {
    let world = World::new();
    let alice = user("alice");
    let [here, there] = &world.processes;
    let _calls = world.calls(&alice).await;
    let gate = world.leases.hold_next(At::Acquire);
    let _worker = next(&here.reauth_queue());
    turns().await;
    there.insert(fresh(&alice, "one", &world.clock)).await.unwrap();
    turns().await;
    gate.add_permits(1);
    turns().await;
    there.revoke(&alice).await.unwrap();
    let _call = wait(there, &alice, None);
    turns().await;
    assert!(there.reauth_queue().try_next().await.is_some(), "nobody asks her");
}

#[tokio::test]
async fn the_lease_of_a_request_that_was_closed_is_given_back() {
    let world = World::new();
    let alice = user("alice");
    let [here, there] = &world.processes;
    want(here, &alice).await;
    let _call = wait(there, &alice, None);
    turns().await;
    let held = claim(&here.reauth_queue()).await;
    assert!(held.close_unless_awaited());
    turns().await;
    assert!(there.reauth_queue().try_next().await.is_some(), "nobody asks her");
}
