//! Logins that fail, and stores that do.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use chrono::TimeDelta;
use moojo_otp::{FirebaseJwt, LoginError, VerificationCode};
use moojo_session::{
    AccessToken, Admission, Arrived, Challenge, ChallengeStore, MemoryStore, Quota, Revision,
    Session, StoreError, UserId, async_trait,
};

use crate::common::{
    Failing, NOW, TOKEN, alice, answer, at, cut, not_sent, phone, refused, world, world_with,
};

#[tokio::test]
async fn rule_6_a_failed_login_never_displaces_a_live_session() {
    for outcome in [
        refused(400),
        refused(401),
        refused(429),
        refused(500),
        cut(),
        not_sent(),
        answer(200, "{"),
        answer(200, r#"{"status":"success","data":{"token":"a b"}}"#),
    ] {
        let world = world();
        let token = AccessToken::new("live").unwrap();
        let live = Session::builder(alice(), token).expires_at(at(NOW) + TimeDelta::hours(1));
        let live = live.build().unwrap();
        world.sessions.insert(live.clone()).await.unwrap();
        world.fake.then(outcome.clone());
        let _ = world.send().await;
        world.pass(60);
        world.send().await.unwrap();
        world.fake.then(outcome.clone()).then(outcome);
        world.verify("000000").await.unwrap_err();
        let jwt = FirebaseJwt::new("jwt").unwrap();
        world.flow.login_with_jwt(&alice(), &jwt).await.unwrap_err();
        assert_eq!(world.sessions.get(&alice()).await.unwrap(), live);
    }
}

#[tokio::test]
async fn a_session_that_cannot_be_saved_is_not_lost() {
    for (failures, saved) in [(3, true), (4, false)] {
        let store = Arc::new(Failing::default());
        let world = world_with(Arc::clone(&store), |flow| flow);
        world.send().await.unwrap();
        store.saves.store(failures, Ordering::SeqCst);
        let flow = world.flow.clone();
        let code = VerificationCode::new("133575").unwrap();
        let verify = tokio::spawn(async move { flow.verify(&alice(), &code).await });
        while !verify.is_finished() {
            world.clock.advance(Duration::from_millis(100));
            tokio::task::yield_now().await;
        }
        let session = match verify.await.unwrap() {
            Ok(session) => session,
            Err(LoginError::NotSaved { arrival, .. }) if !saved => {
                assert_eq!(arrival.save_again().await.unwrap(), Arrived::Saved);
                arrival.session().clone()
            }
            Err(error) => panic!("{error:?}"),
        };
        assert_eq!(world.sessions.get(&alice()).await.unwrap(), session);
        assert_eq!(session.access_token().expose_secret(), TOKEN);
        // The code is used up all the same.
        let again = world.verify("133575").await.unwrap_err();
        assert!(matches!(again, LoginError::CodeAlreadyUsed { .. }), "{again:?}");
    }
}

/// Does nothing but fail, or wait for ever.
#[derive(Debug)]
struct Down {
    for_ever: bool,
}

impl Down {
    async fn answer<T>(&self) -> Result<T, StoreError> {
        if self.for_ever {
            std::future::pending::<()>().await;
        }
        Err(StoreError::unavailable("down"))
    }
}

#[async_trait]
impl ChallengeStore for Down {
    async fn load(&self, _: &UserId) -> Result<Option<Challenge>, StoreError> {
        self.answer().await
    }

    async fn swap(
        &self,
        _: Option<Revision>,
        _: &Challenge,
        _: chrono::DateTime<chrono::Utc>,
    ) -> Result<bool, StoreError> {
        self.answer().await
    }

    async fn remove(&self, _: &UserId, _: Revision) -> Result<bool, StoreError> {
        self.answer().await
    }

    async fn admit(
        &self,
        _: &Quota<'_>,
        _: chrono::DateTime<chrono::Utc>,
    ) -> Result<Admission, StoreError> {
        self.answer().await
    }

    async fn give_back(
        &self,
        _: &Quota<'_>,
        _: chrono::DateTime<chrono::Utc>,
    ) -> Result<(), StoreError> {
        self.answer().await
    }
}

#[tokio::test]
async fn rule_10_without_its_store_nothing_is_sent_and_nobody_waits_for_ever() {
    for for_ever in [false, true] {
        let world = world_with(MemoryStore::new(), |flow| {
            flow.challenges(Down { for_ever }).store_timeout(Duration::from_secs(3))
        });
        let (flow, clock) = (world.flow.clone(), world.clock.clone());
        let both = tokio::spawn(async move {
            let code = VerificationCode::new("133575").unwrap();
            (
                flow.send_code(&alice(), &phone()).await.err(),
                flow.verify(&alice(), &code).await.err(),
            )
        });
        while !both.is_finished() {
            clock.advance(Duration::from_millis(500));
            tokio::task::yield_now().await;
        }
        let (send, verify) = both.await.unwrap();
        assert!(matches!(send, Some(LoginError::Challenges(_))), "{send:?}");
        assert!(matches!(verify, Some(LoginError::Challenges(_))), "{verify:?}");
        assert_eq!(world.fake.requests().len(), 0);
    }
}
