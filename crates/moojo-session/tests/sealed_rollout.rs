//! From plain records to sealed ones and back, in a fleet that goes on working.

mod common;

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use common::{session, user};
use moojo_session::{
    Challenge, ChallengeStore, KeyRing, MemoryChallengeStore, MemoryStore, Resealed, SealedStore,
    Sealing, SealingKey, Session, SessionManager, SessionStore, StoreErrorKind,
};

const NUMBER: &str = "+15559876543";

fn sealed<S>(store: S, sealing: Sealing) -> SealedStore<S> {
    let keys = KeyRing::new(SealingKey::new("one", &[1; 32]).unwrap());
    SealedStore::new(store, keys).tenant("acme").sealing(sealing)
}

/// What a process is started with: no `SealedStore`, or one that is set like this.
type Release = Option<Sealing>;

const WITHOUT: Release = None;
const ALLOW: Release = Some(Sealing::Allow);
const PREFER: Release = Some(Sealing::Prefer);
const REQUIRE: Release = Some(Sealing::Require);

/// The backend, and all that should be in it.
#[derive(Default)]
struct Fleet {
    sessions: MemoryStore,
    logins: MemoryChallengeStore,
    logged_in: Vec<Session>,
    under_way: Vec<Challenge>,
}

impl Fleet {
    fn sessions(&self, release: Release) -> Arc<dyn SessionStore> {
        match release {
            None => Arc::new(self.sessions.clone()),
            Some(sealing) => Arc::new(sealed(self.sessions.clone(), sealing)),
        }
    }

    fn logins(&self, release: Release) -> Arc<dyn ChallengeStore> {
        match release {
            None => Arc::new(self.logins.clone()),
            Some(sealing) => Arc::new(sealed(self.logins.clone(), sealing)),
        }
    }

    /// Processes of both releases run side by side. People log in through each; then each serves all
    /// who ever did, and goes on with all logins that others began.
    async fn replace(&mut self, old: Release, new: Release) {
        for release in [old, new] {
            let number = self.logged_in.len();
            let who = user(&format!("user-{number}"));
            let login = session(&who, &format!("token-{number}"), ends());
            self.sessions(release).save(&login).await.unwrap();
            self.logged_in.push(login);
            let (now, later) = (Utc::now(), Utc::now() + TimeDelta::minutes(10));
            let login = Challenge::open(who, NUMBER, now, later, later);
            assert!(self.logins(release).swap(None, &login, now).await.unwrap());
            self.under_way.push(login);
        }
        for release in [old, new] {
            let process = SessionManager::new(self.sessions(release));
            for login in &self.logged_in {
                let found = process.get(login.user()).await.unwrap();
                assert_eq!(found.authorization(), login.authorization(), "{release:?}");
            }
            let logins = self.logins(release);
            for login in &mut self.under_way {
                let found = logins.load(login.user()).await.unwrap();
                assert_eq!(found.as_ref(), Some(&*login), "{release:?}");
                let next = login.attempted();
                let swapped = logins.swap(Some(login.revision()), &next, Utc::now()).await;
                assert!(swapped.unwrap());
                *login = next;
            }
        }
    }

    async fn reseal(&self, sealing: Sealing) -> Resealed {
        sealed(self.sessions.clone(), sealing).reseal().await.unwrap()
    }

    /// The logins under way end.
    async fn finish(&mut self, release: Release) {
        let logins = self.logins(release);
        for login in self.under_way.drain(..) {
            assert!(logins.remove(login.user(), login.revision()).await.unwrap());
        }
    }

    /// How many sessions the backend holds plain.
    async fn plain(&self) -> usize {
        let mut plain = 0;
        for login in &self.logged_in {
            let kept = self.sessions.load(login.user()).await.unwrap().unwrap();
            plain += usize::from(kept.authorization() == login.authorization());
        }
        plain
    }
}

fn ends() -> DateTime<Utc> {
    Utc::now() + TimeDelta::hours(2)
}

#[tokio::test]
async fn a_fleet_goes_over_to_sealing_and_back_with_nobody_logged_out() {
    let mut fleet = Fleet::default();
    fleet.replace(WITHOUT, ALLOW).await;
    assert_eq!(fleet.plain().await, 2, "Allow seals nothing");
    fleet.replace(ALLOW, PREFER).await;
    assert_eq!(fleet.plain().await, 3, "Prefer does");
    fleet.finish(PREFER).await;
    let done = fleet.reseal(Sealing::Prefer).await;
    assert_eq!(done, Resealed { resealed: 3, kept: 1, unreadable: 0 });
    assert_eq!(fleet.plain().await, 0);
    fleet.replace(PREFER, REQUIRE).await;

    fleet.replace(REQUIRE, PREFER).await;
    fleet.replace(PREFER, ALLOW).await;
    assert_eq!(fleet.plain().await, 1);
    fleet.finish(ALLOW).await;
    let done = fleet.reseal(Sealing::Allow).await;
    assert_eq!(done, Resealed { resealed: 9, kept: 1, unreadable: 0 });
    fleet.replace(ALLOW, WITHOUT).await;
    assert_eq!(fleet.plain().await, 12);
}

/// Whoever can write into the backend could plant a session or a number.
#[tokio::test]
async fn what_is_plain_is_refused_unless_it_is_allowed() {
    let (sessions, logins) = (MemoryStore::new(), MemoryChallengeStore::new());
    let alices = session(&user("alice"), "planted-token", ends());
    sessions.save(&alices).await.unwrap();
    let (now, later) = (Utc::now(), ends());
    let login = Challenge::open(user("alice"), NUMBER, now, later, later);
    assert!(logins.swap(None, &login, now).await.unwrap());

    let keys = || KeyRing::new(SealingKey::new("one", &[1; 32]).unwrap());
    let strict = SealedStore::new(sessions.clone(), keys());
    let strict_logins = SealedStore::new(logins.clone(), keys());
    for error in [
        strict.load(alices.user()).await.unwrap_err(),
        strict_logins.load(alices.user()).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), StoreErrorKind::Corrupt);
        let source = std::error::Error::source(&error).unwrap();
        assert!(source.to_string().contains("plain"), "{source}");
    }
    assert_eq!(strict.reseal().await.unwrap(), Resealed { unreadable: 1, ..Resealed::default() });
    for sealing in [Sealing::Allow, Sealing::Prefer] {
        let taken = sealed(sessions.clone(), sealing).load(alices.user()).await.unwrap();
        assert_eq!(taken.as_ref(), Some(&alices));
        let taken = sealed(logins.clone(), sealing).load(alices.user()).await.unwrap();
        assert_eq!(taken.as_ref(), Some(&login));
    }
}

/// That something may be plain is no way around what a seal is bound to.
#[tokio::test]
async fn rule_1_what_is_sealed_opens_in_its_own_place_only_whatever_is_allowed() {
    let backend = MemoryStore::new();
    let alices = session(&user("alice"), "planted-token", ends());
    sealed(backend.clone(), Sealing::Require).save(&alices).await.unwrap();
    let stolen = backend.load(alices.user()).await.unwrap().unwrap();
    let copied = session(&user("bob"), stolen.access_token().expose_secret(), ends());
    backend.save(&copied).await.unwrap();
    for sealing in [Sealing::Allow, Sealing::Prefer, Sealing::Require] {
        let error = sealed(backend.clone(), sealing).load(copied.user()).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{sealing:?}");
    }
}
