//! Notices before sessions end, where the change feed tells of changes later than they were made: who
//! is known to have a session gets its notice, and who has another by now, or none, does not.

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{At, Gate, TestStore, fresh, start, turns, user};
use futures_util::FutureExt;
use moojo_session::{
    Change, ChangeStream, ManualClock, MemoryStore, Session, SessionId, SessionManager,
    SessionStore, StoreError, UserId, async_trait,
};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

/// A store with a feed, whose changes can be held up.
#[derive(Debug, Clone)]
struct Held {
    memory: MemoryStore,
    before: Gates,
    after: Gates,
}

/// Holds up the next call that comes by, until the gate that was made for it gets a permit.
#[derive(Debug, Clone, Default)]
struct Gates(Arc<Mutex<Option<Arc<Semaphore>>>>);

impl Gates {
    fn hold_next(&self) -> Arc<Semaphore> {
        let gate = Arc::new(Semaphore::new(0));
        *self.0.lock() = Some(Arc::clone(&gate));
        gate
    }

    async fn pass(&self) {
        let gate = self.0.lock().take();
        if let Some(gate) = gate {
            gate.acquire().await.unwrap().forget();
        }
    }
}

#[async_trait]
impl SessionStore for Held {
    async fn load(&self, user: &UserId) -> Result<Option<Session>, StoreError> {
        self.memory.load(user).await
    }

    async fn save(&self, session: &Session) -> Result<(), StoreError> {
        self.before.pass().await;
        let saved = self.memory.save(session).await;
        self.after.pass().await;
        saved
    }

    async fn remove(&self, user: &UserId) -> Result<bool, StoreError> {
        self.memory.remove(user).await
    }

    async fn remove_if_current(&self, user: &UserId, id: SessionId) -> Result<bool, StoreError> {
        let removed = self.memory.remove_if_current(user, id).await;
        self.after.pass().await;
        removed
    }

    fn changes(&self) -> ChangeStream {
        self.memory.changes()
    }
}

/// Two processes on one store, and its clock.
struct World {
    here: SessionManager,
    there: SessionManager,
    store: Held,
    clock: ManualClock,
    alice: UserId,
}

impl World {
    /// Both processes listen to the feed.
    async fn new() -> Self {
        let clock = ManualClock::new(start());
        let memory = MemoryStore::builder().clock(clock.clone()).build();
        let store = Held { memory, before: Gates::default(), after: Gates::default() };
        let process = || manager(store.clone(), &clock, 100);
        let world = Self { here: process(), there: process(), store, clock, alice: user("alice") };
        for process in [&world.here, &world.there] {
            process.get(&user("somebody")).await.unwrap_err();
        }
        turns().await;
        world
    }

    fn login(&self, token: &str) -> Session {
        fresh(&self.alice, token, &self.clock)
    }

    /// Begins to save a session here, which the store holds up there.
    fn begin(&self, session: &Session, held: &Gates) -> (Saving, Arc<Semaphore>) {
        let gate = held.hold_next();
        let (here, session) = (self.here.clone(), session.clone());
        let mut saving: Saving = async move { here.insert(session).await.unwrap() }.boxed();
        assert!((&mut saving).now_or_never().is_none());
        (saving, gate)
    }

    /// The sessions of which the two processes give a notice once all changes have been heard.
    async fn notices(&self) -> [Option<SessionId>; 2] {
        turns().await;
        self.clock.advance(Duration::from_secs(110 * 60));
        [&self.here, &self.there].map(given)
    }
}

type Saving = futures_util::future::BoxFuture<'static, ()>;

fn manager(store: impl SessionStore, clock: &ManualClock, max_users: usize) -> SessionManager {
    SessionManager::builder(store)
        .clock(clock.clone())
        .expiry_notices([Duration::from_secs(15 * 60)])
        .max_users(max_users)
        .build()
}

/// The session of which a process gives a notice by now.
fn given(process: &SessionManager) -> Option<SessionId> {
    let notices = process.expiry_notices().unwrap().next().now_or_never()?;
    assert_eq!(notices.len(), 1);
    Some(notices[0].id)
}

#[tokio::test]
async fn two_logins_before_the_first_is_heard_leave_the_notice_of_the_second() {
    let world = World::new().await;
    let [one, two] = ["one", "two"].map(|token| world.login(token));
    world.here.insert(one).await.unwrap();
    world.here.insert(two.clone()).await.unwrap();
    assert_eq!(world.notices().await, [Some(two.id()), None]);
}

#[tokio::test]
async fn a_login_before_the_revocation_is_heard_keeps_its_notice() {
    let world = World::new().await;
    let [one, two] = ["one", "two"].map(|token| world.login(token));
    world.here.insert(one).await.unwrap();
    turns().await;
    world.here.revoke(&world.alice).await.unwrap();
    world.here.insert(two.clone()).await.unwrap();
    assert_eq!(world.notices().await, [Some(two.id()), None]);
}

#[tokio::test]
async fn a_login_before_that_of_another_process_is_heard_keeps_its_notice() {
    let world = World::new().await;
    let [one, two] = ["one", "two"].map(|token| world.login(token));
    world.there.insert(one).await.unwrap();
    world.here.insert(two.clone()).await.unwrap();
    assert_eq!(world.notices().await, [Some(two.id()), None]);
}

#[tokio::test]
async fn a_login_here_and_there_leave_the_notice_of_the_later() {
    let world = World::new().await;
    let [one, two, three] = ["one", "two", "three"].map(|token| world.login(token));
    world.there.insert(one).await.unwrap();
    world.here.insert(two).await.unwrap();
    world.there.insert(three.clone()).await.unwrap();
    assert_eq!(world.notices().await, [None, Some(three.id())]);
}

#[tokio::test]
async fn a_revocation_before_the_logins_are_heard_leaves_no_notice() {
    let world = World::new().await;
    world.here.insert(world.login("one")).await.unwrap();
    world.here.insert(world.login("two")).await.unwrap();
    world.here.revoke(&world.alice).await.unwrap();
    // Nor while only the first, or the second, has been heard.
    for _ in 0..20 {
        assert_eq!(world.here.expiry_notices().unwrap().scheduled(), 0);
        tokio::task::yield_now().await;
    }
    assert_eq!(world.notices().await, [None, None]);
}

#[tokio::test]
async fn a_login_that_comes_to_nothing_makes_nobody_forget_what_was_heard() {
    let clock = ManualClock::new(start());
    let store = TestStore::new(&clock);
    let tell = store.told();
    let here = manager(store.clone(), &clock, 100);
    let alice = user("alice");
    let [one, there, two] = ["one", "there", "two"].map(|token| fresh(&alice, token, &clock));
    let begin = |session: &Session, gate: Arc<Gate>| {
        let (here, session) = (here.clone(), session.clone());
        let saving = tokio::spawn(async move { here.insert(session).await });
        async move {
            gate.arrived.notified().await;
            (saving, gate)
        }
    };
    let (saving, gate) = begin(&one, store.hold_next(At::Saved)).await;
    for id in [one.id(), there.id()] {
        tell.send(Change::Saved { user: alice.clone(), id }).unwrap();
    }
    turns().await;
    let (in_vain, _gate) = begin(&two, store.hold_next(At::Save)).await;
    gate.open.add_permits(1);
    saving.await.unwrap().unwrap();
    in_vain.abort();
    assert!(in_vain.await.is_err());
    clock.advance(Duration::from_secs(110 * 60));
    assert_eq!(given(&here), None, "she has the session of the other process");
}

#[tokio::test]
async fn a_refusal_before_the_logins_are_heard_leaves_no_notice() {
    let clock = ManualClock::new(start());
    let store = TestStore::new(&clock);
    let tell = store.told();
    let here = manager(store, &clock, 100);
    let alice = user("alice");
    let [one, two] = ["one", "two"].map(|token| fresh(&alice, token, &clock));
    here.insert(one.clone()).await.unwrap();
    here.insert(two.clone()).await.unwrap();
    tell.send(Change::Saved { user: alice.clone(), id: one.id() }).unwrap();
    turns().await;
    here.reject(&two).await.unwrap();
    tell.send(Change::Saved { user: alice.clone(), id: two.id() }).unwrap();
    turns().await;
    assert_eq!(here.expiry_notices().unwrap().scheduled(), 0);
}

#[tokio::test]
async fn a_change_elsewhere_that_stands_for_the_login_here_leaves_no_notice() {
    let clock = ManualClock::new(start());
    for removed in [false, true] {
        let store = TestStore::new(&clock);
        let tell = store.told();
        let here = manager(store, &clock, 100);
        let alice = user("alice");
        here.insert(fresh(&alice, "one", &clock)).await.unwrap();
        here.insert(fresh(&alice, "two", &clock)).await.unwrap();
        let there = fresh(&alice, "there", &clock);
        tell.send(match removed {
            true => Change::Removed { user: alice.clone() },
            false => Change::Saved { user: alice.clone(), id: there.id() },
        })
        .unwrap();
        turns().await;
        assert_eq!(here.expiry_notices().unwrap().scheduled(), 0);
    }
}

#[tokio::test]
async fn a_login_that_was_replaced_before_the_store_answered_gives_no_notice() {
    let world = World::new().await;
    let (saving, gate) = world.begin(&world.login("here"), &world.store.after);
    let there = world.login("there");
    world.there.insert(there.clone()).await.unwrap();
    turns().await;
    gate.add_permits(1);
    saving.await;
    assert_eq!(world.notices().await, [None, Some(there.id())]);
}

#[tokio::test]
async fn a_login_that_replaced_another_before_the_store_answered_keeps_its_notice() {
    let world = World::new().await;
    world.there.insert(world.login("there")).await.unwrap();
    let here = world.login("here");
    let (saving, gate) = world.begin(&here, &world.store.after);
    turns().await;
    gate.add_permits(1);
    saving.await;
    assert_eq!(world.notices().await, [Some(here.id()), None]);
}

#[tokio::test]
async fn a_login_that_another_came_before_while_it_was_saved_keeps_its_notice() {
    let world = World::new().await;
    let here = world.login("here");
    let (saving, gate) = world.begin(&here, &world.store.before);
    world.there.insert(world.login("there")).await.unwrap();
    turns().await;
    gate.add_permits(1);
    saving.await;
    assert_eq!(world.notices().await, [Some(here.id()), None]);
}

/// What was heard does not come again.
#[tokio::test]
async fn a_login_that_the_store_does_not_answer_leaves_no_notice_of_the_one_before() {
    let world = World::new().await;
    world.here.insert(world.login("one")).await.unwrap();
    let (saving, _gate) = world.begin(&world.login("two"), &world.store.after);
    turns().await;
    drop(saving);
    assert_eq!(world.notices().await, [None, None]);
}

#[tokio::test]
async fn of_two_logins_at_once_the_one_that_stays_keeps_its_notice() {
    for later_answers_first in [false, true] {
        for heard_before in [false, true] {
            let world = World::new().await;
            let [one, two] = ["one", "two"].map(|token| world.login(token));
            let first = world.begin(&one, &world.store.after);
            let second = world.begin(&two, &world.store.after);
            if heard_before {
                turns().await;
            }
            let order = if later_answers_first { [second, first] } else { [first, second] };
            for (saving, gate) in order {
                gate.add_permits(1);
                saving.await;
            }
            let case = (later_answers_first, heard_before);
            assert_eq!(world.notices().await, [Some(two.id()), None], "{case:?}");
        }
    }
}

#[tokio::test]
async fn a_login_during_the_answer_to_a_refusal_keeps_its_notice() {
    let world = World::new().await;
    let old = world.login("old");
    world.here.insert(old.clone()).await.unwrap();
    turns().await;
    let gate = world.store.after.hold_next();
    let here = world.here.clone();
    let mut refusal = async move { here.reject(&old).await.unwrap() }.boxed();
    assert!((&mut refusal).now_or_never().is_none());
    let new = world.login("new");
    world.here.insert(new.clone()).await.unwrap();
    turns().await;
    gate.add_permits(1);
    assert!(refusal.await);
    assert_eq!(world.notices().await, [Some(new.id()), None]);
}

#[tokio::test]
async fn a_login_for_which_there_is_no_slot_keeps_its_notice() {
    let clock = ManualClock::new(start());
    let store = TestStore::new(&clock);
    store.has_feed();
    let here = manager(store, &clock, 1);
    let _only_slot = here.handle(&user("bob"));
    let session = fresh(&user("alice"), "one", &clock);
    here.insert(session.clone()).await.unwrap();
    turns().await;
    clock.advance(Duration::from_secs(110 * 60));
    assert_eq!(given(&here), Some(session.id()));
}
