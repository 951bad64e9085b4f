//! Loads that are shared.

use std::time::Duration;

use futures_util::FutureExt;
use moojo_session::model::take_elapsed;
use moojo_session::{Error, Event, Session, SessionManager};
use shuttle::future::{JoinHandle, spawn};

use crate::world::{World, alice, choose, explore, some_turns};

type Getting = JoinHandle<Result<Session, Error>>;

fn get(sessions: &SessionManager) -> Getting {
    let sessions = sessions.clone();
    spawn(async move { sessions.get(&alice()).await })
}

#[test]
fn rule_10_a_leader_that_goes_away_does_not_take_its_followers_with_it() {
    explore(async || {
        let world = World::new();
        let session = world.session();
        world.store.put(&session);
        let sessions = world.manager();
        let leader = get(&sessions);
        let followers = [(); 2].map(|()| get(&sessions));
        some_turns().await;
        leader.abort();
        for follower in followers {
            assert_eq!(follower.await.unwrap().unwrap(), session);
        }
        assert_eq!(world.store.loads(), 1);
    });
}

#[test]
fn rule_10_they_are_told_that_there_is_none_and_the_signal_is_raised_once() {
    explore(async || {
        let world = World::new();
        let sessions = world.manager();
        let mut events = sessions.events();
        let leader = get(&sessions);
        let followers = [(); 2].map(|()| get(&sessions));
        some_turns().await;
        leader.abort();
        for follower in followers {
            let found = follower.await.unwrap();
            assert!(matches!(found, Err(Error::ReauthRequired(_))), "{found:?}");
        }
        assert_eq!(sessions.reauth_queue().len(), 1);
        let raised = events.next().now_or_never();
        assert!(matches!(raised, Some(Some(Event::ReauthRequired(_)))), "{raised:?}");
        assert!(events.next().now_or_never().is_none());
    });
}

/// Its task ends without an answer: all ask once more, together.
#[test]
fn rule_10_a_load_that_is_lost_is_made_again() {
    explore(async || {
        let world = World::new();
        let session = world.session();
        world.store.put(&session);
        world.store.lose_loads(1);
        let sessions = world.manager();
        for one in [(); 3].map(|()| get(&sessions)) {
            assert_eq!(one.await.unwrap().unwrap(), session);
        }
        assert_eq!(world.store.loads(), 2);
    });
}

/// What was given up goes on, and takes nothing from the load that has taken its place: each that
/// was needed follows one that failed somebody.
#[test]
fn rule_6_a_load_that_was_given_up_does_not_end_another() {
    explore(async || {
        let world = World::new();
        let session = world.session();
        world.store.put(&session);
        let sessions = world.builder().store_timeout(Duration::from_millis(1)).build();
        take_elapsed();
        for one in [(); 4].map(|()| get(&sessions)) {
            match one.await.unwrap() {
                Ok(found) => assert_eq!(found, session),
                Err(Error::Store(_)) => {}
                Err(other) => panic!("{other}"),
            }
        }
        let (loads, given_up) = (world.store.loads(), take_elapsed());
        assert!(loads <= 1 + given_up, "{loads} loads, {given_up} given up");
    });
}

#[test]
fn rule_5_what_is_refused_or_revoked_while_it_is_loaded_does_not_come_back() {
    explore(async || {
        let world = World::new();
        let session = world.session();
        world.store.put(&session);
        let sessions = world.manager();
        let getting = get(&sessions);
        some_turns().await;
        if choose(2) == 0 {
            assert!(sessions.reject(&session).await.unwrap());
        } else {
            assert!(sessions.revoke(&alice()).await.unwrap());
        }
        let late = sessions.get(&alice()).await;
        assert!(matches!(late, Err(Error::ReauthRequired(_))), "{late:?}");
        getting.await.unwrap().ok();
        let late = sessions.get(&alice()).await;
        assert!(matches!(late, Err(Error::ReauthRequired(_))), "{late:?}");
    });
}

#[test]
fn a_newer_session_wins_over_a_load_under_way() {
    explore(async || {
        let world = World::new();
        world.store.put(&world.session());
        let sessions = world.manager();
        let getting = get(&sessions);
        some_turns().await;
        let newer = world.session();
        sessions.insert(newer.clone()).await.unwrap();
        assert_eq!(sessions.get(&alice()).await.unwrap(), newer);
        getting.await.unwrap().unwrap();
        assert_eq!(sessions.get(&alice()).await.unwrap(), newer);
    });
}

#[test]
fn of_changes_at_once_the_one_that_the_store_took_last_counts() {
    explore(async || {
        let world = World::new();
        let first = world.session();
        world.store.put(&first);
        let sessions = world.manager();
        let changes = [(); 2].map(|()| {
            let (sessions, first, new) = (sessions.clone(), first.clone(), world.session());
            spawn(async move {
                some_turns().await;
                match choose(4) {
                    0 => drop(sessions.revoke(&alice()).await.unwrap()),
                    1 => drop(sessions.reject(&first).await.unwrap()),
                    _ => sessions.insert(new).await.unwrap(),
                }
            })
        });
        for change in changes {
            change.await.unwrap();
        }
        let in_use = match sessions.get(&alice()).await {
            Err(Error::ReauthRequired(_)) => None,
            other => Some(other.unwrap()),
        };
        assert_eq!(in_use, world.store.current());
    });
}
