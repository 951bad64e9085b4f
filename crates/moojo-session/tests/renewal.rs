//! Silent renewal, and sessions that have to be good for long enough.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use chrono::TimeDelta;
use common::{TestStore, fresh, session, setup, start, turns, user};
use futures_util::FutureExt;
use moojo_session::{
    ChangeStream, Clock, Error, ManualClock, ReauthReason, Reauthenticate, Session, SessionId,
    SessionManager, SessionManagerBuilder, SessionStore, StoreError, UserId, Wait, async_trait,
};
use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;

const MINUTE: Duration = Duration::from_secs(60);

/// What the hook does when it is called.
#[derive(Debug, Clone)]
enum Does {
    /// Gives a session of the user that lives for this long.
    Renews(TimeDelta),
    Nothing,
    Fails,
    Panics,
    Hangs,
    GivesThatOf(UserId),
}

#[derive(Debug, Clone)]
struct Hook(Arc<HookState>);

#[derive(Debug)]
struct HookState {
    clock: ManualClock,
    does: Mutex<Does>,
    calls: AtomicUsize,
    reasons: Mutex<Vec<ReauthReason>>,
    arrived: Notify,
    /// A call goes on with a permit.
    gate: Semaphore,
}

impl Hook {
    fn new(clock: &ManualClock, does: Does) -> Self {
        Self(Arc::new(HookState {
            clock: clock.clone(),
            does: Mutex::new(does),
            calls: AtomicUsize::new(0),
            reasons: Mutex::default(),
            arrived: Notify::new(),
            gate: Semaphore::new(1_000_000),
        }))
    }

    fn calls(&self) -> usize {
        self.0.calls.load(Ordering::SeqCst)
    }

    fn does(&self, does: Does) {
        *self.0.does.lock() = does;
    }

    fn shut(&self) {
        self.0.gate.forget_permits(1_000_000);
    }

    fn open(&self) {
        self.0.gate.add_permits(1_000_000);
    }
}

#[async_trait]
impl Reauthenticate for Hook {
    async fn reauthenticate(
        &self,
        user: &UserId,
        reason: ReauthReason,
    ) -> Result<Option<Session>, Box<dyn std::error::Error + Send + Sync>> {
        let state = &self.0;
        let count = state.calls.fetch_add(1, Ordering::SeqCst);
        state.reasons.lock().push(reason);
        state.arrived.notify_one();
        state.gate.acquire().await?.forget();
        let does = state.does.lock().clone();
        match does {
            Does::Renews(life) => {
                let ends = state.clock.now() + life;
                Ok(Some(session(user, &format!("renewed-{count}"), ends)))
            }
            Does::Nothing => Ok(None),
            Does::Fails => Err("no way".into()),
            Does::Panics => panic!("the hook panics"),
            Does::Hangs => std::future::pending().await,
            Does::GivesThatOf(other) => Ok(Some(fresh(&other, "of-another", &state.clock))),
        }
    }
}

fn two_hours() -> Does {
    Does::Renews(TimeDelta::hours(2))
}

/// A manager with a hook.
fn with_hook(does: Does) -> (SessionManager, TestStore, ManualClock, Hook) {
    let clock = ManualClock::new(start());
    let (store, hook) = (TestStore::new(&clock), Hook::new(&clock, does));
    (builder(&store, &clock, &hook).build(), store, clock, hook)
}

fn builder<S: SessionStore + Clone>(
    store: &S,
    clock: &ManualClock,
    hook: &Hook,
) -> SessionManagerBuilder {
    SessionManager::builder(store.clone()).clock(clock.clone()).reauthenticate(hook.clone())
}

fn reason(result: Result<Session, Error>) -> ReauthReason {
    match result {
        Err(Error::ReauthRequired(signal)) => signal.reason(),
        other => panic!("no signal: {other:?}"),
    }
}

/// A session that lives for so long still, of those that live two hours.
fn ending_in(user: &UserId, left: Duration, clock: &ManualClock) -> Session {
    session(user, "old", clock.now() + TimeDelta::from_std(left).unwrap())
}

#[tokio::test]
async fn rule_7_a_thousand_calls_are_one_renewal_and_no_request() {
    let (sessions, _, _, hook) = with_hook(two_hours());
    let (queue, alice) = (sessions.reauth_queue(), user("alice"));
    hook.shut();
    let mut calls = JoinSet::new();
    for n in 0..1000 {
        let (sessions, alice) = (sessions.clone(), alice.clone());
        calls.spawn(async move {
            if n % 2 == 0 {
                sessions.get(&alice).await
            } else {
                sessions.wait(&alice, MINUTE).await
            }
        });
    }
    hook.0.arrived.notified().await;
    turns().await;
    assert!(queue.is_empty(), "nobody is asked while it is tried");
    hook.open();
    while let Some(call) = calls.join_next().await {
        assert_eq!(call.unwrap().unwrap().access_token().expose_secret(), "renewed-0");
    }
    assert_eq!(hook.calls(), 1);
    assert!(queue.is_empty());
}

#[tokio::test]
async fn rule_7_a_thousand_calls_that_need_it_to_live_longer_are_one_renewal() {
    let (sessions, _, clock, hook) = with_hook(two_hours());
    let (queue, alice) = (sessions.reauth_queue(), user("alice"));
    sessions.insert(ending_in(&alice, 30 * MINUTE, &clock)).await.unwrap();
    hook.shut();
    let mut calls = JoinSet::new();
    for _ in 0..1000 {
        let (sessions, alice) = (sessions.clone(), alice.clone());
        calls.spawn(async move { sessions.ensure_valid_for(&alice, 45 * MINUTE).await });
    }
    hook.0.arrived.notified().await;
    turns().await;
    assert!(queue.is_empty(), "nobody is asked while it is tried");
    assert!(sessions.get(&alice).await.is_ok(), "the one that is there stays in use");
    hook.open();
    while let Some(call) = calls.join_next().await {
        assert_eq!(call.unwrap().unwrap().access_token().expose_secret(), "renewed-0");
    }
    assert_eq!(hook.calls(), 1);
    assert_eq!(*hook.0.reasons.lock(), [ReauthReason::ExpiresTooSoon]);
    assert!(queue.is_empty());
}

#[tokio::test]
async fn rule_10_a_renewal_survives_the_caller_that_started_it() {
    let (sessions, _, clock, hook) = with_hook(two_hours());
    let alice = user("alice");
    sessions.insert(ending_in(&alice, 30 * MINUTE, &clock)).await.unwrap();
    hook.shut();
    let ensure = || {
        let (sessions, alice) = (sessions.clone(), alice.clone());
        tokio::spawn(async move { sessions.ensure_valid_for(&alice, 45 * MINUTE).await })
    };
    let leader = ensure();
    hook.0.arrived.notified().await;
    let follower = ensure();
    turns().await;
    leader.abort();
    assert!(leader.await.unwrap_err().is_cancelled());
    hook.open();
    assert!(follower.await.unwrap().is_ok());
    assert_eq!(hook.calls(), 1);
}

#[tokio::test]
async fn a_call_without_a_session_waits_for_the_renewal_that_is_under_way() {
    let (sessions, _, clock, hook) = with_hook(two_hours());
    let alice = user("alice");
    sessions.insert(ending_in(&alice, 10 * MINUTE, &clock)).await.unwrap();
    hook.shut();
    let ensure = tokio::spawn({
        let (sessions, alice) = (sessions.clone(), alice.clone());
        async move { sessions.ensure_valid_for(&alice, 45 * MINUTE).await }
    });
    hook.0.arrived.notified().await;
    clock.advance(10 * MINUTE);
    let get = tokio::spawn({
        let (sessions, alice) = (sessions.clone(), alice.clone());
        async move { sessions.get(&alice).await }
    });
    turns().await;
    assert!(sessions.reauth_queue().is_empty(), "a false prompt");
    hook.open();
    assert!(ensure.await.unwrap().is_ok() && get.await.unwrap().is_ok());
    assert_eq!(hook.calls(), 1);
}

#[tokio::test]
async fn a_session_that_was_revoked_is_not_renewed() {
    let (sessions, _, clock, hook) = with_hook(two_hours());
    let alice = user("alice");
    sessions.insert(fresh(&alice, "one", &clock)).await.unwrap();
    sessions.revoke(&alice).await.unwrap();
    assert_eq!(reason(sessions.get(&alice).await), ReauthReason::Revoked);
    assert_eq!(reason(sessions.ensure_valid_for(&alice, MINUTE).await), ReauthReason::Revoked);
    assert_eq!(hook.calls(), 0);
    // A refused one is.
    let refused = fresh(&alice, "two", &clock);
    sessions.insert(refused.clone()).await.unwrap();
    sessions.reject(&refused).await.unwrap();
    assert!(sessions.get(&alice).await.is_ok());
    assert_eq!(*hook.0.reasons.lock(), [ReauthReason::Rejected]);
}

#[tokio::test]
async fn a_revocation_during_a_renewal_stands() {
    for expired in [false, true] {
        let (sessions, store, clock, hook) = with_hook(two_hours());
        let alice = user("alice");
        sessions.insert(ending_in(&alice, 30 * MINUTE, &clock)).await.unwrap();
        if expired {
            clock.advance(30 * MINUTE);
        }
        hook.shut();
        let call = tokio::spawn({
            let (sessions, alice) = (sessions.clone(), alice.clone());
            async move { sessions.ensure_valid_for(&alice, 45 * MINUTE).await }
        });
        hook.0.arrived.notified().await;
        sessions.revoke(&alice).await.unwrap();
        hook.open();
        assert!(call.await.unwrap().is_err());
        turns().await;
        assert_eq!(reason(sessions.get(&alice).await), ReauthReason::Revoked);
        assert_eq!(store.memory().load(&alice).await.unwrap(), None, "logged in again");
        assert_eq!(hook.calls(), 1);
    }
}

#[tokio::test]
async fn what_is_being_revoked_is_not_renewed() {
    let clock = ManualClock::new(start());
    let store = Stubborn::new(TestStore::new(&clock));
    let hook = Hook::new(&clock, two_hours());
    let sessions = builder(&store, &clock, &hook).build();
    let alice = user("alice");
    sessions.insert(fresh(&alice, "one", &clock)).await.unwrap();
    store.removals.forget_permits(1_000_000);
    let revoke = tokio::spawn({
        let (sessions, alice) = (sessions.clone(), alice.clone());
        async move { sessions.revoke(&alice).await }
    });
    turns().await;
    // It has gone, and the answer is on its way.
    assert!(sessions.get(&alice).await.is_err());
    store.removals.add_permits(1);
    revoke.await.unwrap().unwrap();
    assert_eq!(hook.calls(), 0);
    assert!(store.memory.memory().load(&alice).await.unwrap().is_none());
}

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

/// A store that does not take sessions, or takes its time for removals.
#[derive(Debug, Clone)]
struct Stubborn {
    memory: TestStore,
    takes: Arc<AtomicBool>,
    removals: Arc<Semaphore>,
}

impl Stubborn {
    fn new(memory: TestStore) -> Self {
        let removals = Arc::new(Semaphore::new(1_000_000));
        Self { memory, takes: Arc::new(AtomicBool::new(true)), removals }
    }
}

#[async_trait]
impl SessionStore for Stubborn {
    async fn load(&self, user: &UserId) -> Result<Option<Session>, StoreError> {
        self.memory.load(user).await
    }

    async fn save(&self, session: &Session) -> Result<(), StoreError> {
        if !self.takes.load(Ordering::SeqCst) {
            return Err(StoreError::unavailable("it can only be read"));
        }
        self.memory.save(session).await
    }

    async fn remove(&self, user: &UserId) -> Result<bool, StoreError> {
        let removed = self.memory.remove(user).await;
        self.removals.acquire().await.unwrap().forget();
        removed
    }

    async fn remove_if_current(&self, user: &UserId, id: SessionId) -> Result<bool, StoreError> {
        self.memory.remove_if_current(user, id).await
    }

    fn changes(&self) -> ChangeStream {
        ChangeStream::none()
    }
}

#[tokio::test]
async fn rule_6_a_store_that_does_not_take_the_renewed_session_prompts_nobody() {
    let clock = ManualClock::new(start());
    let store = Stubborn::new(TestStore::new(&clock));
    let hook = Hook::new(&clock, two_hours());
    let sessions = builder(&store, &clock, &hook).build();
    let [alice, bob] = ["alice", "bob"].map(user);
    sessions.insert(ending_in(&bob, 30 * MINUTE, &clock)).await.unwrap();
    store.takes.store(false, Ordering::SeqCst);
    for _ in 0..2 {
        assert!(matches!(sessions.get(&alice).await, Err(Error::Store(_))));
        let outcome = sessions.ensure_valid_for(&bob, 45 * MINUTE).await;
        assert!(matches!(outcome, Err(Error::Store(_))));
        assert!(sessions.get(&bob).await.is_ok());
    }
    assert!(sessions.reauth_queue().is_empty());
    store.takes.store(true, Ordering::SeqCst);
    assert!(sessions.get(&alice).await.is_ok());
    assert!(sessions.ensure_valid_for(&bob, 45 * MINUTE).await.is_ok());
}

#[tokio::test]
async fn a_renewed_session_that_the_store_did_not_take_is_kept_and_not_made_again() {
    let clock = ManualClock::new(start());
    let store = Stubborn::new(TestStore::new(&clock));
    let hook = Hook::new(&clock, two_hours());
    let sessions = builder(&store, &clock, &hook).build();
    let alice = user("alice");
    store.takes.store(false, Ordering::SeqCst);
    for _ in 0..100 {
        assert!(matches!(sessions.get(&alice).await, Err(Error::Store(_))));
    }
    assert_eq!(hook.calls(), 1, "each is a login at Moojo");
    store.takes.store(true, Ordering::SeqCst);
    let session = sessions.get(&alice).await.unwrap();
    assert_eq!(session.access_token().expose_secret(), "renewed-0");

    // Unless it has ended, or the user was logged out.
    sessions.reject(&session).await.unwrap();
    store.takes.store(false, Ordering::SeqCst);
    assert!(matches!(sessions.get(&alice).await, Err(Error::Store(_))));
    clock.advance(120 * MINUTE);
    store.takes.store(true, Ordering::SeqCst);
    let session = sessions.get(&alice).await.unwrap();
    assert_eq!(session.access_token().expose_secret(), "renewed-2");
    sessions.reject(&session).await.unwrap();
    store.takes.store(false, Ordering::SeqCst);
    assert!(matches!(sessions.get(&alice).await, Err(Error::Store(_))));
    store.takes.store(true, Ordering::SeqCst);
    sessions.revoke(&alice).await.unwrap();
    assert_eq!(reason(sessions.get(&alice).await), ReauthReason::Revoked);
}

// Sessions that have to be good for so long.

#[tokio::test]
async fn a_session_that_lives_long_enough_is_given_as_it_is() {
    let (sessions, _, clock, hook) = with_hook(two_hours());
    let alice = user("alice");
    let login = ending_in(&alice, 46 * MINUTE, &clock);
    sessions.insert(login.clone()).await.unwrap();
    assert_eq!(sessions.ensure_valid_for(&alice, 45 * MINUTE).await.unwrap(), login);
    assert_eq!(sessions.ensure_valid_for(&alice, Duration::ZERO).await.unwrap(), login);
    // With the margin of 30 seconds, to the moment.
    clock.advance(Duration::from_secs(30));
    assert!(sessions.ensure_valid_for(&alice, 45 * MINUTE).await.is_ok());
    assert_eq!(hook.calls(), 0);
    clock.advance(Duration::from_millis(1));
    assert_ne!(sessions.ensure_valid_for(&alice, 45 * MINUTE).await.unwrap(), login);
    assert_eq!(hook.calls(), 1);
}

#[tokio::test]
async fn without_a_hook_a_session_that_ends_too_soon_is_a_request_and_stays_in_use() {
    let (sessions, _, clock) = setup();
    let (queue, alice) = (sessions.reauth_queue(), user("alice"));
    assert_eq!(reason(sessions.ensure_valid_for(&alice, MINUTE).await), ReauthReason::Missing);
    let login = ending_in(&alice, 30 * MINUTE, &clock);
    sessions.insert(login.clone()).await.unwrap();
    assert!(queue.is_empty());
    let outcome = sessions.ensure_valid_for(&alice, 45 * MINUTE).await;
    assert_eq!(reason(outcome), ReauthReason::ExpiresTooSoon);
    assert_eq!(sessions.get(&alice).await.unwrap(), login);
    let mut held = queue.try_next().await.unwrap();
    assert_eq!(held.request().reason(), ReauthReason::ExpiresTooSoon);
    // Only a session that is long enough closes it.
    let short = session(&alice, "short", clock.now() + TimeDelta::minutes(44));
    sessions.insert(short.clone()).await.unwrap();
    assert!(held.refreshed().is_ok());
    assert_eq!(sessions.get(&alice).await.unwrap(), short);
    sessions.insert(fresh(&alice, "long", &clock)).await.unwrap();
    held.over().await;
    assert!(queue.is_empty());
    assert!(sessions.ensure_valid_for(&alice, 45 * MINUTE).await.is_ok());
}

#[tokio::test]
async fn no_session_lives_as_long_as_is_asked_for() {
    let (sessions, _, clock, hook) = with_hook(two_hours());
    let alice = user("alice");
    sessions.insert(fresh(&alice, "one", &clock)).await.unwrap();
    let two_hours = 120 * MINUTE;
    for wanted in [two_hours, two_hours - Duration::from_secs(29), Duration::MAX] {
        for outcome in [
            sessions.ensure_valid_for(&alice, wanted).await,
            sessions.wait_with(&alice, &Wait::up_to(MINUTE).valid_for(wanted)).await,
        ] {
            let Err(Error::LifeTooShort { life, .. }) = outcome else { panic!("{outcome:?}") };
            assert_eq!(life, two_hours);
        }
    }
    assert!(sessions.ensure_valid_for(&alice, two_hours - 2 * MINUTE).await.is_ok());
    assert!(sessions.reauth_queue().is_empty());
    assert_eq!(hook.calls(), 0);
}

#[tokio::test]
async fn a_renewal_that_is_too_short_has_the_person_asked() {
    let (sessions, _, clock, hook) = with_hook(Does::Renews(TimeDelta::minutes(40)));
    let (queue, alice) = (sessions.reauth_queue(), user("alice"));
    sessions.insert(ending_in(&alice, 30 * MINUTE, &clock)).await.unwrap();
    let outcome = sessions.ensure_valid_for(&alice, 45 * MINUTE).await;
    assert_eq!(reason(outcome), ReauthReason::ExpiresTooSoon);
    assert_eq!(sessions.get(&alice).await.unwrap().access_token().expose_secret(), "renewed-0");
    assert_eq!((queue.len(), hook.calls()), (1, 1));
}

#[tokio::test]
async fn a_renewal_that_is_too_short_is_not_made_again_and_again() {
    let (sessions, _, clock, hook) = with_hook(Does::Renews(TimeDelta::minutes(40)));
    let (queue, alice) = (sessions.reauth_queue(), user("alice"));
    sessions.insert(ending_in(&alice, 30 * MINUTE, &clock)).await.unwrap();
    let call = tokio::spawn({
        let (sessions, alice) = (sessions.clone(), alice.clone());
        let wait = Wait::up_to(20 * MINUTE).valid_for(45 * MINUTE);
        async move { sessions.wait_with(&alice, &wait).await }
    });
    turns().await;
    for _ in 0..10 {
        let outcome = sessions.ensure_valid_for(&alice, 45 * MINUTE).await;
        assert_eq!(reason(outcome), ReauthReason::ExpiresTooSoon);
    }
    assert_eq!((queue.len(), hook.calls()), (1, 1));
    clock.advance(MINUTE / 2);
    assert!(sessions.ensure_valid_for(&alice, 45 * MINUTE).await.is_err());
    turns().await;
    assert_eq!(hook.calls(), 2, "after the pause");
    let login = fresh(&alice, "long", &clock);
    sessions.insert(login.clone()).await.unwrap();
    assert_eq!(call.await.unwrap().unwrap(), login);
}

#[tokio::test]
async fn a_call_can_wait_for_a_session_that_lives_longer() {
    let (sessions, _, clock) = setup();
    let (queue, alice) = (sessions.reauth_queue(), user("alice"));
    sessions.insert(ending_in(&alice, 30 * MINUTE, &clock)).await.unwrap();
    let call = tokio::spawn({
        let (sessions, alice) = (sessions.clone(), alice.clone());
        let wait = Wait::up_to(20 * MINUTE).valid_for(45 * MINUTE);
        async move { sessions.wait_with(&alice, &wait).await }
    });
    turns().await;
    let held = queue.try_next().await.unwrap();
    assert_eq!(held.request().reason(), ReauthReason::ExpiresTooSoon);
    assert_eq!(held.request().waiting(), 1);
    // Others use the one that is there; one more that is too short wakes it for nothing.
    assert!(sessions.wait(&alice, MINUTE).await.is_ok());
    sessions.insert(session(&alice, "short", clock.now() + TimeDelta::minutes(44))).await.unwrap();
    turns().await;
    assert!(!call.is_finished());
    assert_eq!(held.refreshed().unwrap().waiting(), 1);
    let login = fresh(&alice, "long", &clock);
    held.answer(login.clone()).await.unwrap();
    assert_eq!(call.await.unwrap().unwrap(), login);
    assert!(queue.is_empty());
}

#[tokio::test]
async fn a_worker_is_given_nobody_whose_session_can_be_renewed() {
    let (sessions, _, clock, hook) = with_hook(two_hours());
    let (queue, alice) = (sessions.reauth_queue(), user("alice"));
    sessions.insert(ending_in(&alice, 30 * MINUTE, &clock)).await.unwrap();
    hook.shut();
    let call = tokio::spawn({
        let (sessions, alice) = (sessions.clone(), alice.clone());
        let wait = Wait::up_to(20 * MINUTE).valid_for(45 * MINUTE);
        async move { sessions.wait_with(&alice, &wait).await }
    });
    let ensure = tokio::spawn({
        let (sessions, alice) = (sessions.clone(), alice.clone());
        async move { sessions.ensure_valid_for(&alice, 45 * MINUTE).await }
    });
    hook.0.arrived.notified().await;
    let worker = tokio::spawn({
        let queue = queue.clone();
        async move { queue.next().await }
    });
    turns().await;
    assert!(!worker.is_finished(), "it is prompted while the renewal runs");
    hook.open();
    assert!(call.await.unwrap().is_ok() && ensure.await.unwrap().is_ok());
    turns().await;
    assert!(!worker.is_finished() && queue.is_empty());
    assert_eq!(hook.calls(), 1);
    worker.abort();
}

#[tokio::test]
async fn a_call_that_waits_for_a_longer_life_asks_nobody_who_can_be_renewed() {
    // No worker takes care of the queue.
    let (sessions, _, clock, hook) = with_hook(two_hours());
    let alice = user("alice");
    sessions.insert(ending_in(&alice, 30 * MINUTE, &clock)).await.unwrap();
    let wait = Wait::up_to(MINUTE).valid_for(45 * MINUTE);
    hook.shut();
    let call = tokio::spawn({
        let (sessions, alice, wait) = (sessions.clone(), alice.clone(), wait.clone());
        async move { sessions.wait_with(&alice, &wait).await }
    });
    turns().await;
    assert!(sessions.reauth_queue().is_empty(), "a false prompt");
    hook.open();
    turns().await;
    assert!(call.is_finished(), "it waits for a person");
    assert_eq!(call.await.unwrap().unwrap().access_token().expose_secret(), "renewed-0");
    assert_eq!(*hook.0.reasons.lock(), [ReauthReason::ExpiresTooSoon]);

    // One that is of no help is left alone, and the person is asked.
    let (sessions, _, clock, hook) = with_hook(Does::Fails);
    sessions.insert(ending_in(&alice, 30 * MINUTE, &clock)).await.unwrap();
    let call = tokio::spawn({
        let (sessions, alice) = (sessions.clone(), alice.clone());
        async move { sessions.wait_with(&alice, &wait).await }
    });
    turns().await;
    assert_eq!((sessions.reauth_queue().len(), hook.calls()), (1, 1));
    let login = fresh(&alice, "long", &clock);
    sessions.insert(login.clone()).await.unwrap();
    assert_eq!(call.await.unwrap().unwrap(), login);
    assert_eq!(hook.calls(), 1);
}

#[tokio::test]
async fn rule_7_for_what_no_login_can_give_nobody_is_asked_again_and_again() {
    let (sessions, _, clock) = setup();
    let (queue, alice) = (sessions.reauth_queue(), user("alice"));
    // Nobody knows yet how long a session of hers lives.
    let call = tokio::spawn({
        let (sessions, alice) = (sessions.clone(), alice.clone());
        let wait = Wait::up_to(60 * MINUTE).valid_for(180 * MINUTE);
        async move { sessions.wait_with(&alice, &wait).await }
    });
    turns().await;
    let mut held = queue.try_next().await.unwrap();
    clock.advance(MINUTE / 2);
    let login = fresh(&alice, "one", &clock);
    sessions.insert(login.clone()).await.unwrap();
    assert!(matches!(call.await.unwrap(), Err(Error::LifeTooShort { .. })));
    assert!(held.over().now_or_never().is_some(), "its worker goes on asking");
    drop(held);
    assert!(queue.is_empty() && queue.try_next().await.is_none(), "she has just logged in");

    // The same when the call has gone before.
    sessions.reject(&login).await.unwrap();
    let wait = Wait::up_to(60 * MINUTE).valid_for(180 * MINUTE);
    let mut call = Box::pin(sessions.wait_with(&alice, &wait));
    while queue.is_empty() {
        assert!(futures_util::poll!(call.as_mut()).is_pending());
        tokio::task::yield_now().await;
    }
    drop(call);
    let held = queue.try_next().await.unwrap();
    held.answer(fresh(&alice, "two", &clock)).await.unwrap();
    assert!(queue.is_empty() && queue.try_next().await.is_none(), "she has just logged in");
}

#[tokio::test]
async fn rule_10_a_call_that_goes_away_at_any_moment_takes_its_place_along() {
    for polls in 1..12 {
        let (sessions, _, clock, hook) = with_hook(Does::Fails);
        let (queue, alice) = (sessions.reauth_queue(), user("alice"));
        sessions.insert(ending_in(&alice, 30 * MINUTE, &clock)).await.unwrap();
        hook.shut();
        let wait = Wait::up_to(MINUTE).valid_for(45 * MINUTE);
        let mut call = Box::pin(sessions.wait_with(&alice, &wait));
        for poll in 0..polls {
            assert!(futures_util::poll!(call.as_mut()).is_pending());
            if poll == 5 {
                hook.open();
            }
            turns().await;
        }
        drop(call);
        hook.open();
        turns().await;
        let open = queue.list(None, 9);
        assert_eq!(open.len(), usize::from(polls > 6), "{polls}");
        assert!(open.iter().all(|request| request.waiting() == 0));
        assert_eq!(hook.calls(), 1);
    }
}
