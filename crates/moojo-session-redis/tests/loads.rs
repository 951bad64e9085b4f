//! Many loads at once, which go to the server together: each gets its own answer.

mod common;

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::{PATIENCE, eventually, eventually_some, login, user};
use futures_util::future::{join_all, poll_immediate};
use moojo_session::{AccessToken, Session, SessionStore, StoreErrorKind};
use moojo_session_redis::RedisStore;
use moojo_testkit::Redis;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

fn at(redis: &Redis) -> RedisStore {
    RedisStore::builder(redis.url()).operation_timeout(Duration::from_millis(500)).build().unwrap()
}

/// As `at`, with a limit that a busy machine keeps.
fn patient(redis: &Redis) -> RedisStore {
    RedisStore::builder(redis.url()).operation_timeout(PATIENCE).build().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_1_each_load_gets_its_own_answer() {
    let redis = Redis::start();
    let store = patient(&redis);
    let logins: Vec<_> = (0..300).map(|i| login(&format!("user-{i}"))).collect();
    for (i, login) in logins.iter().enumerate() {
        match i % 6 {
            1 => redis.say(&format!("SET moojo:s:{{user-{i}}} planted")).unwrap(),
            2 => redis.say(&format!("LPUSH moojo:s:{{user-{i}}} planted")).unwrap(),
            3 => redis.say(&format!("COPY moojo:s:{{user-0}} moojo:s:{{user-{i}}}")).unwrap(),
            4 => continue,
            _ => {
                store.save(login).await.unwrap();
                continue;
            }
        };
    }
    for _ in 0..20 {
        let loads = join_all(logins.iter().map(|login| store.load(login.user()))).await;
        for (i, (login, loaded)) in logins.iter().zip(loads).enumerate() {
            let loaded = loaded.map_err(|error| {
                assert!(!common::shown(&error).contains("planted"), "rule 13");
                error.kind()
            });
            match i % 6 {
                1 | 3 => assert_eq!(loaded, Err(StoreErrorKind::Corrupt), "user-{i}"),
                2 => assert_eq!(loaded, Err(StoreErrorKind::Refused), "user-{i}"),
                4 => assert_eq!(loaded, Ok(None), "user-{i}"),
                _ => assert_eq!(loaded, Ok(Some(login.clone())), "user-{i}"),
            }
        }
    }
}

/// What happened to a user, one thing after the other, and how far that has come.
struct History {
    name: String,
    /// Whether a change left a session, whose token then ends in the change's number.
    saves: Vec<bool>,
    begun: AtomicUsize,
    acknowledged: AtomicUsize,
}

impl History {
    fn new(number: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(number);
        // Before the first change there is nothing.
        let saves = (0..200).map(|change| change > 0 && random.u8(0..4) > 0).collect();
        Self { name: format!("user-{number}"), saves, begun: 0.into(), acknowledged: 0.into() }
    }

    async fn write(&self, store: &RedisStore) {
        for (change, saves) in self.saves.iter().enumerate().skip(1) {
            self.begun.store(change, Ordering::SeqCst);
            if *saves {
                let token = AccessToken::new(format!("{}-{change}", self.name)).unwrap();
                let session = Session::builder(user(&self.name), token)
                    .expires_at(chrono::Utc::now() + chrono::TimeDelta::hours(1));
                store.save(&session.build().unwrap()).await.unwrap();
            } else {
                store.remove(&user(&self.name)).await.unwrap();
            }
            self.acknowledged.store(change, Ordering::SeqCst);
        }
    }

    /// Loads, and says whether all is over.
    async fn check(&self, store: &RedisStore, patience: Duration) -> bool {
        let first = self.acknowledged.load(Ordering::SeqCst);
        let name = user(&self.name);
        let Ok(loaded) = timeout(patience, store.load(&name)).await else { return false };
        let loaded = loaded.unwrap().map(|session| {
            assert_eq!(session.user(), &name);
            session.access_token().expose_secret().to_owned()
        });
        let last = self.begun.load(Ordering::SeqCst);
        let left = |change: usize| self.saves[change].then(|| format!("{}-{change}", self.name));
        let is_true = (first..=last).any(|change| left(change) == loaded);
        assert!(is_true, "{loaded:?} after {first} to {last} of {}", self.name);
        first + 1 == self.saves.len()
    }
}

/// A load sees what was acknowledged before it began, or what came after that, and never anybody
/// else's; whoever leaves meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_1_loads_tell_the_truth_while_it_changes() {
    let redis = Redis::start();
    let store = patient(&redis);
    let histories: Vec<_> = (0..8).map(|number| Arc::new(History::new(number))).collect();
    let mut tasks = Vec::new();
    for history in &histories {
        let (history, store) = (Arc::clone(history), store.clone());
        tasks.push(tokio::spawn(async move { history.write(&store).await }));
    }
    for reader in 0..64 {
        let (histories, store) = (histories.clone(), store.clone());
        tasks.push(tokio::spawn(async move {
            let mut random = fastrand::Rng::with_seed(reader);
            let mut over = vec![false; histories.len()];
            while over.contains(&false) {
                let which = random.usize(..histories.len());
                let patience = match random.u8(0..3) {
                    0 => Duration::from_micros(random.u64(0..500)),
                    _ => PATIENCE,
                };
                over[which] |= histories[which].check(&store, patience).await;
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_10_loads_of_a_frozen_server_end_and_work_after_it() {
    let redis = Redis::start();
    let store = at(&redis);
    let logins: Vec<_> = (0..300).map(|i| login(&format!("user-{i}"))).collect();
    for login in &logins {
        store.save(login).await.unwrap();
    }
    redis.freeze();
    // Twice: on the connection that was there, and on one that cannot be made.
    for _ in 0..2 {
        let loads = join_all(logins.iter().map(|login| store.load(login.user())));
        let loads = timeout(PATIENCE, loads).await.expect("all of them end");
        for error in loads.into_iter().map(|loaded| loaded.expect_err("nobody answers")) {
            let expected = [StoreErrorKind::TimedOut, StoreErrorKind::Unavailable];
            assert!(expected.contains(&error.kind()), "{}", common::shown(&error));
        }
    }
    redis.thaw();
    for login in &logins {
        let load = async || store.load(login.user()).await.ok();
        assert_eq!(eventually_some("a load after the thaw", load).await.as_ref(), Some(login));
    }
}

/// Each call is a box of its own, and allocators hand out small ones without a lock.
#[tokio::test]
async fn the_future_of_a_call_is_small() {
    let store = RedisStore::builder("redis://192.0.2.1").build().unwrap();
    let alice = login("alice");
    assert!(size_of_val(&*store.load(alice.user())) <= 512);
    assert!(size_of_val(&*store.save(&alice)) <= 512);
}

/// "No limit" is a limit that no clock can add to a moment.
#[tokio::test]
async fn rule_10_a_limit_may_be_as_long_as_can_be() {
    let redis = Redis::start();
    let store = RedisStore::builder(redis.url())
        .operation_timeout(Duration::MAX)
        .connect_timeout(Duration::MAX)
        .build()
        .unwrap();
    let alice = login("alice");
    store.save(&alice).await.unwrap();
    for loaded in join_all((0..100).map(|_| store.load(alice.user()))).await {
        assert_eq!(loaded.unwrap().as_ref(), Some(&alice));
    }
}

/// A caller who has asked and does not look for the answer keeps nobody waiting.
#[tokio::test]
async fn rule_10_callers_who_stand_still_hold_up_nobody() {
    let redis = Redis::start();
    let store = patient(&redis);
    let alice = login("alice");
    store.save(&alice).await.unwrap();
    let still = (0..20).map(|_| store.load(alice.user()));
    let mut still: Vec<_> = still.collect();
    for load in &mut still {
        assert!(poll_immediate(load.as_mut()).await.is_none(), "it waits for the server");
    }
    for _ in 0..10 {
        let load = pin!(store.load(alice.user()));
        assert_eq!(load.await.unwrap().as_ref(), Some(&alice));
    }
    for loaded in join_all(still).await {
        assert_eq!(loaded.unwrap().as_ref(), Some(&alice));
    }
}

/// A runtime on which loads are under way, and which nobody drives any more.
fn left_alone(store: &RedisStore, redis: &Redis, alice: &Session) -> Runtime {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        store.save(alice).await.unwrap();
        redis.freeze();
        let loads = join_all((0..300).map(|_| store.load(alice.user())));
        assert!(timeout(Duration::from_millis(50), loads).await.is_err(), "nobody answers");
    });
    redis.thaw();
    runtime
}

#[test]
fn rule_10_loads_need_no_runtime_but_their_own() {
    let redis = Redis::start();
    let store = at(&redis);
    let alice = login("alice");
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    for goes in [false, true] {
        let other = left_alone(&store, &redis, &alice);
        let other = (!goes).then_some(other);
        let all = async || {
            let loads = join_all((0..100).map(|_| store.load(alice.user()))).await;
            let is_there =
                |loaded: Result<Option<Session>, _>| loaded.ok() == Some(Some(alice.clone()));
            loads.into_iter().all(is_there)
        };
        runtime.block_on(eventually("100 loads at once", all));
        drop(other);
    }
}
