//! Who cannot be asked, and what cannot be saved.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use moojo_otp::{Ask, LoginWorker};
use moojo_session::{
    AccessToken, Admission, Challenge, ChallengeStore, Clock, MemoryChallengeStore, Quota,
    Revision, Session, StoreError, UserId, async_trait,
};
use tokio::sync::{Semaphore, watch};

use crate::common::{AUTHENTICATE, Failing, SEND, alice, not_sent, world, world_with};
use crate::{Says, call, code, turns};

#[tokio::test]
async fn people_that_panic_are_asked_again_after_a_pause() {
    let world = world();
    let asked = watch::Sender::new(0);
    let say = |asked, _: &Ask| if asked < 3 { panic!("on purpose") } else { code("133575") };
    tokio::spawn(LoginWorker::new(world.flow.clone(), Says(say, asked.clone())).run());
    let call = call(&world);
    turns().await;
    assert_eq!(*asked.borrow(), 1, "a prompt for each turn of the worker");
    assert!(!call.is_finished());
    world.pass(30);
    turns().await;
    assert_eq!(*asked.borrow(), 2);
    world.pass(30);
    assert!(call.await.unwrap().is_ok());
    assert_eq!((*asked.borrow(), world.fake.count(SEND)), (3, 1));
}

#[tokio::test]
async fn who_could_not_be_asked_is_asked_later_though_no_call_waits() {
    let world = world();
    let asked = watch::Sender::new(0);
    world.fake.then(not_sent());
    let people = Says(|_, _| code("133575"), asked.clone());
    tokio::spawn(LoginWorker::new(world.flow.clone(), people).run());
    world.sessions.get(&alice()).await.unwrap_err();
    turns().await;
    assert_eq!((*asked.borrow(), world.fake.count(SEND)), (0, 1), "Moojo was out of reach");
    world.pass(30);
    turns().await;
    assert_eq!((*asked.borrow(), world.fake.count(SEND)), (1, 2));
    assert!(world.sessions.get(&alice()).await.is_ok());
}

#[tokio::test]
async fn a_login_that_waits_to_be_saved_displaces_no_newer_one() {
    let store = Arc::new(Failing::default());
    let world = world_with(Arc::clone(&store), |flow| flow);
    let asked = watch::Sender::new(0);
    store.saves.store(4, Ordering::SeqCst);
    let people = Says(|_, _| code("133575"), asked.clone());
    tokio::spawn(LoginWorker::new(world.flow.clone(), people).run());
    let call = call(&world);
    for _ in 0..20 {
        turns().await;
        world.clock.advance(Duration::from_millis(100));
    }
    assert_eq!((store.saves.load(Ordering::SeqCst), world.fake.count(AUTHENTICATE)), (0, 1));
    assert!(!call.is_finished(), "the worker keeps it, and tries again");
    // The person logs in somewhere else meanwhile.
    let ends = world.clock.now() + TimeDelta::hours(2);
    let newer = Session::builder(alice(), AccessToken::new("newer").unwrap()).expires_at(ends);
    let newer = newer.build().unwrap();
    world.sessions.insert(newer.clone()).await.unwrap();
    assert_eq!(call.await.unwrap().unwrap(), newer);
    for _ in 0..4 {
        turns().await;
        world.pass(10);
    }
    assert_eq!(world.sessions.get(&alice()).await.unwrap(), newer);
}

#[tokio::test]
async fn a_login_that_waits_to_be_saved_undoes_no_revocation() {
    let store = Arc::new(Failing::default());
    let world = world_with(Arc::clone(&store), |flow| flow);
    store.saves.store(4, Ordering::SeqCst);
    let people = Says(|_, _| code("133575"), watch::Sender::new(0));
    tokio::spawn(LoginWorker::new(world.flow.clone(), people).run());
    let call = call(&world);
    for _ in 0..20 {
        turns().await;
        world.clock.advance(Duration::from_millis(100));
    }
    assert_eq!(store.saves.load(Ordering::SeqCst), 0);
    world.sessions.revoke(&alice()).await.unwrap();
    turns().await;
    world.pass(30);
    turns().await;
    assert!(!call.is_finished(), "the person is to be asked anew");
    assert!(world.sessions.get(&alice()).await.is_err());
}

/// Challenges that are written with a permit each.
#[derive(Debug, Clone)]
struct Held {
    memory: MemoryChallengeStore,
    writes: Arc<Semaphore>,
}

#[async_trait]
impl ChallengeStore for Held {
    async fn load(&self, user: &UserId) -> Result<Option<Challenge>, StoreError> {
        self.memory.load(user).await
    }

    async fn swap(
        &self,
        expected: Option<Revision>,
        new: &Challenge,
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        self.writes.acquire().await.unwrap().forget();
        self.memory.swap(expected, new, now).await
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

#[tokio::test]
async fn nor_does_one_that_the_worker_has_not_heard_of_yet() {
    let store = Arc::new(Failing::default());
    // The send, its outcome, and the attempt are written; that the code is used up is not yet.
    let writes = Arc::new(Semaphore::new(3));
    let held = Held { memory: MemoryChallengeStore::new(), writes: Arc::clone(&writes) };
    let world = world_with(Arc::clone(&store), |flow| flow.challenges(held));
    store.saves.store(4, Ordering::SeqCst);
    let people = Says(|_, _| code("133575"), watch::Sender::new(0));
    tokio::spawn(LoginWorker::new(world.flow.clone(), people).run());
    let call = call(&world);
    for _ in 0..20 {
        turns().await;
        world.clock.advance(Duration::from_millis(100));
    }
    assert_eq!((store.saves.load(Ordering::SeqCst), writes.available_permits()), (0, 0));
    world.sessions.revoke(&alice()).await.unwrap();
    writes.add_permits(1);
    turns().await;
    world.pass(30);
    turns().await;
    assert!(!call.is_finished(), "the person is to be asked anew");
    assert!(world.sessions.get(&alice()).await.is_err());
}
