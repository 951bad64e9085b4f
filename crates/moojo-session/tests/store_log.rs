//! What the log says of a store that does not do what it is asked, and of a server that refuses tokens: who
//! runs it sees that, and not with every call.

mod common;

use std::sync::Arc;
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use common::processes::{At, World};
use common::queue::{MINUTE, claim, want};
use common::{fresh, session, setup, turns, user};
use moojo_session::{
    Error, MemoryStore, Session, SessionId, SessionManager, SessionStore, StoreError, UserId,
    async_trait,
};
use moojo_testkit::Log;
use parking_lot::Mutex;

/// A store that may do what is listed.
#[derive(Debug, Clone)]
struct Guarded {
    memory: MemoryStore,
    allowed: Arc<Mutex<Vec<&'static str>>>,
}

impl Guarded {
    fn new() -> Self {
        Self { memory: MemoryStore::new(), allowed: Arc::default() }
    }

    fn check(&self, what: &str) -> Result<(), StoreError> {
        match self.allowed.lock().contains(&what) {
            true => Ok(()),
            false => Err(StoreError::refused(format!("no permission to {what}"))),
        }
    }
}

#[async_trait]
impl SessionStore for Guarded {
    async fn load(&self, user: &UserId) -> Result<Option<Session>, StoreError> {
        self.check("load")?;
        self.memory.load(user).await
    }

    async fn save(&self, session: &Session) -> Result<(), StoreError> {
        self.check("save")?;
        self.memory.save(session).await
    }

    async fn remove(&self, user: &UserId) -> Result<bool, StoreError> {
        self.check("remove")?;
        self.memory.remove(user).await
    }

    async fn remove_if_current(&self, user: &UserId, id: SessionId) -> Result<bool, StoreError> {
        self.check("remove")?;
        self.memory.remove_if_current(user, id).await
    }
}

#[tokio::test]
async fn a_store_that_refuses_is_warned_of_once_for_each_kind_of_call() {
    let (log, _guard) = Log::of_thread();
    let store = Guarded::new();
    let sessions = SessionManager::new(store.clone());
    let alice = user("alice");
    let session = session(&alice, "planted", Utc::now() + TimeDelta::hours(2));

    for _ in 0..20 {
        assert!(matches!(sessions.get(&alice).await, Err(Error::Store(_))));
        assert!(matches!(sessions.insert(session.clone()).await, Err(Error::Store(_))));
        assert!(matches!(sessions.revoke(&alice).await, Err(Error::Store(_))));
    }
    for call in ["load", "save", "remove"] {
        let what = format!("what=\"{call}\"");
        let said = log.lines_with(&["WARN", "the session store fails", &what]);
        assert_eq!(said.len(), 1, "{call}: {said:?}");
        assert!(said[0].contains(&format!("refused: no permission to {call}")), "{said:?}");
    }

    // One that works says nothing of the others.
    store.allowed.lock().push("load");
    for _ in 0..20 {
        assert!(matches!(sessions.get(&alice).await, Err(Error::ReauthRequired(_))));
    }
    assert_eq!(log.lines_with(&["INFO", "the session store works again"]).len(), 1);
    store.allowed.lock().extend(["save", "remove"]);
    for _ in 0..20 {
        sessions.insert(session.clone()).await.unwrap();
        assert!(sessions.revoke(&alice).await.unwrap());
    }
    assert_eq!(log.lines_with(&["INFO", "the session store works again"]).len(), 3);
    assert_eq!(log.lines_with(&["WARN"]).len(), 3, "{}", log.text());
    assert!(log.lines_with(&["planted"]).is_empty(), "rule 13");
}

#[tokio::test]
async fn leases_that_cannot_be_cleared_are_not_said_to_work_again() {
    let (log, _guard) = Log::of_thread();
    let world = World::new();
    *world.leases.refused.lock() = Some("clear");
    let sessions = &world.processes[0];
    for user in ["alice", "bob", "carol"].map(user) {
        let waiting = sessions.wait(&user, MINUTE);
        let login = async {
            let claim = sessions.reauth_queue().next().await;
            claim.answer(fresh(&user, "planted", &world.clock)).await.unwrap();
        };
        let (got, ()) = tokio::join!(waiting, login);
        got.unwrap();
        turns().await;
    }
    assert_eq!(log.lines_with(&["the session store works again"]), [""; 0]);
    assert_eq!(log.lines_with(&["WARN", "no permission to clear"]).len(), 1, "{}", log.text());
    assert_eq!(log.lines_with(&["WARN"]).len(), 1, "{}", log.text());
}

/// Nothing was asked of the store then.
#[tokio::test]
async fn a_lease_that_is_not_given_back_after_all_says_nothing_of_the_store() {
    let (log, _guard) = Log::of_thread();
    let world = World::new();
    *world.leases.refused.lock() = Some("release");
    let sessions = &world.processes[0];
    let (queue, alice) = (sessions.reauth_queue(), user("alice"));
    want(sessions, &alice).await;
    assert!(claim(&queue).await.close_unless_awaited());
    turns().await;
    assert_eq!(log.lines_with(&["WARN", "no permission to release"]).len(), 1, "{}", log.text());

    want(sessions, &alice).await;
    let held = claim(&queue).await;
    let gate = world.leases.hold_next(At::Acquire);
    held.renew(MINUTE).unwrap();
    assert!(held.close_unless_awaited());
    // She is in the queue again before the lease goes back, which is after it was prolonged.
    want(sessions, &alice).await;
    gate.add_permits(1);
    turns().await;
    assert_eq!(log.lines_with(&["the session store works again"]), [""; 0]);
    assert_eq!(log.lines_with(&["WARN"]).len(), 1, "{}", log.text());
}

/// Though it answers others, so that nothing else warns of it.
#[tokio::test(start_paused = true)]
async fn a_request_that_is_put_aside_again_and_again_is_warned_of_once_a_minute() {
    let (log, _guard) = Log::of_thread();
    let (sessions, store, clock) = setup();
    let (queue, alice) = (sessions.reauth_queue(), user("alice"));
    want(&sessions, &alice).await;
    let warned = || log.lines_with(&["WARN", "a login request is put aside", "user=alice"]);
    for round in 0..31 {
        store.hang(true);
        assert!(queue.try_next().await.is_none());
        store.hang(false);
        assert!(sessions.get(&user("bob")).await.is_err());
        assert!(queue.claim(&user("bob")).await.is_some());
        assert_eq!(warned().len(), if round < 30 { 1 } else { 2 }, "{round}");
        clock.advance(Duration::from_secs(2));
    }
    assert!(warned()[0].contains("the store did not answer in time"), "{:?}", warned());
    assert_eq!(log.lines_with(&["WARN"]).len(), 2, "{}", log.text());
}

#[tokio::test]
async fn what_the_store_gives_and_nobody_can_use_is_warned_of() {
    let (log, _guard) = Log::of_thread();
    let (sessions, store, clock) = setup();
    let alice = user("alice");
    store.forge(&alice, fresh(&user("bob"), "planted", &clock));
    for _ in 0..20 {
        assert!(matches!(sessions.get(&alice).await, Err(Error::Store(_))));
    }
    let warned = log.lines_with(&["WARN", "has a record that cannot be read", "what=\"load\""]);
    assert_eq!(warned.len(), 1, "{}", log.text());
    assert!(warned[0].contains("the session of another user"), "{warned:?}");
    assert!(log.lines_with(&["planted"]).is_empty(), "rule 13");
}

/// When the API key is refused, everybody who makes a call is logged out.
#[tokio::test]
async fn refused_tokens_are_warned_of_once_a_minute_with_their_number() {
    let (log, _guard) = Log::of_thread();
    let (sessions, _, clock) = setup();
    let refuse = async |name: &str| {
        let session = fresh(&user(name), "planted", &clock);
        sessions.insert(session.clone()).await.unwrap();
        assert!(sessions.reject(&session).await.unwrap());
        assert!(!sessions.reject(&session).await.unwrap(), "a late answer is no refusal");
    };
    let warned = || log.lines_with(&["WARN", "the server refused tokens", "the API key"]);
    for name in ["alice", "bob", "carol"] {
        refuse(name).await;
    }
    clock.advance(MINUTE);
    refuse("dave").await;
    let [first, second] = &warned()[..] else { panic!("{}", log.text()) };
    assert!(first.contains("user=alice") && first.contains("count=1"), "{first}");
    assert!(second.contains("user=dave") && second.contains("count=3"), "{second}");
    assert!(log.lines_with(&["planted"]).is_empty(), "rule 13");
}
