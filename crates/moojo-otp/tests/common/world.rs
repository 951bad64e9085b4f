//! A login flow over a fake Moojo.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use moojo_otp::{LoginError, LoginFlow, LoginFlowBuilder, VerificationCode};
use moojo_session::{
    Admission, Challenge, ChallengeStore, ManualClock, MemoryChallengeStore, MemoryStore, Quota,
    Revision, Session, SessionId, SessionManager, SessionStore, StoreError, UserId, async_trait,
};

use super::{Fake, alice, builder, clock, phone};

/// A flow over a fake Moojo, with everything that a test looks into.
pub(crate) struct World {
    pub(crate) fake: Fake,
    pub(crate) clock: ManualClock,
    pub(crate) sessions: SessionManager,
    pub(crate) challenges: MemoryChallengeStore,
    pub(crate) flow: LoginFlow,
}

pub(crate) fn world() -> World {
    world_with(MemoryStore::new(), |flow| flow)
}

pub(crate) fn world_with(
    store: impl SessionStore,
    set: impl FnOnce(LoginFlowBuilder) -> LoginFlowBuilder,
) -> World {
    let (fake, clock) = (Fake::new(), clock());
    let sessions = SessionManager::builder(store).clock(clock.clone()).build();
    let moojo = builder(&fake, &clock).build().unwrap();
    let challenges = MemoryChallengeStore::new();
    let flow = LoginFlow::builder(moojo, sessions.clone()).challenges(challenges.clone());
    let flow = set(flow).build();
    World { fake, clock, sessions, challenges, flow }
}

impl World {
    pub(crate) async fn send(&self) -> Result<Challenge, LoginError> {
        self.flow.send_code(&alice(), &phone()).await
    }

    pub(crate) async fn verify(&self, code: &str) -> Result<Session, LoginError> {
        self.flow.verify(&alice(), &VerificationCode::new(code).unwrap()).await
    }

    pub(crate) async fn record(&self) -> Option<Challenge> {
        self.challenges.load(&alice()).await.unwrap()
    }

    pub(crate) fn pass(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }
}

/// A store of logins which can be read, which counts, and in which none is ever written: this comes of
/// it.
#[derive(Debug)]
pub(crate) struct Unwritten {
    pub(crate) memory: MemoryChallengeStore,
    pub(crate) swap: Result<bool, StoreError>,
}

#[async_trait]
impl ChallengeStore for Unwritten {
    async fn load(&self, user: &UserId) -> Result<Option<Challenge>, StoreError> {
        self.memory.load(user).await
    }

    async fn swap(
        &self,
        _: Option<Revision>,
        _: &Challenge,
        _: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        self.swap.clone()
    }

    async fn remove(&self, user: &UserId, expected: Revision) -> Result<bool, StoreError> {
        self.memory.remove(user, expected).await
    }

    async fn admit(&self, quota: &Quota<'_>, now: DateTime<Utc>) -> Result<Admission, StoreError> {
        self.memory.admit(quota, now).await
    }

    async fn give_back(&self, quota: &Quota<'_>, now: DateTime<Utc>) -> Result<(), StoreError> {
        self.memory.give_back(quota, now).await
    }
}

/// Fails as many saves as it is told.
#[derive(Debug)]
pub(crate) struct Failing {
    store: MemoryStore,
    pub(crate) saves: AtomicU32,
}

impl Default for Failing {
    fn default() -> Self {
        // It stands still, so nothing ends there.
        let store = MemoryStore::builder().clock(clock()).build();
        Self { store, saves: AtomicU32::new(0) }
    }
}

#[async_trait]
impl SessionStore for Failing {
    async fn load(&self, user: &UserId) -> Result<Option<Session>, StoreError> {
        self.store.load(user).await
    }

    async fn save(&self, session: &Session) -> Result<(), StoreError> {
        let take = |left: u32| left.checked_sub(1);
        match self.saves.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take) {
            Ok(_) => Err(StoreError::unavailable("down")),
            Err(_) => self.store.save(session).await,
        }
    }

    async fn remove(&self, user: &UserId) -> Result<bool, StoreError> {
        self.store.remove(user).await
    }

    async fn remove_if_current(&self, user: &UserId, id: SessionId) -> Result<bool, StoreError> {
        self.store.remove_if_current(user, id).await
    }
}
