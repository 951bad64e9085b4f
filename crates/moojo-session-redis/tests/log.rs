//! What the log says of a feed that may not listen, or cannot.

mod common;

use common::next;
use moojo_session::{Change, SessionStore};
use moojo_session_redis::RedisStore;
use moojo_testkit::{Log, Redis, free_port};

/// One thread, whose log it is.
#[tokio::test]
async fn a_feed_that_may_not_listen_says_so_once() {
    let (log, _guard) = Log::of_thread();
    let redis = Redis::start();
    redis.say("ACL SETUSER agent on >planted ~* &* +@all -subscribe").unwrap();
    let url = redis.url().replace("//", "//agent:planted@");
    let store = RedisStore::builder(url).build().unwrap();
    store.check().await.unwrap();
    let mut feed = store.changes();
    assert_eq!(next(&mut feed).await, Change::Disconnected);
    let attempts = async |count: usize| {
        let denied = async || {
            let told = redis.say("ACL LOG").unwrap();
            let times = told.split("count\r\n:").nth(1).and_then(|rest| rest.lines().next());
            times.is_some_and(|times| times.parse::<usize>().unwrap() >= count)
        };
        common::eventually("attempts", denied).await;
    };
    attempts(4).await;
    let warned = log.lines_with(&["WARN", "the session store fails", "what=\"change feed\""]);
    assert_eq!(warned.len(), 1, "{warned:?}");
    assert!(warned[0].contains("the store refused: Redis answered NOPERM"), "{warned:?}");

    redis.say("ACL SETUSER agent +subscribe").unwrap();
    assert_eq!(next(&mut feed).await, Change::Lagged);
    let works = ["INFO", "the session store works again", "what=\"change feed\""];
    assert_eq!(log.lines_with(&works).len(), 1);
    assert_eq!(log.lines_with(&["WARN"]).len(), 1, "{:?}", log.lines_with(&[]));
    assert!(log.lines_with(&["planted"]).is_empty(), "rule 13");
}

/// One thread, whose log it is.
#[tokio::test]
async fn rule_13_a_feed_without_a_server_says_where_it_looked_and_not_as_whom() {
    let (log, _guard) = Log::of_thread();
    let port = free_port();
    let store = RedisStore::builder(format!("redis://agent:planted@127.0.0.1:{port}"));
    let mut feed = store.build().unwrap().changes();
    assert_eq!(next(&mut feed).await, Change::Disconnected);
    let says = format!("no connection to Redis at 127.0.0.1:{port}: Connection refused");
    let lines = ["WARN", "the session store fails", "what=\"change feed\"", &says];
    let said = async || !log.lines_with(&lines).is_empty();
    common::eventually("a warning", said).await;
    for secret in ["agent", "planted"] {
        assert!(log.lines_with(&[secret]).is_empty(), "{:?}", log.lines_with(&[]));
    }
}
