//! What happens when several things happen to one user at once.

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{TestStore, fresh, setup, start, user};
use moojo_session::{
    Error, Event, Limit, ManualClock, MemoryStore, ReauthReason, SessionManager, SessionStore,
};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::task::JoinSet;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_requests_of_one_user_on_a_cold_cache_are_one_load() {
    let (sessions, store, clock) = setup();
    let alice = user("alice");
    store.memory().save(&fresh(&alice, "one", &clock)).await.unwrap();
    let gate = store.gate();
    let mut callers = JoinSet::new();
    for _ in 0..10_000 {
        let (sessions, alice) = (sessions.clone(), alice.clone());
        callers.spawn(async move { sessions.get(&alice).await.map(|session| session.id()) });
    }
    gate.arrived.notified().await;
    store.no_gate();
    while let Some(result) = callers.join_next().await {
        result.unwrap().unwrap();
    }
    assert_eq!(store.loads(), 1);
}

#[tokio::test]
async fn rule_10_a_shared_load_survives_the_caller_that_started_it() {
    let (sessions, store, clock) = setup();
    let alice = user("alice");
    store.memory().save(&fresh(&alice, "one", &clock)).await.unwrap();
    let gate = store.gate();
    let leader = tokio::spawn({
        let (sessions, alice) = (sessions.clone(), alice.clone());
        async move { sessions.get(&alice).await }
    });
    gate.arrived.notified().await;
    let follower = tokio::spawn({
        let (sessions, alice) = (sessions.clone(), alice.clone());
        async move { sessions.get(&alice).await }
    });
    leader.abort();
    assert!(leader.await.unwrap_err().is_cancelled());
    store.no_gate();
    assert!(follower.await.unwrap().is_ok());
    assert_eq!(store.loads(), 1);
}

#[tokio::test]
async fn a_removal_during_a_load_never_leaves_the_stale_session_behind() {
    let (sessions, store, clock) = setup();
    let alice = user("alice");
    store.memory().save(&fresh(&alice, "one", &clock)).await.unwrap();
    let gate = store.gate();
    let caller = tokio::spawn({
        let (sessions, alice) = (sessions.clone(), alice.clone());
        async move { sessions.get(&alice).await }
    });
    // The load has read the session, and has not said so yet.
    gate.arrived.notified().await;
    assert!(sessions.revoke(&alice).await.unwrap());
    store.no_gate();
    let error = caller.await.unwrap().unwrap_err();
    assert!(matches!(error, Error::ReauthRequired(s) if s.reason() == ReauthReason::Revoked));
    assert!(sessions.get(&alice).await.is_err());
}

#[tokio::test]
async fn a_refusal_during_a_load_never_leaves_the_refused_session_behind() {
    let (sessions, store, clock) = setup();
    let alice = user("alice");
    let refused = fresh(&alice, "one", &clock);
    store.memory().save(&refused).await.unwrap();
    let gate = store.gate();
    let caller = tokio::spawn({
        let (sessions, alice) = (sessions.clone(), alice.clone());
        async move { sessions.get(&alice).await }
    });
    gate.arrived.notified().await;
    assert!(sessions.reject(&refused).await.unwrap());
    store.no_gate();
    assert!(caller.await.unwrap().is_err());
    assert!(sessions.get(&alice).await.is_err());
}

#[tokio::test]
async fn a_login_during_a_load_is_what_the_callers_get() {
    let (sessions, store, clock) = setup();
    let alice = user("alice");
    store.memory().save(&fresh(&alice, "old", &clock)).await.unwrap();
    let gate = store.gate();
    let caller = tokio::spawn({
        let (sessions, alice) = (sessions.clone(), alice.clone());
        async move { sessions.get(&alice).await }
    });
    gate.arrived.notified().await;
    let new = fresh(&alice, "new", &clock);
    sessions.insert(new.clone()).await.unwrap();
    store.no_gate();
    assert_eq!(caller.await.unwrap().unwrap(), new);
    assert_eq!(sessions.get(&alice).await.unwrap(), new);
}

#[tokio::test]
async fn a_login_just_after_a_load_found_nothing_is_no_signal_to_who_waited_for_the_load() {
    let (sessions, store, clock) = setup();
    let alice = user("alice");
    let gate = store.gate();
    let caller = tokio::spawn({
        let (sessions, alice) = (sessions.clone(), alice.clone());
        async move { sessions.get(&alice).await }
    });
    gate.arrived.notified().await;
    let mut events = sessions.events();
    let one = fresh(&alice, "one", &clock);
    let person = tokio::spawn({
        let (sessions, one) = (sessions.clone(), one.clone());
        async move {
            // The load says that there is nothing; its caller is still to be told so.
            assert!(matches!(events.next().await, Some(Event::ReauthRequired(_))));
            sessions.insert(one).await.unwrap();
            events
        }
    });
    tokio::task::yield_now().await;
    store.no_gate();
    assert_eq!(caller.await.unwrap().unwrap(), one);
    let mut events = person.await.unwrap();
    // And when that one goes, it is told again.
    sessions.revoke(&alice).await.unwrap();
    sessions.get(&alice).await.unwrap_err();
    while !matches!(events.next().await, Some(Event::ReauthRequired(_))) {}
}

#[tokio::test]
async fn rule_10_a_change_that_was_cut_short_is_looked_up_again() {
    let (sessions, store, clock) = setup();
    let alice = user("alice");
    for change in 0..3 {
        sessions.insert(fresh(&alice, "one", &clock)).await.unwrap();
        let (loads, calls) = (store.loads(), store.calls());
        store.hang(true);
        let task = tokio::spawn({
            let (sessions, alice, clock) = (sessions.clone(), alice.clone(), clock.clone());
            async move {
                let current = sessions.get(&alice).await.unwrap();
                match change {
                    0 => drop(sessions.insert(fresh(&alice, "two", &clock)).await),
                    1 => drop(sessions.revoke(&alice).await),
                    _ => drop(sessions.reject(&current).await),
                }
            }
        });
        while store.calls() == calls {
            tokio::task::yield_now().await;
        }
        task.abort();
        let _ = task.await;
        store.hang(false);
        assert!(sessions.get(&alice).await.is_ok());
        assert_eq!(store.loads(), loads + 1, "change {change}");
    }
}

#[tokio::test]
async fn changes_by_others_are_seen_through_the_feed() {
    let clock = ManualClock::new(start());
    let store = MemoryStore::builder().clock(clock.clone()).build();
    let manager = || SessionManager::builder(store.clone()).clock(clock.clone()).build();
    let (here, there) = (manager(), manager());
    let alice = user("alice");
    let one = fresh(&alice, "one", &clock);
    here.insert(one.clone()).await.unwrap();
    assert_eq!(there.get(&alice).await.unwrap(), one);

    let two = fresh(&alice, "two", &clock);
    here.insert(two.clone()).await.unwrap();
    while there.get(&alice).await.unwrap() != two {
        tokio::task::yield_now().await;
    }
    here.revoke(&alice).await.unwrap();
    while there.get(&alice).await.is_ok() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_gap_in_the_feed_puts_everything_in_doubt() {
    let clock = ManualClock::new(start());
    let store = TestStore::new(&clock);
    store.has_feed();
    let sessions = SessionManager::builder(store.clone()).clock(clock.clone()).build();
    let alice = user("alice");
    sessions.insert(fresh(&alice, "one", &clock)).await.unwrap();
    assert_eq!(store.loads(), 0);
    // More than the feed holds, while nobody is given the time to read it.
    for _ in 0..5_000 {
        store.memory().save(&fresh(&user("bob"), "t", &clock)).await.unwrap();
    }
    while store.loads() == 0 {
        tokio::task::yield_now().await;
        sessions.get(&alice).await.unwrap();
    }
}

#[test]
fn a_manager_outlives_its_runtime() {
    let clock = ManualClock::new(start());
    let store = MemoryStore::builder().clock(clock.clone()).build();
    let manager = || SessionManager::builder(store.clone()).clock(clock.clone()).build();
    let (here, there) = (manager(), manager());
    let alice = user("alice");
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime().block_on(async {
        here.insert(fresh(&alice, "one", &clock)).await.unwrap();
        there.get(&alice).await.unwrap();
    });
    runtime().block_on(async {
        here.revoke(&alice).await.unwrap();
        // `there` listened on the other runtime, and has noticed that it does not any more.
        assert!(there.get(&alice).await.is_err());
    });
}

#[tokio::test]
async fn a_waiter_gets_the_session_that_arrives() {
    let (sessions, _, clock) = setup();
    let alice = user("alice");
    let waiters: Vec<_> = (0..100)
        .map(|_| {
            let (sessions, alice) = (sessions.clone(), alice.clone());
            tokio::spawn(async move { sessions.wait(&alice, Duration::from_secs(300)).await })
        })
        .collect();
    tokio::task::yield_now().await;
    let one = fresh(&alice, "one", &clock);
    sessions.insert(one.clone()).await.unwrap();
    for waiter in waiters {
        assert_eq!(waiter.await.unwrap().unwrap(), one);
    }
    assert_eq!(sessions.wait(&alice, Duration::ZERO).await.unwrap(), one);
}

#[tokio::test]
async fn rule_10_a_waiter_has_a_deadline() {
    let (sessions, _, clock) = setup();
    let alice = user("alice");
    let mut waiter = tokio::spawn({
        let (sessions, alice) = (sessions.clone(), alice.clone());
        async move { sessions.wait(&alice, Duration::from_secs(300)).await }
    });
    let mut events = sessions.events();
    events.next().await;
    clock.advance(Duration::from_secs(299));
    tokio::task::yield_now().await;
    assert!(futures_util::poll!(&mut waiter).is_pending());
    clock.advance(Duration::from_secs(1));
    let Err(Error::ReauthRequired(signal)) = waiter.await.unwrap() else { panic!() };
    assert_eq!(signal.waited(), Some(Duration::from_secs(300)));
}

#[tokio::test(start_paused = true)]
async fn rule_10_a_waiter_has_a_deadline_by_the_runtimes_timer_too() {
    let (sessions, _, _) = setup();
    assert!(sessions.wait(&user("alice"), Duration::from_secs(300)).await.is_err());
}

#[tokio::test]
async fn rule_11_a_waiter_that_times_out_looks_at_the_store_again() {
    // No feed: the login of another process is told to nobody.
    let (sessions, store, clock) = setup();
    let alice = user("alice");
    let mut events = sessions.events();
    let waiter = tokio::spawn({
        let (sessions, alice) = (sessions.clone(), alice.clone());
        async move { sessions.wait(&alice, Duration::from_secs(300)).await }
    });
    events.next().await;
    let one = fresh(&alice, "one", &clock);
    store.memory().save(&one).await.unwrap();
    clock.advance(Duration::from_secs(300));
    assert_eq!(waiter.await.unwrap().unwrap(), one);
}

#[tokio::test]
async fn rule_11_the_waiter_is_registered_before_anybody_is_prompted() {
    let (sessions, _, clock) = setup();
    let alice = user("alice");
    // Whoever is prompted logs in at once, in the very moment of the prompt.
    let mut events = sessions.events();
    let person = tokio::spawn({
        let (sessions, alice) = (sessions.clone(), alice.clone());
        async move {
            events.next().await;
            sessions.insert(fresh(&alice, "one", &clock)).await
        }
    });
    // Neither the clock nor the runtime's timer ends this wait in the time of a test.
    sessions.wait(&alice, Duration::from_secs(1 << 30)).await.unwrap();
    person.await.unwrap().unwrap();
}

#[tokio::test]
async fn rule_12_waiters_are_bounded_and_their_places_come_back() {
    let clock = ManualClock::new(start());
    let sessions = SessionManager::builder(MemoryStore::new())
        .clock(clock.clone())
        .max_waiters(3)
        .max_waiters_per_user(2)
        .build();
    let (alice, bob) = (user("alice"), user("bob"));
    let wait = |user| {
        let sessions = sessions.clone();
        tokio::spawn(async move { sessions.wait(&user, Duration::from_secs(300)).await })
    };
    let alices = [wait(alice.clone()), wait(alice.clone())];
    tokio::task::yield_now().await;
    let error = sessions.wait(&alice, Duration::from_secs(1)).await.unwrap_err();
    assert!(matches!(error, Error::Overloaded { limit: Limit::WaitersOfUser(2) }), "{error}");
    let bobs = wait(bob.clone());
    tokio::task::yield_now().await;
    let error = sessions.wait(&user("carol"), Duration::from_secs(1)).await.unwrap_err();
    assert!(matches!(error, Error::Overloaded { limit: Limit::Waiters(3) }), "{error}");

    for waiter in alices.into_iter().chain([bobs]) {
        waiter.abort();
        let _ = waiter.await;
    }
    sessions.insert(fresh(&bob, "t", &clock)).await.unwrap();
    sessions.wait(&bob, Duration::from_secs(1)).await.unwrap();
    let again = [wait(alice.clone()), wait(alice.clone())];
    tokio::task::yield_now().await;
    sessions.insert(fresh(&alice, "t", &clock)).await.unwrap();
    for waiter in again {
        waiter.await.unwrap().unwrap();
    }
}

/// Logins, refusals, revocations and reads of few users by many tasks, from a seed: whoever reads
/// gets a session of the right user, and at rest manager and store agree.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stress_manager_and_store_agree_at_rest() {
    for seed in 0..20 {
        let clock = ManualClock::new(start());
        let store = TestStore::new(&clock);
        if seed % 2 == 0 {
            store.has_feed();
        }
        let sessions =
            SessionManager::builder(store.clone()).clock(clock.clone()).max_users(3).build();
        let users: Arc<Vec<_>> = Arc::new((0..5).map(|n| user(&format!("user-{n}"))).collect());
        let mut tasks = JoinSet::new();
        for task in 0..16 {
            let (sessions, clock, users) = (sessions.clone(), clock.clone(), Arc::clone(&users));
            let mut random = StdRng::seed_from_u64(seed * 1000 + task);
            tasks.spawn(async move {
                for _ in 0..300 {
                    let user = &users[random.random_range(0..users.len())];
                    match random.random_range(0..10) {
                        0 | 1 => sessions.insert(fresh(user, user.as_str(), &clock)).await.unwrap(),
                        2 => drop(sessions.revoke(user).await.unwrap()),
                        _ => match sessions.get(user).await {
                            Ok(session) => {
                                assert_eq!(session.user(), user);
                                assert_eq!(session.access_token().expose_secret(), user.as_str());
                                if random.random_bool(0.2) {
                                    sessions.reject(&session).await.unwrap();
                                }
                            }
                            Err(Error::ReauthRequired(_) | Error::Overloaded { .. }) => {}
                            Err(error) => assert!(matches!(error, Error::Store(_)), "{error}"),
                        },
                    }
                }
            });
        }
        while let Some(task) = tasks.join_next().await {
            task.unwrap();
        }
        // Changes of this process do not wait for the feed to be seen by it. What is still to be seen
        // may keep the few places busy for a moment.
        for user in users.iter() {
            let in_store = store.memory().load(user).await.unwrap();
            let found = loop {
                match sessions.get(user).await {
                    Ok(session) => break Some(session),
                    Err(Error::ReauthRequired(_)) => break None,
                    Err(Error::Overloaded { .. }) => tokio::task::yield_now().await,
                    Err(error) => panic!("seed {seed}: {error}"),
                }
            };
            assert_eq!(found, in_store, "seed {seed}");
        }
    }
}
