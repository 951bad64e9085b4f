//! The queue of those who have to log in again: claims, answers, declines.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use moojo_session::{DeclineReason, Error, Session, SessionManager, UserId};
use shuttle::future::{spawn, yield_now};

use crate::world::{World, alice, choose, explore, some_turns, wait, wait_for};

const LEASE: Duration = Duration::from_secs(60);

fn answered(outcome: Result<Session, Error>) {
    outcome.unwrap();
}

fn answered_or_declined(outcome: Result<Session, Error>) {
    assert!(matches!(outcome, Ok(_) | Err(Error::Declined(_))), "{outcome:?}");
}

async fn nothing_is_open(sessions: &SessionManager) {
    sessions.get(&alice()).await.unwrap();
    let queue = sessions.reauth_queue();
    assert!(queue.is_empty(), "{:?}", queue.list(None, 10));
}

/// Two workers, who give back what they claim or answer it, while a login comes by other ways.
#[test]
fn rule_7_a_request_has_one_holder_at_a_time_and_is_closed_by_a_session() {
    explore(async || {
        let world = World::new();
        let sessions = world.manager();
        let waiting = [(); 2].map(|()| spawn(wait(sessions.clone())));
        let holders = Arc::new(AtomicUsize::new(0));
        let workers =
            [(); 2].map(|()| spawn(work(world.clone(), sessions.clone(), holders.clone())));
        if choose(2) == 0 {
            some_turns().await;
            sessions.insert(world.session()).await.unwrap();
        }
        for one in waiting {
            answered(one.await.unwrap());
        }
        nothing_is_open(&sessions).await;
        workers.iter().for_each(|worker| worker.abort());
    });
}

async fn work(world: World, sessions: SessionManager, holders: Arc<AtomicUsize>) {
    let queue = sessions.reauth_queue();
    for turn in 0.. {
        let claim = queue.next().await;
        assert_eq!(holders.fetch_add(1, Ordering::Relaxed), 0, "two hold one request");
        yield_now().await;
        let next = if turn == 0 { choose(3) } else { 0 };
        holders.fetch_sub(1, Ordering::Relaxed);
        match next {
            0 => claim.answer(world.session()).await.unwrap(),
            1 => drop(claim),
            // Over already if a session has come.
            _ => drop(claim.release(Duration::ZERO)),
        }
    }
}

#[test]
fn rule_7_a_call_that_meets_a_session_leaves_no_request_behind() {
    explore(async || {
        let world = World::new();
        let sessions = world.manager();
        let calls = [(); 2].map(|()| {
            let sessions = sessions.clone();
            spawn(async move { drop(sessions.get(&alice()).await) })
        });
        some_turns().await;
        sessions.insert(world.session()).await.unwrap();
        for call in calls {
            call.await.unwrap();
        }
        nothing_is_open(&sessions).await;
    });
}

/// Calls and logins of two users, who have nothing in common but the queue.
#[test]
fn rule_1_what_is_closed_for_one_user_does_not_leave_that_of_another_open() {
    explore(async || {
        let world = World::new();
        let sessions = world.manager();
        let users = [alice(), UserId::new("bob").unwrap()].map(|user| {
            let (world, sessions) = (world.clone(), sessions.clone());
            spawn(async move {
                assert!(sessions.get(&user).await.is_err());
                sessions.insert(world.session_of(user)).await.unwrap();
            })
        });
        for user in users {
            user.await.unwrap();
        }
        nothing_is_open(&sessions).await;
    });
}

#[test]
fn a_worker_that_comes_along_with_a_request_gets_it() {
    explore(async || {
        let world = World::new();
        let sessions = world.manager();
        let waiting = spawn(wait(sessions.clone()));
        some_turns().await;
        let claim = sessions.reauth_queue().next().await;
        claim.answer(world.session()).await.unwrap();
        answered(waiting.await.unwrap());
    });
}

#[test]
fn a_request_that_is_claimed_does_not_hold_up_another() {
    explore(async || {
        let world = World::new();
        let sessions = world.manager();
        let users = [alice(), UserId::new("bob").unwrap()];
        let waiting = users.clone().map(|user| spawn(wait_for(sessions.clone(), user)));
        let queue = sessions.reauth_queue();
        let claims = [queue.next().await, queue.next().await];
        assert_ne!(claims[0].request().user(), claims[1].request().user());
        for claim in claims {
            let session = world.session_of(claim.request().user().clone());
            claim.answer(session).await.unwrap();
        }
        for one in waiting {
            answered(one.await.unwrap());
        }
    });
}

#[test]
fn rule_10_a_claim_that_is_dropped_is_handed_out_again() {
    explore(async || {
        let world = World::new();
        let sessions = world.manager();
        let waiting = spawn(wait(sessions.clone()));
        let first = spawn({
            let queue = sessions.reauth_queue();
            async move {
                let _claim = queue.next().await;
                yield_now().await;
            }
        });
        let second = spawn({
            let (world, queue) = (world.clone(), sessions.reauth_queue());
            async move { queue.next().await.answer(world.session()).await.unwrap() }
        });
        // Anywhere: in the middle of a claim, while it holds it, after it.
        some_turns().await;
        first.abort();
        answered(waiting.await.unwrap());
        second.await.unwrap();
        nothing_is_open(&sessions).await;
    });
}

/// A lease that runs out: the next one gets the request, and the earlier claim is worth nothing.
#[test]
fn rule_10_a_claim_that_lapses_is_handed_out_again_and_is_over() {
    explore(async || {
        let world = World::new();
        let sessions = world.builder().lease(LEASE).build();
        let waiting = spawn(wait(sessions.clone()));
        let newest = Arc::new(AtomicU32::new(0));
        let held = Arc::new(AtomicU32::new(0));
        let workers = [(); 2].map(|()| spawn(hold(sessions.clone(), newest.clone(), held.clone())));
        let done = Arc::new(AtomicBool::new(false));
        let clock = spawn({
            let (clock, done) = (world.clock.clone(), done.clone());
            async move {
                // Slowly enough for a worker that asks the store meanwhile.
                let mut turns = 0;
                while !done.load(Ordering::Relaxed) {
                    turns += 1;
                    if turns % 200 == 0 || (turns < 200 && held.load(Ordering::Relaxed) > 0) {
                        clock.advance(LEASE / 2);
                    }
                    yield_now().await;
                }
            }
        });
        for worker in workers {
            worker.await.unwrap();
        }
        done.store(true, Ordering::Relaxed);
        clock.await.unwrap();
        sessions.insert(world.session()).await.unwrap();
        answered(waiting.await.unwrap());
        nothing_is_open(&sessions).await;
    });
}

/// Claims, extends the claim perhaps, and holds it until it is over.
async fn hold(sessions: SessionManager, newest: Arc<AtomicU32>, held: Arc<AtomicU32>) {
    let mut claim = sessions.reauth_queue().next().await;
    let mine = claim.request().handed_out();
    newest.fetch_max(mine, Ordering::Relaxed);
    let overtaken = || newest.load(Ordering::Relaxed) > mine;
    if choose(2) == 0 {
        let late = overtaken();
        assert!(claim.renew(LEASE).is_err() || !late, "an older claim was extended");
    }
    let late = overtaken();
    assert!(claim.refreshed().is_err() || !late, "an older claim still holds");
    held.fetch_add(1, Ordering::Relaxed);
    claim.over().await;
    assert!(claim.refreshed().is_err(), "a claim that is over holds");
}

#[test]
fn all_who_wait_are_told_of_a_decline() {
    explore(async || {
        let world = World::new();
        let sessions = world.manager();
        let waiting = [(); 3].map(|()| spawn(wait(sessions.clone())));
        let workers = [(); 2].map(|()| {
            let queue = sessions.reauth_queue();
            spawn(async move {
                let claim = queue.next().await;
                claim.decline(DeclineReason::NotNow, LEASE).unwrap();
            })
        });
        for one in waiting {
            let outcome = one.await.unwrap();
            assert!(matches!(outcome, Err(Error::Declined(_))), "{outcome:?}");
        }
        workers.iter().for_each(|worker| worker.abort());
    });
}

/// The time of the decline may be over, and somebody else may be in the queue by then.
#[test]
fn who_waited_when_it_was_declined_is_told_so_however_late() {
    explore(async || {
        let world = World::new();
        let sessions = world.manager();
        let waiting = spawn(wait(sessions.clone()));
        let claim = sessions.reauth_queue().next().await;
        let late = spawn(wait(sessions.clone()));
        some_turns().await;
        claim.decline(DeclineReason::NotNow, LEASE).unwrap();
        world.clock.advance(LEASE);
        let outcome = waiting.await.unwrap();
        assert!(matches!(outcome, Err(Error::Declined(_))), "{outcome:?}");
        late.abort();
    });
}

/// A short one: some wait for the request that was declined and some for the one after it.
#[test]
fn all_who_wait_are_told_of_a_decline_or_get_the_next_session() {
    explore(async || {
        let world = World::new();
        let sessions = world.manager();
        let waiting = [(); 3].map(|()| spawn(wait(sessions.clone())));
        let queue = sessions.reauth_queue();
        queue.next().await.decline(DeclineReason::NotNow, LEASE).unwrap();
        let next = spawn({
            let world = world.clone();
            async move { queue.next().await.answer(world.session()).await.unwrap() }
        });
        some_turns().await;
        world.clock.advance(LEASE);
        for one in waiting {
            answered_or_declined(one.await.unwrap());
        }
        next.abort();
    });
}

/// A session and a decline at once: one of the two is what each call gets.
#[test]
fn a_decline_that_meets_a_session_leaves_nobody_waiting() {
    explore(async || {
        let world = World::new();
        let sessions = world.manager();
        let waiting = [(); 2].map(|()| spawn(wait(sessions.clone())));
        let worker = spawn({
            let queue = sessions.reauth_queue();
            async move { queue.next().await.decline(DeclineReason::NotNow, LEASE).ok() }
        });
        some_turns().await;
        sessions.insert(world.session()).await.unwrap();
        for one in waiting {
            answered_or_declined(one.await.unwrap());
        }
        nothing_is_open(&sessions).await;
        worker.abort();
    });
}

/// A login in another process: the claim of this one is over.
#[test]
fn rule_7_a_session_of_another_process_ends_the_claim() {
    explore(async || {
        let world = World::new();
        let sessions = world.manager();
        let waiting = spawn(wait(sessions.clone()));
        let has_claim = Arc::new(AtomicBool::new(false));
        let worker = spawn({
            let (queue, has_claim) = (sessions.reauth_queue(), has_claim.clone());
            async move {
                let mut claim = queue.next().await;
                has_claim.store(true, Ordering::Relaxed);
                claim.over().await;
            }
        });
        some_turns().await;
        world.manager().insert(world.session()).await.unwrap();
        answered(waiting.await.unwrap());
        nothing_is_open(&sessions).await;
        if has_claim.load(Ordering::Relaxed) {
            worker.await.unwrap();
        } else {
            worker.abort();
        }
    });
}
