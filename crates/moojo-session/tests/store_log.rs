//! What the log says of a store that refuses: who runs it sees that, and not with every call.

use chrono::{TimeDelta, Utc};
use moojo_session::{
    AccessToken, DeclineReason, Error, Lease, LeaseHolder, LeaseStore, MemoryLeaseStore,
    MemoryStore, Session, SessionId, SessionManager, SessionStore, StoreError, UserId, async_trait,
};
use moojo_testkit::Log;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

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
    let alice = UserId::new("alice").unwrap();
    let token = AccessToken::new("planted").unwrap();
    let ends = Utc::now() + TimeDelta::hours(2);
    let session = Session::builder(alice.clone(), token).expires_at(ends).build().unwrap();

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
    assert_eq!(log.lines_with(&["WARN"]).len(), 3, "{:?}", log.lines_with(&[]));
    assert!(log.lines_with(&["planted"]).is_empty(), "rule 13");
}

/// Leases that may be taken and not cleared, as by a user without the right to delete.
#[derive(Debug)]
struct Kept(MemoryLeaseStore, Arc<Notify>);

#[async_trait]
impl LeaseStore for Kept {
    async fn acquire(
        &self,
        user: &UserId,
        holder: LeaseHolder,
        time: Duration,
    ) -> Result<Lease, StoreError> {
        self.0.acquire(user, holder, time).await
    }

    async fn release(&self, user: &UserId, holder: LeaseHolder) -> Result<bool, StoreError> {
        self.0.release(user, holder).await
    }

    async fn decline(
        &self,
        user: &UserId,
        holder: LeaseHolder,
        reason: DeclineReason,
        time: Duration,
    ) -> Result<bool, StoreError> {
        self.0.decline(user, holder, reason, time).await
    }

    async fn clear(&self, _: &UserId) -> Result<(), StoreError> {
        self.1.notify_one();
        Err(StoreError::refused("no permission to clear"))
    }
}

#[tokio::test]
async fn leases_that_cannot_be_cleared_are_not_said_to_work_again() {
    let (log, _guard) = Log::of_thread();
    let cleared = Arc::new(Notify::new());
    let leases = Kept(MemoryLeaseStore::new(), Arc::clone(&cleared));
    let sessions = SessionManager::builder(MemoryStore::new()).leases(leases).build();
    for name in ["alice", "bob", "carol"] {
        let user = UserId::new(name).unwrap();
        let waiting = sessions.wait(&user, Duration::from_secs(60));
        let login = async {
            let claim = sessions.reauth_queue().next().await;
            let token = AccessToken::new("planted").unwrap();
            let ends = Utc::now() + TimeDelta::hours(2);
            let session = Session::builder(user.clone(), token).expires_at(ends).build().unwrap();
            claim.answer(session).await.unwrap();
            cleared.notified().await;
        };
        let (got, ()) = tokio::join!(waiting, login);
        got.unwrap();
    }
    assert_eq!(log.lines_with(&["the session store works again"]), [""; 0]);
    assert_eq!(log.lines_with(&["WARN"]).len(), 1, "{:?}", log.lines_with(&[]));
}
