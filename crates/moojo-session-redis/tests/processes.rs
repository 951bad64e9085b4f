//! Several processes on one Redis, each with a manager in front of it.

mod common;

use std::time::Instant;

use common::{eventually, eventually_some, login, user};
use moojo_session::{Error, SessionManager};
use moojo_session_redis::RedisStore;
use moojo_testkit::Redis;

fn process(redis: &Redis) -> SessionManager {
    SessionManager::new(RedisStore::builder(redis.url()).build().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_process_does_the_others_see() {
    let redis = Redis::start();
    let (here, there) = (process(&redis), process(&redis));
    let (first, second) = (login("alice"), login("alice"));
    here.insert(first.clone()).await.unwrap();
    assert_eq!(there.get(first.user()).await.unwrap(), first);
    // The other process has it in memory now, and hears of what comes after it.
    here.insert(second.clone()).await.unwrap();
    let sees_second = async || there.get(second.user()).await.is_ok_and(|there| there == second);
    eventually("the newer login is seen", sees_second).await;
    here.revoke(second.user()).await.unwrap();
    let is_gone = async || {
        let outcome = there.get(second.user()).await;
        matches!(outcome, Err(Error::ReauthRequired(_)))
    };
    eventually("the removal is seen", is_gone).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_6_an_outage_is_no_reason_to_log_in() {
    let mut redis = Redis::start_durable();
    let manager = process(&redis);
    let (alice, bob) = (login("alice"), login("bob"));
    process(&redis).insert(bob.clone()).await.unwrap();
    manager.insert(alice.clone()).await.unwrap();
    redis.kill();
    let begun = Instant::now();
    while begun.elapsed().as_millis() < 300 {
        // Nobody is asked to log in, whether the session is in memory or not.
        for login in [&alice, &bob] {
            match manager.get(login.user()).await {
                Ok(session) => assert_eq!(&session, login),
                Err(error) => assert!(matches!(error, Error::Store(_)), "{error:?}"),
            }
        }
    }
    redis.restart();
    for login in [&alice, &bob] {
        let get = async || manager.get(login.user()).await.ok();
        assert_eq!(eventually_some("a session after the outage", get).await, *login);
    }
    let nobody = manager.get(&user("nobody")).await;
    assert!(matches!(nobody, Err(Error::ReauthRequired(_))), "{nobody:?}");
}
