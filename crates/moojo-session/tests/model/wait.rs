//! Waiting for a session while one comes: nobody sleeps on although a live one is there.

use std::time::Duration;

use moojo_session::{Change, Error, Session, SessionManager};
use shuttle::future::{JoinHandle, spawn};

use crate::world::{World, alice, choose, explore, some_turns, wait};

const LIMIT: Duration = Duration::from_secs(60);

type Waiting = JoinHandle<Result<Session, Error>>;

async fn got(waiting: Waiting) -> Session {
    waiting.await.unwrap().unwrap()
}

#[test]
fn rule_11_a_session_that_comes_wakes_all_who_wait() {
    explore(async || {
        let world = World::new();
        let sessions = world.manager();
        let waiting = [(); 2].map(|()| spawn(wait(sessions.clone())));
        some_turns().await;
        let session = world.session();
        sessions.insert(session.clone()).await.unwrap();
        for one in waiting {
            assert_eq!(got(one).await, session);
        }
        assert!(sessions.reauth_queue().is_empty());
    });
}

#[test]
fn rule_11_a_session_of_another_process_wakes_who_waits() {
    explore(async || {
        let world = World::new();
        let waiting = spawn(wait(world.manager()));
        some_turns().await;
        let session = world.session();
        world.manager().insert(session.clone()).await.unwrap();
        assert_eq!(got(waiting).await, session);
    });
}

/// The feed keeps one change: who is slow is told `Lagged` instead.
#[test]
fn rule_11_a_change_that_was_missed_wakes_who_waits() {
    explore(async || {
        let world = World::with_feed(1);
        let waiting = spawn(wait(world.manager()));
        some_turns().await;
        let other = world.manager();
        other.insert(world.session()).await.unwrap();
        some_turns().await;
        other.revoke(&alice()).await.unwrap();
        let last = world.session();
        other.insert(last).await.unwrap();
        got(waiting).await;
    });
}

/// Nothing of the session itself is heard here.
#[test]
fn rule_11_a_gap_in_the_feed_wakes_who_waits() {
    explore(async || {
        let world = World::new();
        let waiting = [(); 2].map(|()| world.manager()).map(|sessions| spawn(wait(sessions)));
        some_turns().await;
        let session = world.session();
        world.store.put_unheard(&session);
        for one in waiting {
            assert_eq!(got(one).await, session);
        }
    });
}

/// It found nothing, but that was then.
#[test]
fn rule_11_a_load_from_before_a_gap_tells_nobody_who_comes_after_it() {
    explore(async || {
        let world = World::new();
        let sessions = world.manager();
        let earlier = spawn({
            let sessions = sessions.clone();
            async move { drop(sessions.get(&alice()).await) }
        });
        some_turns().await;
        let session = world.session();
        world.store.put_unheard(&session);
        some_turns().await;
        assert_eq!(got(spawn(wait(sessions))).await, session);
        earlier.await.unwrap();
    });
}

/// Changes of two processes, whichever: if there is a session in the end, all have one.
#[test]
fn rule_11_whatever_happened_before() {
    explore(async || {
        let world = World::with_feed(2);
        let here = world.manager();
        let waiting = [(); 2].map(|()| spawn(wait(here.clone())));
        let changes = [here.clone(), world.manager()].map(|sessions| {
            let world = world.clone();
            spawn(async move {
                for _ in 0..2 {
                    some_turns().await;
                    change(&world, &sessions).await;
                }
            })
        });
        for one in changes {
            one.await.unwrap();
        }
        if world.store.current().is_none() {
            here.insert(world.session()).await.unwrap();
        }
        for one in waiting {
            got(one).await;
        }
        // That there was none may be remembered until the feed has told of this one. Who waits asks the
        // store.
        got(spawn(wait(here.clone()))).await;
        // In use here from now on, and so nobody is asked.
        here.get(&alice()).await.unwrap();
        assert!(here.reauth_queue().is_empty());
    });
}

async fn change(world: &World, sessions: &SessionManager) {
    match choose(6) {
        0 | 1 => sessions.insert(world.session()).await.unwrap(),
        2 => drop(sessions.revoke(&alice()).await.unwrap()),
        3 => {
            if let Ok(session) = sessions.get(&alice()).await {
                sessions.reject(&session).await.unwrap();
            }
        }
        4 => world.store.put_unheard(&world.session()),
        _ => world.store.tell(Change::Lagged),
    }
}

#[test]
fn rule_10_a_deadline_that_passes_ends_the_wait() {
    explore(async || {
        let world = World::new();
        let sessions = world.manager();
        let waiting = spawn({
            let sessions = sessions.clone();
            async move { sessions.wait(&alice(), LIMIT).await }
        });
        let clock = spawn({
            let world = world.clone();
            async move {
                for _ in 0..3 {
                    world.clock.advance(LIMIT / 2);
                    shuttle::future::yield_now().await;
                }
            }
        });
        clock.await.unwrap();
        // One that began after the clock's last move is given its own time.
        world.clock.advance(LIMIT);
        while !waiting.is_finished() {
            shuttle::future::yield_now().await;
            world.clock.advance(LIMIT);
        }
        let Err(Error::ReauthRequired(signal)) = waiting.await.unwrap() else {
            panic!("no session")
        };
        assert_eq!(signal.waited(), Some(LIMIT));
    });
}

/// Put in by another process, whose change nobody here has heard of yet.
#[test]
fn rule_11_whoever_times_out_looks_at_the_store_again() {
    explore(async || {
        let world = World::new();
        let sessions = world.manager();
        let waiting = spawn(async move { sessions.wait(&alice(), LIMIT).await });
        some_turns().await;
        world.store.put(&world.session());
        world.clock.advance(LIMIT);
        got(waiting).await;
    });
}

#[test]
fn rule_10_who_stops_waiting_takes_nobody_along() {
    explore(async || {
        let world = World::new();
        let sessions = world.manager();
        let leaves = spawn(wait(sessions.clone()));
        let stays = spawn(wait(sessions.clone()));
        let leaving = spawn(async move {
            some_turns().await;
            leaves.abort();
        });
        some_turns().await;
        let session = world.session();
        sessions.insert(session.clone()).await.unwrap();
        assert_eq!(got(stays).await, session);
        leaving.await.unwrap();
        assert!(sessions.reauth_queue().is_empty());
    });
}
