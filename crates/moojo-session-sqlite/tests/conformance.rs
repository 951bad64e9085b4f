//! The rules of the store traits, on files.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use moojo_session::{
    Admission, Challenge, ChallengeStore, ChangeStream, DeclineReason, KeyRing, Lease, LeaseHolder,
    LeaseStore, Quota, Revision, SealedStore, Sealing, SealingKey, Session, SessionId,
    SessionStore, StoreError, UserId, async_trait, conformance,
};
use moojo_session_sqlite::{Reading, SqliteStore};
use tempfile::TempDir;

async fn open(path: &Path) -> SqliteStore {
    SqliteStore::builder(path).open().await.unwrap()
}

/// Stores in files of their own.
struct Files {
    folder: TempDir,
    next: AtomicUsize,
}

impl Files {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), next: AtomicUsize::new(0) }
    }

    fn next(&self) -> std::path::PathBuf {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.folder.path().join(format!("{number}.db"))
    }

    async fn empty(&self) -> SqliteStore {
        open(&self.next()).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions() {
    let files = Files::new();
    let shared = files.empty().await;
    conformance::session_store(async || shared.clone()).await.assert_passed();
    conformance::session_admin(async || files.empty().await).await.assert_passed();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_read_on_the_calling_thread() {
    let files = Files::new();
    let builder = SqliteStore::builder(files.next()).reading(Reading::CallingThread);
    let shared = builder.open().await.unwrap();
    conformance::session_store(async || shared.clone()).await.assert_passed();
    conformance::challenge_store(async || shared.clone()).await.assert_passed();
}

/// The store behind encryption.
fn sealed<S>(store: S) -> SealedStore<S> {
    SealedStore::new(store, KeyRing::new(SealingKey::new("one", &[1; 32]).unwrap()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_of_it_sealed() {
    let files = Files::new();
    let shared = files.next();
    for sealing in [Sealing::Allow, Sealing::Prefer, Sealing::Require] {
        let store = async || sealed(open(&shared).await).sealing(sealing);
        conformance::session_store(store).await.assert_passed();
        conformance::challenge_store(store).await.assert_passed();
        conformance::lease_store(store).await.assert_passed();
        let empty = async || sealed(files.empty().await).sealing(sealing);
        conformance::session_admin(empty).await.assert_passed();
        conformance::change_feed(async || (store().await, store().await)).await.assert_passed();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logins_and_quotas() {
    let files = Files::new();
    let shared = files.empty().await;
    conformance::challenge_store(async || shared.clone()).await.assert_passed();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leases() {
    let files = Files::new();
    let shared = files.empty().await;
    conformance::lease_store(async || shared.clone()).await.assert_passed();
}

/// Two stores on one file have nothing else in common, as those of two processes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_feed_of_two_processes() {
    let files = Files::new();
    let path = files.next();
    let pair = async || (open(&path).await, open(&path).await);
    conformance::change_feed(pair).await.assert_passed();
}

/// Each call goes to the one or the other of two stores on one file.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_on_one_file() {
    let files = Files::new();
    let path = files.next();
    let either = Arc::new(Either([open(&path).await, open(&path).await], AtomicUsize::new(0)));
    conformance::session_store(async || Arc::clone(&either)).await.assert_passed();
    conformance::challenge_store(async || Arc::clone(&either)).await.assert_passed();
    conformance::lease_store(async || Arc::clone(&either)).await.assert_passed();
}

#[derive(Debug)]
struct Either([SqliteStore; 2], AtomicUsize);

impl Either {
    fn next(&self) -> &SqliteStore {
        &self.0[self.1.fetch_add(1, Ordering::Relaxed) % 2]
    }
}

#[async_trait]
impl SessionStore for Either {
    async fn load(&self, user: &UserId) -> Result<Option<Session>, StoreError> {
        SessionStore::load(self.next(), user).await
    }

    async fn save(&self, session: &Session) -> Result<(), StoreError> {
        self.next().save(session).await
    }

    async fn remove(&self, user: &UserId) -> Result<bool, StoreError> {
        SessionStore::remove(self.next(), user).await
    }

    async fn remove_if_current(&self, user: &UserId, id: SessionId) -> Result<bool, StoreError> {
        self.next().remove_if_current(user, id).await
    }

    fn changes(&self) -> ChangeStream {
        self.next().changes()
    }
}

#[async_trait]
impl ChallengeStore for Either {
    async fn load(&self, user: &UserId) -> Result<Option<Challenge>, StoreError> {
        ChallengeStore::load(self.next(), user).await
    }

    async fn swap(
        &self,
        expected: Option<Revision>,
        next: &Challenge,
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        self.next().swap(expected, next, now).await
    }

    async fn remove(&self, user: &UserId, expected: Revision) -> Result<bool, StoreError> {
        ChallengeStore::remove(self.next(), user, expected).await
    }

    async fn admit(&self, quota: &Quota<'_>, now: DateTime<Utc>) -> Result<Admission, StoreError> {
        self.next().admit(quota, now).await
    }

    async fn give_back(&self, quota: &Quota<'_>, now: DateTime<Utc>) -> Result<(), StoreError> {
        self.next().give_back(quota, now).await
    }
}

#[async_trait]
impl LeaseStore for Either {
    async fn acquire(
        &self,
        user: &UserId,
        holder: LeaseHolder,
        time: Duration,
    ) -> Result<Lease, StoreError> {
        self.next().acquire(user, holder, time).await
    }

    async fn release(&self, user: &UserId, holder: LeaseHolder) -> Result<bool, StoreError> {
        self.next().release(user, holder).await
    }

    async fn decline(
        &self,
        user: &UserId,
        holder: LeaseHolder,
        reason: DeclineReason,
        time: Duration,
    ) -> Result<bool, StoreError> {
        self.next().decline(user, holder, reason, time).await
    }

    async fn clear(&self, user: &UserId) -> Result<(), StoreError> {
        self.next().clear(user).await
    }
}
