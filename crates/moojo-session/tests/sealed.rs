//! The store that encrypts tokens, over the store in memory.
//!
//! Logins under way: `sealed_logins.rs`. The way from plain to sealed: `sealed_rollout.rs`.

mod common;

use common::{session, user};
use moojo_session::conformance;
use moojo_session::{
    AccessToken, Clock, Error, KeyRing, ManualClock, MemoryStore, Page, PageToken, Resealed,
    SealedStore, Sealing, SealingKey, Session, SessionAdmin, SessionBuilder, SessionId,
    SessionManager, SessionStore, StoreError, StoreErrorKind, UserId, async_trait,
};

fn key(name: &str) -> SealingKey {
    SealingKey::new(name, &[name.len() as u8; 32]).unwrap()
}

fn sealed(store: &MemoryStore, keys: KeyRing) -> SealedStore<MemoryStore> {
    SealedStore::new(store.clone(), keys).tenant("acme")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_conforms_over_a_store_that_does() {
    for sealing in [Sealing::Allow, Sealing::Prefer, Sealing::Require] {
        let over = |store: &MemoryStore| sealed(store, KeyRing::new(key("one"))).sealing(sealing);
        let new = async || over(&MemoryStore::new());
        conformance::session_store(new).await.assert_passed();
        conformance::session_admin(new).await.assert_passed();
        let pair = async || {
            let store = MemoryStore::new();
            (over(&store), over(&store))
        };
        conformance::change_feed(pair).await.assert_passed();
    }
}

fn ends() -> chrono::DateTime<chrono::Utc> {
    chrono::Utc::now() + chrono::TimeDelta::hours(2)
}

#[tokio::test]
async fn rule_13_the_backend_sees_no_token() {
    let backend = MemoryStore::new();
    let alices = session(&user("alice"), "planted-token", ends());
    sealed(&backend, KeyRing::new(key("one"))).save(&alices).await.unwrap();
    let seen = backend.load(alices.user()).await.unwrap().unwrap();
    assert!(!seen.access_token().expose_secret().contains("planted"));
    assert_eq!((seen.id(), seen.expires_at()), (alices.id(), alices.expires_at()));
}

/// It would be refused, and removed for those who can open it.
#[tokio::test]
async fn a_process_without_keys_does_not_send_what_is_sealed() {
    let backend = MemoryStore::new();
    let alices = session(&user("alice"), "planted-token", ends());
    let store = sealed(&backend, KeyRing::new(key("one")));
    store.save(&alices).await.unwrap();
    let without = SessionManager::new(backend);
    let Error::Store(error) = without.get(alices.user()).await.unwrap_err() else { panic!() };
    assert_eq!(error.kind(), StoreErrorKind::Corrupt, "and no reason to prompt her");
    assert_eq!(store.load(alices.user()).await.unwrap(), Some(alices));
}

#[tokio::test]
async fn rule_1_a_record_that_was_copied_to_another_user_or_tenant_does_not_open() {
    let backend = MemoryStore::new();
    let store = sealed(&backend, KeyRing::new(key("one")));
    let [alice, bob] = ["alice", "bob"].map(user);
    store.save(&session(&alice, "planted-token", ends())).await.unwrap();
    let stolen = backend.load(&alice).await.unwrap().unwrap();
    let copied = session(&bob, stolen.access_token().expose_secret(), stolen.expires_at());
    backend.save(&copied).await.unwrap();
    let error = store.load(&bob).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Corrupt, "and no reason to prompt him");
    let other = SealedStore::new(backend.clone(), KeyRing::new(key("one"))).tenant("other");
    assert_eq!(other.load(&alice).await.unwrap_err().kind(), StoreErrorKind::Corrupt);
    assert!(store.load(&alice).await.unwrap().is_some());
}

#[tokio::test]
async fn rule_1_a_token_opens_with_its_own_user_id_and_times_only() {
    let backend = MemoryStore::new();
    let store = sealed(&backend, KeyRing::new(key("one")));
    let alices = session(&user("alice"), "planted-token", ends());
    store.save(&alices).await.unwrap();
    let token = backend.load(alices.user()).await.unwrap().unwrap().access_token();
    let record = |name: &str| {
        Session::builder(user(name), token.clone())
            .id(alices.id())
            .issued_at(alices.issued_at())
            .expires_at(alices.expires_at())
    };
    let loaded = async |record: SessionBuilder| {
        let record = record.build().unwrap();
        backend.save(&record).await.unwrap();
        store.load(record.user()).await
    };
    let hour = chrono::TimeDelta::hours(1);
    for changed in [
        record("bob"),
        record("alice").id(SessionId::random()),
        record("alice").issued_at(alices.issued_at() - hour),
        record("alice").expires_at(alices.expires_at() + hour),
    ] {
        assert_eq!(loaded(changed).await.unwrap_err().kind(), StoreErrorKind::Corrupt);
    }
    assert_eq!(loaded(record("alice")).await.unwrap(), Some(alices.clone()));
}

/// What is in the stores stays readable.
#[tokio::test]
async fn the_form_does_not_change() {
    let token =
        "sealed.v1.one.j3s1Xqr4UB4-xpu1o8mRZPPIb6oEfafWcgPANVFR1Ef4QZkwVZ7okc-K12zhayGFhPZmdg";
    let clock = ManualClock::new("2025-02-16T10:00:00Z".parse().unwrap());
    let backend = MemoryStore::builder().clock(clock.clone()).build();
    let kept = Session::builder(user("alice"), AccessToken::new(token).unwrap())
        .id(SessionId::from_bytes([7; 16]))
        .issued_at(clock.now())
        .expires_at(clock.now() + chrono::TimeDelta::hours(2))
        .build()
        .unwrap();
    backend.save(&kept).await.unwrap();
    let keys = KeyRing::new(SealingKey::new("one", &[1; 32]).unwrap());
    let opened = sealed(&backend, keys).load(kept.user()).await.unwrap().unwrap();
    assert_eq!(opened.authorization(), "Bearer 6c0350a00925");
}

#[tokio::test]
async fn a_clone_is_the_same_store() {
    let store = sealed(&MemoryStore::new(), KeyRing::new(key("one"))).sealing(Sealing::Prefer);
    let alices = session(&user("alice"), "planted-token", ends());
    store.clone().save(&alices).await.unwrap();
    assert_eq!(store.load(alices.user()).await.unwrap(), Some(alices));
    assert_eq!(store.count().await.unwrap(), 1);
}

#[tokio::test]
async fn keys_are_rotated_while_sessions_are_in_use() {
    let backend = MemoryStore::new();
    let before = sealed(&backend, KeyRing::new(key("old")));
    let alices = session(&user("alice"), "alices", ends());
    let bobs = session(&user("bob"), "bobs", ends());
    before.save(&alices).await.unwrap();
    before.save(&bobs).await.unwrap();

    let both = sealed(&backend, KeyRing::new(key("newer")).with_old(key("old")));
    assert_eq!(both.load(alices.user()).await.unwrap(), Some(alices.clone()));
    let newer = session(bobs.user(), "newer", ends());
    both.save(&newer).await.unwrap();
    let done = both.reseal().await.unwrap();
    assert_eq!(done, Resealed { resealed: 1, kept: 1, unreadable: 0 });

    // The old key is not needed any more.
    let after = sealed(&backend, KeyRing::new(key("newer")));
    for expected in [&alices, &newer] {
        let found = after.load(expected.user()).await.unwrap().unwrap();
        assert_eq!(found.authorization(), expected.authorization());
        assert_eq!(found.id(), expected.id());
    }
    assert_eq!(after.count().await.unwrap(), 2);
}

/// A backend whose record of bob cannot be read, and which gives alice's for carol.
#[derive(Debug)]
struct Damaged(MemoryStore);

#[async_trait]
impl SessionStore for Damaged {
    async fn load(&self, of: &UserId) -> Result<Option<Session>, StoreError> {
        match of.as_str() {
            "bob" => Err(StoreError::corrupt("no record")),
            "carol" => self.0.load(&user("alice")).await,
            _ => self.0.load(of).await,
        }
    }

    async fn save(&self, session: &Session) -> Result<(), StoreError> {
        self.0.save(session).await
    }

    async fn remove(&self, user: &UserId) -> Result<bool, StoreError> {
        self.0.remove(user).await
    }

    async fn remove_if_current(&self, user: &UserId, id: SessionId) -> Result<bool, StoreError> {
        self.0.remove_if_current(user, id).await
    }
}

#[async_trait]
impl SessionAdmin for Damaged {
    async fn list(&self, after: Option<&PageToken>, limit: usize) -> Result<Page, StoreError> {
        self.0.list(after, limit).await
    }

    async fn count(&self) -> Result<u64, StoreError> {
        self.0.count().await
    }

    async fn remove_all(&self) -> Result<u64, StoreError> {
        self.0.remove_all().await
    }

    async fn replace_if_current(&self, session: &Session) -> Result<bool, StoreError> {
        self.0.replace_if_current(session).await
    }
}

fn damaged(keys: KeyRing) -> SealedStore<Damaged> {
    SealedStore::new(Damaged(MemoryStore::new()), keys)
}

#[tokio::test]
async fn a_record_that_cannot_be_read_does_not_keep_the_others_from_a_new_key() {
    let backend = MemoryStore::new();
    let before = SealedStore::new(backend.clone(), KeyRing::new(key("old")));
    for name in ["alice", "bob", "dave"] {
        before.save(&session(&user(name), "token", ends())).await.unwrap();
    }
    let ring = KeyRing::new(key("newer")).with_old(key("old"));
    let done = SealedStore::new(Damaged(backend), ring).reseal().await.unwrap();
    assert_eq!(done, Resealed { resealed: 2, kept: 0, unreadable: 1 });
}

#[tokio::test]
async fn resealing_finds_a_key_that_has_other_bytes_elsewhere() {
    let backend = MemoryStore::new();
    let here = sealed(&backend, KeyRing::new(key("one")));
    here.save(&session(&user("alice"), "token", ends())).await.unwrap();
    let mistyped = KeyRing::new(SealingKey::new("one", &[99; 32]).unwrap());
    let done = sealed(&backend, mistyped).reseal().await.unwrap();
    assert_eq!(done, Resealed { resealed: 0, kept: 0, unreadable: 1 });
    let done = here.reseal().await.unwrap();
    assert_eq!(done, Resealed { resealed: 0, kept: 1, unreadable: 0 });
}

#[tokio::test]
async fn rule_1_a_whole_record_in_another_users_place_does_not_open() {
    let store = damaged(KeyRing::new(key("one")));
    store.save(&session(&user("alice"), "token", ends())).await.unwrap();
    assert!(store.load(&user("alice")).await.unwrap().is_some());
    let error = store.load(&user("carol")).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Corrupt);
}
