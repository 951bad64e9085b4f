//! A store that is away, and a feed that hears nothing: what is in memory stays in use, everything
//! else fails at once, nobody is prompted, and it all comes back by itself.

mod common;

use std::time::Duration;

use common::queue::{MINUTE, claim, next, soon, wait, want};
use common::{TestStore, fresh, start, turns, user};
use moojo_session::{
    Change, Error, ManualClock, Session, SessionManager, SessionManagerBuilder, SessionStore,
    UserId,
};
use tokio::sync::mpsc;

const SECOND: Duration = Duration::from_secs(1);

struct World {
    sessions: SessionManager,
    store: TestStore,
    clock: ManualClock,
    tell: mpsc::UnboundedSender<Change>,
}

impl World {
    fn new() -> Self {
        Self::with(|manager| manager)
    }

    fn with(settings: impl FnOnce(SessionManagerBuilder) -> SessionManagerBuilder) -> Self {
        let clock = ManualClock::new(start());
        let store = TestStore::new(&clock);
        let tell = store.told();
        let manager = SessionManager::builder(store.clone()).clock(clock.clone());
        let sessions = settings(manager).build();
        Self { sessions, store, clock, tell }
    }

    async fn login(&self, user: &UserId) -> Session {
        let session = fresh(user, "token", &self.clock);
        self.sessions.insert(session.clone()).await.unwrap();
        session
    }

    async fn tell(&self, change: Change) {
        self.tell.send(change).unwrap();
        turns().await;
    }

    async fn pass(&self, time: Duration) {
        self.clock.advance(time);
        turns().await;
    }

    async fn is_store_error(&self, user: &UserId) -> bool {
        matches!(self.sessions.get(user).await, Err(Error::Store(_)))
    }
}

#[tokio::test]
async fn rule_6_what_is_in_memory_stays_in_use_while_the_store_is_away() {
    let world = World::new();
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(user);
    let session = world.login(&alice).await;
    world.login(&bob).await;
    world.store.fail(true);
    // The feed has gone with the store: nothing in memory is certain any more.
    world.tell(Change::Disconnected).await;
    for _ in 0..100 {
        assert_eq!(world.sessions.get(&alice).await.unwrap(), session);
        world.pass(MINUTE).await;
    }
    assert_eq!(world.sessions.wait(&alice, SECOND).await.unwrap(), session);
    assert!(world.is_store_error(&carol).await, "of whom nothing is known");
    // What is known to have changed is not used.
    world.tell(Change::Removed { user: bob.clone() }).await;
    assert!(world.is_store_error(&bob).await);
    // Rule 4.
    world.pass(20 * MINUTE).await;
    assert!(world.is_store_error(&alice).await, "its time is over, and nobody is prompted");
    assert!(world.sessions.reauth_queue().is_empty());
}

#[tokio::test]
async fn rule_6_a_store_that_fails_is_left_alone_for_a_while() {
    let world = World::new();
    let alice = user("alice");
    world.store.fail(true);
    for _ in 0..5 {
        assert!(world.is_store_error(&alice).await);
    }
    let asked = world.store.loads();
    assert_eq!(asked, 5);
    for _ in 0..100 {
        assert!(world.is_store_error(&alice).await);
    }
    assert_eq!(world.store.loads(), asked, "it fails at once");
    // One goes through to see, after 1, 2, 4, 8, 16, 30, 30 seconds.
    let mut probes = 0;
    for _ in 0..91 {
        world.pass(SECOND).await;
        assert!(world.is_store_error(&alice).await);
        assert!(world.is_store_error(&alice).await);
        probes = world.store.loads() - asked;
    }
    assert_eq!(probes, 7);
    world.store.fail(false);
    world.pass(30 * SECOND).await;
    assert!(matches!(world.sessions.get(&alice).await, Err(Error::ReauthRequired(_))));
}

#[tokio::test]
async fn a_login_is_saved_though_loads_rest_and_ends_the_rest() {
    let world = World::new();
    let [alice, bob] = ["alice", "bob"].map(user);
    world.store.fail(true);
    for _ in 0..6 {
        assert!(world.is_store_error(&bob).await);
    }
    world.store.fail(false);
    assert!(world.is_store_error(&bob).await, "nobody knows yet");
    world.login(&alice).await;
    assert!(matches!(world.sessions.get(&bob).await, Err(Error::ReauthRequired(_))));
}

#[tokio::test]
async fn a_feed_that_hears_again_has_the_store_asked_at_once() {
    let world = World::new();
    let alice = user("alice");
    let _ = world.sessions.get(&alice).await;
    world.tell(Change::Disconnected).await;
    world.store.fail(true);
    for _ in 0..6 {
        assert!(world.is_store_error(&alice).await);
    }
    world.store.fail(false);
    assert!(world.is_store_error(&alice).await);
    world.tell(Change::Lagged).await;
    assert!(matches!(world.sessions.get(&alice).await, Err(Error::ReauthRequired(_))));
}

#[tokio::test]
async fn without_its_feed_a_revocation_elsewhere_is_known_after_a_minute() {
    let world = World::new();
    let alice = user("alice");
    world.login(&alice).await;
    world.store.memory().remove(&alice).await.unwrap();
    assert!(world.sessions.get(&alice).await.is_ok(), "the feed has not told");
    // From here on it may have been lost.
    world.tell(Change::Disconnected).await;
    assert!(matches!(world.sessions.get(&alice).await, Err(Error::ReauthRequired(_))));

    for _ in 0..3 {
        world.login(&alice).await;
        assert!(world.sessions.get(&alice).await.is_ok());
        world.store.memory().remove(&alice).await.unwrap();
        world.pass(59 * SECOND).await;
        assert!(world.sessions.get(&alice).await.is_ok(), "within the bound");
        world.pass(SECOND).await;
        assert!(matches!(world.sessions.get(&alice).await, Err(Error::ReauthRequired(_))));
    }

    // Once it hears, nothing is looked up again.
    world.tell(Change::Lagged).await;
    world.login(&alice).await;
    let loads = world.store.loads();
    world.pass(10 * MINUTE).await;
    assert!(world.sessions.get(&alice).await.is_ok());
    assert_eq!(world.store.loads(), loads);
}

#[tokio::test]
async fn rule_12_users_who_are_not_logged_in_cost_the_store_little() {
    let world = World::new();
    let alice = user("alice");
    let is_missing =
        async || matches!(world.sessions.get(&alice).await, Err(Error::ReauthRequired(_)));
    for second in 1..5 {
        for _ in 0..100 {
            assert!(is_missing().await);
        }
        turns().await;
        assert_eq!(world.store.loads(), second, "one load a second");
        world.pass(SECOND).await;
    }
    // A login elsewhere is known as soon as the feed tells.
    assert!(is_missing().await);
    let login = fresh(&alice, "elsewhere", &world.clock);
    world.store.memory().save(&login).await.unwrap();
    assert!(is_missing().await, "the feed has not told");
    world.tell(Change::Saved { user: alice.clone(), id: login.id() }).await;
    assert_eq!(world.sessions.get(&alice).await.unwrap(), login);
    // Without the feed nothing is taken for missing that was not looked up.
    world.sessions.revoke(&alice).await.unwrap();
    world.tell(Change::Disconnected).await;
    let loads = world.store.loads();
    for _ in 0..10 {
        assert!(is_missing().await);
    }
    assert_eq!(world.store.loads(), loads + 10);
}

#[tokio::test]
async fn rule_11_who_waits_for_a_person_waits_on_through_an_outage() {
    let world = World::new();
    let [alice, bob] = ["alice", "bob"].map(user);
    let wait = |user: &UserId| {
        let (sessions, user) = (world.sessions.clone(), user.clone());
        tokio::spawn(async move { sessions.wait(&user, 5 * MINUTE).await })
    };
    let (alices, bobs) = (wait(&alice), wait(&bob));
    turns().await;
    world.store.fail(true);
    world.tell(Change::Disconnected).await;
    world.pass(2 * MINUTE).await;
    assert!(!alices.is_finished() && !bobs.is_finished());
    // She logs in at another process, and this one hears again.
    let login = fresh(&alice, "elsewhere", &world.clock);
    world.store.memory().save(&login).await.unwrap();
    world.store.fail(false);
    world.tell(Change::Lagged).await;
    assert_eq!(soon(alices).await.unwrap().unwrap(), login);
    // His time is over while the store is away: nobody knows whether he has logged in.
    world.store.fail(true);
    world.tell(Change::Disconnected).await;
    world.pass(3 * MINUTE).await;
    assert!(matches!(soon(bobs).await.unwrap(), Err(Error::Store(_))));
}

#[tokio::test]
async fn rule_11_all_who_wait_look_again_once_the_store_is_back() {
    let world = World::new();
    let people = ["alice", "bob", "carol"].map(user);
    let calls = people.clone().map(|user| {
        let sessions = world.sessions.clone();
        tokio::spawn(async move { sessions.wait(&user, 60 * MINUTE).await })
    });
    turns().await;
    world.store.fail(true);
    world.tell(Change::Disconnected).await;
    for _ in 0..5 {
        assert!(world.is_store_error(&user("dave")).await);
    }
    for person in &people {
        let login = fresh(person, "elsewhere", &world.clock);
        world.store.memory().save(&login).await.unwrap();
    }
    world.store.fail(false);
    // One of them goes through to see, and the others are refused meanwhile.
    let _gate = world.store.gate();
    world.tell(Change::Lagged).await;
    assert!(calls.iter().all(|call| !call.is_finished()));
    world.store.no_gate();
    for call in calls {
        soon(call).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn rule_11_one_failure_does_not_hide_a_login_from_who_waits() {
    let world = World::new();
    let alice = user("alice");
    let call = wait(&world.sessions, &alice, None);
    turns().await;
    let _held = claim(&world.sessions.reauth_queue()).await;
    let login = fresh(&alice, "elsewhere", &world.clock);
    world.store.memory().save(&login).await.unwrap();
    // The store fails just when the feed tells.
    world.store.fail(true);
    world.tell(Change::Saved { user: alice.clone(), id: login.id() }).await;
    world.store.fail(false);
    assert!(!call.is_finished());
    world.pass(3 * SECOND).await;
    assert!(call.is_finished(), "nobody tells it again");
    assert_eq!(soon(call).await.unwrap().unwrap(), login);
}

#[tokio::test]
async fn rule_11_a_login_while_the_store_rests_is_found_though_nobody_else_asks() {
    let world = World::new();
    let alice = user("alice");
    let call = wait(&world.sessions, &alice, None);
    turns().await;
    let _held = claim(&world.sessions.reauth_queue()).await;
    world.store.fail(true);
    for _ in 0..6 {
        assert!(world.is_store_error(&user("dave")).await);
    }
    world.store.fail(false);
    let login = fresh(&alice, "elsewhere", &world.clock);
    world.store.memory().save(&login).await.unwrap();
    world.tell(Change::Saved { user: alice.clone(), id: login.id() }).await;
    assert!(!call.is_finished(), "the store rests");
    world.pass(2 * SECOND).await;
    assert!(call.is_finished(), "nobody tells it again");
    assert_eq!(soon(call).await.unwrap().unwrap(), login);
}

#[tokio::test]
async fn rule_7_one_failure_does_not_hide_a_login_from_who_asks() {
    let world = World::new();
    let alice = user("alice");
    want(&world.sessions, &alice).await;
    let held = claim(&world.sessions.reauth_queue()).await;
    let login = fresh(&alice, "elsewhere", &world.clock);
    world.store.memory().save(&login).await.unwrap();
    world.store.fail(true);
    world.tell(Change::Saved { user: alice.clone(), id: login.id() }).await;
    world.store.fail(false);
    assert!(held.refreshed().is_ok());
    world.pass(3 * SECOND).await;
    assert!(held.refreshed().is_err(), "she is asked though she has logged in");
}

#[tokio::test]
async fn workers_go_on_as_soon_as_the_store_is_back() {
    for is_told in [false, true] {
        let world = World::new();
        want(&world.sessions, &user("alice")).await;
        world.store.fail(true);
        for _ in 0..6 {
            assert!(world.is_store_error(&user("dave")).await);
        }
        let worker = next(&world.sessions.reauth_queue());
        turns().await;
        assert!(!worker.is_finished(), "the store rests");
        world.store.fail(false);
        if is_told {
            world.tell(Change::Lagged).await;
        } else {
            world.login(&user("bob")).await;
            turns().await;
        }
        assert!(worker.is_finished(), "told by the feed: {is_told}");
    }
}

#[tokio::test]
async fn rule_12_no_staleness_at_all_is_no_reason_to_look_all_the_time() {
    let world = World::with(|manager| manager.max_staleness(Duration::ZERO));
    let _call = wait(&world.sessions, &user("alice"), None);
    world.tell(Change::Disconnected).await;
    let loads = world.store.loads();
    assert!(loads <= 3, "{loads} loads");
}

#[tokio::test]
async fn rule_12_not_all_who_wait_look_at_once() {
    let world = World::new();
    let calls: Vec<_> =
        (0..1000).map(|n| wait(&world.sessions, &user(&format!("user-{n}")), None)).collect();
    turns().await;
    let before = world.store.loads();
    let gate = world.store.gate();
    world.tell(Change::Lagged).await;
    let at_once = world.store.loads() - before;
    assert!(at_once <= 256, "{at_once} loads at once");
    for n in 0..1000 {
        let login = fresh(&user(&format!("user-{n}")), "elsewhere", &world.clock);
        world.store.memory().save(&login).await.unwrap();
    }
    world.store.no_gate();
    drop(gate);
    world.tell(Change::Lagged).await;
    for call in calls {
        soon(call).await.unwrap().unwrap();
    }
}

/// The task that would listen is dropped before it began.
#[test]
fn a_runtime_that_went_before_it_listened_leaves_nothing_certain() {
    let clock = ManualClock::new(start());
    let store = TestStore::new(&clock);
    store.has_feed();
    let sessions = SessionManager::builder(store.clone()).clock(clock.clone()).build();
    let alice = user("alice");
    let rt = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    rt().block_on(sessions.insert(fresh(&alice, "token", &clock))).unwrap();
    rt().block_on(async {
        store.memory().remove(&alice).await.unwrap();
        let found = sessions.get(&alice).await;
        assert!(matches!(found, Err(Error::ReauthRequired(_))), "{found:?}");
    });
}
