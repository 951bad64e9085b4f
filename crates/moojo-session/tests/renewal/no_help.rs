//! A hook that gives no session of use: the person is asked.

use std::time::Duration;

use chrono::TimeDelta;
use moojo_session::{ManualClock, ReauthReason, SessionStore};

use crate::common::hook::{Does, Hook, builder, two_hours, with_hook};
use crate::common::{TestStore, fresh, start, user};
use crate::{MINUTE, ending_in, reason};

#[tokio::test(start_paused = true)]
async fn rule_10_a_renewal_has_a_deadline() {
    let clock = ManualClock::new(start());
    let (store, hook) = (TestStore::new(&clock), Hook::new(&clock, Does::Hangs));
    let limit = Duration::from_secs(7);
    let sessions = builder(&store, &clock, &hook).reauthenticate_timeout(limit).build();
    let alice = user("alice");
    let begun = tokio::time::Instant::now();
    assert_eq!(reason(sessions.get(&alice).await), ReauthReason::Missing);
    assert!(begun.elapsed() >= limit && begun.elapsed() < limit + Duration::from_secs(1));
    assert_eq!(sessions.reauth_queue().len(), 1);
}

#[tokio::test]
async fn a_hook_that_is_of_no_help_has_the_person_asked() {
    let alice = user("alice");
    let ended = Does::Renews(TimeDelta::seconds(-1));
    let of_bob = Does::GivesThatOf(user("bob"));
    for does in [Does::Nothing, Does::Fails, Does::Panics, ended, of_bob] {
        let (sessions, store, _, hook) = with_hook(does.clone());
        assert_eq!(reason(sessions.get(&alice).await), ReauthReason::Missing, "{does:?}");
        assert_eq!(sessions.reauth_queue().len(), 1);
        assert!(sessions.reauth_queue().try_next().await.is_some(), "and is handed out");
        assert_eq!(hook.calls(), 1);
        // It begins anew after the pause.
        hook.does(two_hours());
        assert!(sessions.get(&alice).await.is_err());
        hook.0.clock.advance(Duration::from_secs(30));
        assert!(sessions.get(&alice).await.is_ok(), "{does:?}");
        assert!(sessions.reauth_queue().is_empty());
        assert!(store.memory().load(&user("bob")).await.unwrap().is_none());
    }
}

#[tokio::test]
async fn rule_1_another_users_session_is_given_to_nobody() {
    let [alice, bob] = ["alice", "bob"].map(user);
    let (sessions, store, clock, _) = with_hook(Does::GivesThatOf(bob.clone()));
    sessions.insert(ending_in(&alice, 30 * MINUTE, &clock)).await.unwrap();
    let outcome = sessions.ensure_valid_for(&alice, 45 * MINUTE).await;
    assert_eq!(reason(outcome), ReauthReason::ExpiresTooSoon);
    assert!(store.memory().load(&bob).await.unwrap().is_none());
    assert_eq!(sessions.get(&alice).await.unwrap().user(), &alice);
}

#[tokio::test]
async fn the_pause_after_no_help_doubles_and_ends_with_a_session() {
    let clock = ManualClock::new(start());
    let (store, hook) = (TestStore::new(&clock), Hook::new(&clock, Does::Nothing));
    let [first, most] = [10, 60].map(Duration::from_secs);
    let sessions = builder(&store, &clock, &hook).reauthenticate_pause(first, most).build();
    let alice = user("alice");
    let _ = sessions.get(&alice).await;
    for (tries, pause) in [10, 20, 40, 60, 60].into_iter().enumerate() {
        clock.jump_wall(TimeDelta::hours(1));
        clock.advance(Duration::from_secs(pause) - Duration::from_millis(1));
        let _ = sessions.get(&alice).await;
        assert_eq!(hook.calls(), tries + 1, "before {pause} s are over");
        clock.advance(Duration::from_millis(1));
        let _ = sessions.get(&alice).await;
        assert_eq!(hook.calls(), tries + 2, "after {pause} s");
    }
    let login = fresh(&alice, "one", &clock);
    sessions.insert(login.clone()).await.unwrap();
    sessions.reject(&login).await.unwrap();
    let _ = sessions.get(&alice).await;
    assert_eq!(hook.calls(), 7, "after a login it is tried at once");
    clock.advance(first);
    let _ = sessions.get(&alice).await;
    assert_eq!(hook.calls(), 8, "and the pauses begin anew");
}
