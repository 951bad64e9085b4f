//! The store that encrypts phone numbers, over the stores in memory.

mod common;

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use common::user;
use moojo_session::{
    Admission, Challenge, ChallengeStore, ExposedChallenge, KeyRing, MemoryChallengeStore,
    MemoryLeaseStore, Quota, Revision, SealedStore, Sealing, SealingKey, StoreError,
    StoreErrorKind, UserId, async_trait, conformance,
};
use parking_lot::Mutex;
use serde_json::{Value, json};

const NUMBER: &str = "+15559876543";

fn sealed<S>(store: S) -> SealedStore<S> {
    let keys = KeyRing::new(SealingKey::new("one", &[1; 32]).unwrap());
    SealedStore::new(store, keys).tenant("acme")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_conforms_over_stores_that_do() {
    for sealing in [Sealing::Allow, Sealing::Prefer, Sealing::Require] {
        let logins = async || sealed(MemoryChallengeStore::new()).sealing(sealing);
        conformance::challenge_store(logins).await.assert_passed();
        let leases = async || sealed(MemoryLeaseStore::new()).sealing(sealing);
        conformance::lease_store(leases).await.assert_passed();
    }
}

/// Alice's login, as a store over `backend` wrote it, and as the backend has it.
async fn written(backend: &MemoryChallengeStore) -> (Challenge, Challenge) {
    let (now, later) = (Utc::now(), Utc::now() + TimeDelta::minutes(10));
    let login = Challenge::open(user("alice"), NUMBER, now, later, later);
    assert!(sealed(backend.clone()).swap(None, &login, now).await.unwrap());
    let kept = backend.load(&user("alice")).await.unwrap().unwrap();
    (login, kept)
}

#[tokio::test]
async fn rule_13_the_backend_sees_no_number() {
    let backend = MemoryChallengeStore::new();
    let (login, kept) = written(&backend).await;
    assert!(!kept.expose_address().contains("555"));
    assert_eq!((kept.revision(), kept.lapses_at()), (login.revision(), login.lapses_at()));
    let next = login.sent();
    let store = sealed(backend.clone());
    assert!(store.swap(Some(login.revision()), &next, Utc::now()).await.unwrap());
    let kept = backend.load(login.user()).await.unwrap().unwrap();
    assert!(!kept.expose_address().contains("555"));
    assert_eq!(store.load(login.user()).await.unwrap(), Some(next));
}

#[tokio::test]
async fn rule_1_a_number_that_was_copied_to_another_record_does_not_open() {
    let (_, kept) = written(&MemoryChallengeStore::new()).await;
    let with = |field: &str, value: Value| {
        let mut record = serde_json::to_value(ExposedChallenge::from(&kept)).unwrap();
        record[field] = value;
        Challenge::try_from(serde_json::from_value::<ExposedChallenge>(record).unwrap()).unwrap()
    };
    let loaded = async |record: &Challenge, tenant: &str| {
        let backend = MemoryChallengeStore::new();
        assert!(backend.swap(None, record, Utc::now()).await.unwrap());
        sealed(backend).tenant(tenant).load(record.user()).await
    };
    assert!(loaded(&kept, "acme").await.is_ok());
    let elsewhere = [
        loaded(&with("user", json!("bob")), "acme").await,
        loaded(&with("revision", json!(kept.revision() ^ 1)), "acme").await,
        loaded(&kept, "other").await,
    ];
    for loaded in elsewhere {
        assert_eq!(loaded.unwrap_err().kind(), StoreErrorKind::Corrupt);
    }
}

/// A backend that gives alice's login for everybody's, and notes under which keys it counts.
#[derive(Debug, Default)]
struct Backend(MemoryChallengeStore, Mutex<Vec<String>>);

#[async_trait]
impl ChallengeStore for Backend {
    async fn load(&self, _: &UserId) -> Result<Option<Challenge>, StoreError> {
        self.0.load(&user("alice")).await
    }

    async fn swap(
        &self,
        expected: Option<Revision>,
        next: &Challenge,
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        self.0.swap(expected, next, now).await
    }

    async fn remove(&self, user: &UserId, expected: Revision) -> Result<bool, StoreError> {
        self.0.remove(user, expected).await
    }

    async fn admit(&self, quota: &Quota<'_>, now: DateTime<Utc>) -> Result<Admission, StoreError> {
        self.1.lock().push(quota.key.to_owned());
        self.0.admit(quota, now).await
    }

    async fn give_back(&self, quota: &Quota<'_>, now: DateTime<Utc>) -> Result<(), StoreError> {
        self.1.lock().push(quota.key.to_owned());
        self.0.give_back(quota, now).await
    }
}

#[tokio::test]
async fn rule_1_a_whole_record_in_another_users_place_does_not_open() {
    let backend = MemoryChallengeStore::new();
    let (login, _) = written(&backend).await;
    let store = sealed(Backend(backend, Mutex::default()));
    assert_eq!(store.load(&user("alice")).await.unwrap(), Some(login));
    let error = store.load(&user("bob")).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Corrupt);
}

const SENDS: Quota<'_> =
    Quota { key: "sends:+15559876543", limit: 1, window: std::time::Duration::from_secs(3600) };

#[tokio::test]
async fn rule_13_the_backend_counts_under_keys_that_tell_no_number() {
    let backend = Arc::new(Backend::default());
    let now = Utc::now();
    let others = SealedStore::new(
        Arc::clone(&backend),
        KeyRing::new(SealingKey::new("one", &[2; 32]).unwrap()),
    );
    let acme = sealed(Arc::clone(&backend));
    assert_eq!(acme.admit(&SENDS, now).await.unwrap(), Admission::Granted);
    acme.give_back(&SENDS, now).await.unwrap();
    for (store, key) in [
        (&acme, "sends:+15559876544"),
        (&sealed(Arc::clone(&backend)).tenant("other"), SENDS.key),
        (&others.tenant("acme"), SENDS.key),
    ] {
        store.admit(&Quota { key, ..SENDS }, now).await.unwrap();
    }
    let mut keys = backend.1.lock().clone();
    assert!(keys.iter().all(|key| !key.contains("555")), "{keys:?}");
    assert_eq!(keys.remove(1), keys[0], "what is given back is what was counted");
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), 4, "each number, tenant and secret has a key of its own: {keys:?}");
}

/// As a hash that is different in each process would not.
#[tokio::test]
async fn rule_8_all_processes_count_together() {
    let backend = Arc::new(Backend::default());
    let now = Utc::now();
    for (sealing, before) in [(Sealing::Require, Sealing::Prefer), (Sealing::Allow, Sealing::Allow)]
    {
        let before = sealed(Arc::clone(&backend)).sealing(before);
        assert_eq!(before.admit(&SENDS, now).await.unwrap(), Admission::Granted);
        let admission = sealed(Arc::clone(&backend)).sealing(sealing).admit(&SENDS, now).await;
        assert!(matches!(admission.unwrap(), Admission::Refused { .. }), "{sealing:?}");
    }
    // As a process without it does.
    let admission = backend.admit(&SENDS, now).await.unwrap();
    assert!(matches!(admission, Admission::Refused { .. }), "Allow counts as before");
}
