//! What somebody can get wrong who sets a store up: the error says what, and shows no secret.

mod common;

use common::{login, shown, user};
use moojo_session::{Chain, Change, SessionStore, StoreError, StoreErrorKind};
use moojo_session_redis::RedisStore;
use moojo_testkit::{Redis, RedisCluster, Sentinel, free_port};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

fn at(url: String) -> RedisStore {
    RedisStore::builder(url).build().unwrap()
}

#[track_caller]
fn assert_refused<T: std::fmt::Debug>(outcome: Result<T, StoreError>, why: &str) {
    let error = outcome.unwrap_err();
    let text = Chain(&error).to_string();
    assert_eq!(error.kind(), StoreErrorKind::Refused, "{text}");
    assert!(text.contains(why), "{text}");
    let shown = shown(&error);
    for secret in ["planted", "agent"] {
        assert!(!shown.contains(secret), "rule 13: {shown}");
    }
}

const LOGIN: &str = "refused the user name or the password";

/// Wrong passwords and users, of a server that wants a login.
const WRONG: [&str; 4] =
    [":planted@", "agent:planted@", "agent-unknown:planted@", "agent-off:right@"];

fn guard(redis: &Redis) {
    let all = "~* &* +@all";
    redis.say(&format!("ACL SETUSER agent on >right {all}")).unwrap();
    redis.say(&format!("ACL SETUSER agent-off off >right {all}")).unwrap();
    redis.say("ACL SETUSER default resetpass >planted-default").unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_13_a_wrong_login_is_said_to_be_one() {
    let redis = Redis::start();
    // A password where there is none.
    assert_refused(at(redis.url().replace("//", "//:planted@")).check().await, LOGIN);
    guard(&redis);
    for database in ["", "/3"] {
        let with = |login: &str| {
            at(format!("{}{database}", redis.url().replace("//", &format!("//{login}"))))
        };
        for wrong in WRONG {
            assert_refused(with(wrong).check().await, LOGIN);
            assert_refused(with(wrong).load(&user("alice")).await, LOGIN);
            assert_refused(with(wrong).save(&login("alice")).await, LOGIN);
        }
        assert_refused(with("").check().await, "NOAUTH: it wants a login");
        with("agent:right@").check().await.unwrap();
        with(":planted-default@").check().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_13_a_wrong_login_of_a_cluster_is_said_to_be_one() {
    let mut cluster = RedisCluster::start();
    cluster.nodes().iter().for_each(guard);
    let with = |login: &str| {
        let mut urls = cluster.urls();
        // One of the nodes is away, whichever is asked first.
        urls.push(format!("redis://127.0.0.1:{}", free_port()));
        let urls = urls.into_iter().map(|url| url.replace("//", &format!("//{login}")));
        RedisStore::cluster(urls).build().unwrap()
    };
    for wrong in WRONG {
        assert_refused(with(wrong).check().await, LOGIN);
        assert_refused(with(wrong).load(&user("alice")).await, LOGIN);
    }
    assert_refused(with("").check().await, "NOAUTH");
    for _ in 0..20 {
        with("agent:right@").check().await.unwrap();
    }
    // A node by itself, and a database that it has not.
    let node = cluster.nodes()[0].url().replace("//", "//agent:right@");
    assert_refused(at(format!("{node}/1")).check().await, "a node of a cluster has 0 only");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_13_a_wrong_login_behind_sentinels_is_said_to_be_one() {
    let master = Redis::start();
    guard(&master);
    let sentinel = Sentinel::start(master.port());
    let with = |login: &str| {
        let urls = [free_port(), sentinel.port()];
        let urls = urls.map(|port| format!("redis://{login}127.0.0.1:{port}"));
        RedisStore::sentinel(urls, "mymaster").build().unwrap()
    };
    for wrong in WRONG {
        assert_refused(with(wrong).check().await, LOGIN);
    }
    assert_refused(with("").check().await, "NOAUTH");
    with("agent:right@").check().await.unwrap();
    // It is not the master's login that is wrong then.
    sentinel.say("ACL SETUSER default resetpass >planted").unwrap();
    assert_refused(with("agent:right@").check().await, "a sentinel wants a login (NOAUTH)");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_the_server_has_not_is_named() {
    let redis = Redis::start();
    at(format!("{}/15", redis.url())).check().await.unwrap();
    for none in [16, 99, i32::MAX] {
        let store = at(format!("{}/{none}", redis.url()));
        assert_refused(store.check().await, "refused the database of the URL");
        assert_refused(store.load(&user("alice")).await, "16 unless set");
    }
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_is_reached_by_its_socket() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("redis.sock");
    let path = socket.to_str().unwrap();
    let redis = Redis::start_with(&["--unixsocket", path]);
    guard(&redis);
    let url = format!("unix://{path}?db=3&user=agent&pass=right");
    let (here, there) = (at(url), at(format!("{}/3", redis.url().replace("//", "//agent:right@"))));
    let mut feed = here.changes();
    let alice = login("alice");
    assert_eq!(common::next(&mut feed).await, Change::Disconnected);
    assert_eq!(common::next(&mut feed).await, Change::Lagged);
    there.save(&alice).await.unwrap();
    assert_eq!(common::next(&mut feed).await, common::saved(&alice));
    assert_eq!(here.load(alice.user()).await.unwrap(), Some(alice));
    assert_refused(at(format!("unix://{path}?user=agent&pass=planted")).check().await, LOGIN);

    let nowhere = folder.path().join("none.sock");
    let error = at(format!("unix://{}", nowhere.display())).check().await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    assert!(Chain(&error).to_string().contains("No such file"), "{}", Chain(&error));
}

/// What the documentation says that the user needs. It is enough: the conformance tests have no more.
const RIGHTS: &str = "+get +set +del +getrange +pttl +pexpire +zadd +zcard +zrange +zremrangebylex \
                      +zremrangebyrank +eval +evalsha +publish +subscribe +ping";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_finds_every_right_that_is_missing_and_leaves_nothing() {
    let redis = Redis::start();
    let say = |command: String| assert_eq!(redis.say(&command).unwrap(), "+OK\r\n", "{command}");
    let user = |rights: &str| {
        say(format!("ACL SETUSER served reset on >right ~moojo:* resetchannels &moojo:* {rights}"));
        at(redis.url().replace("//", "//served:right@"))
    };
    user(RIGHTS).check().await.unwrap();
    for right in RIGHTS.split(' ').filter(|right| !["+subscribe", "+ping"].contains(right)) {
        let store = user(&format!("{RIGHTS} {}", right.replace('+', "-")));
        // A script that the server knows is not sent again.
        say("SCRIPT FLUSH".to_owned());
        let error = store.check().await;
        assert!(error.is_err(), "{right} is not missed");
        assert_refused(error, "");
    }
    for channels in ["resetchannels", "resetchannels &other:*", "resetkeys ~other:*"] {
        assert_refused(user(&format!("{RIGHTS} {channels}")).check().await, "");
    }
    user(RIGHTS).check().await.unwrap();
    say("CONFIG SET maxmemory 1".to_owned());
    assert_refused(user(RIGHTS).check().await, "OOM: it has come to its `maxmemory`");
    say("CONFIG SET maxmemory 0".to_owned());

    // A check that has not the right to go on may leave its key for a minute.
    let keys = redis.say("KEYS *").unwrap();
    for key in keys.lines().filter(|line| line.starts_with("moojo:")) {
        assert_ne!(redis.say(&format!("PTTL {key}")).unwrap(), ":-1\r\n", "{key} stays for ever");
    }
    redis.say("FLUSHALL").unwrap();
    user(RIGHTS).check().await.unwrap();
    assert_eq!(redis.say("DBSIZE").unwrap(), ":0\r\n", "{keys}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_finds_a_server_that_drops_sessions() {
    let redis = Redis::start();
    let say = |command: &str| assert_eq!(redis.say(command).unwrap(), "+OK\r\n", "{command}");
    let store = at(redis.url());
    let policy = |policy: &str| say(&format!("CONFIG SET maxmemory-policy {policy}"));
    // Without a limit, nothing is dropped.
    policy("allkeys-lru");
    store.check().await.unwrap();
    say("CONFIG SET maxmemory 100mb");
    for evicts in ["allkeys-lru", "allkeys-random", "volatile-lru", "volatile-ttl"] {
        policy(evicts);
        assert_refused(store.check().await, &format!("`maxmemory-policy` is {evicts}"));
    }
    let lets_it = RedisStore::builder(redis.url()).allow_eviction().build().unwrap();
    lets_it.check().await.unwrap();

    // Whoever has not the right to see it is not refused, and asks once.
    say(&format!("ACL SETUSER served on >right ~moojo:* resetchannels &moojo:* {RIGHTS}"));
    let served = at(redis.url().replace("//", "//served:right@"));
    for _ in 0..3 {
        served.check().await.unwrap();
    }
    let refused = redis.say("ACL LOG").unwrap();
    assert!(refused.contains("count\r\n:1\r\n") && refused.contains("info"), "{refused}");
    assert_eq!(refused.matches("count\r\n").count(), 1, "{refused}");
    say("ACL SETUSER served +info");
    let served = at(redis.url().replace("//", "//served:right@"));
    assert_refused(served.check().await, "Set it to noeviction");

    policy("noeviction");
    for store in [store, served] {
        store.check().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_says_whether_the_server_is_there() {
    let mut redis = Redis::start();
    let store = at(redis.url().replace("//", "//agent:planted@"));
    let address = format!("Redis at 127.0.0.1:{}", redis.port());
    let agent = "ACL SETUSER agent on >planted ~* &* +@all";
    redis.say(agent).unwrap();
    store.check().await.unwrap();
    redis.kill();
    // The connection that was there ends, or has ended: which of it is first noticed.
    for _ in 0..2 {
        let error = store.check().await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{}", Chain(&error));
        assert!(Chain(&error).to_string().contains(&address), "{}", Chain(&error));
        assert!(!shown(&error).contains("planted"), "rule 13: {}", shown(&error));
    }
    redis.restart();
    redis.say(agent).unwrap();
    common::eventually("a check", async || store.check().await.is_ok()).await;
    redis.freeze();
    let error = store.check().await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::TimedOut, "{}", Chain(&error));
    assert!(Chain(&error).to_string().contains(&address), "{}", Chain(&error));
    let error = store.check().await.unwrap_err();
    let too_slow = format!("no connection to {address}: it takes too long");
    assert!(Chain(&error).to_string().contains(&too_slow), "{}", Chain(&error));
    redis.thaw();
    redis.say(&format!("REPLICAOF 127.0.0.1 {}", free_port())).unwrap();
    let error = store.check().await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{}", Chain(&error));
    assert!(Chain(&error).to_string().contains("READONLY: it is a replica"), "{}", Chain(&error));
}

/// A web server, say, on the port of a URL.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_redis_is_said_to_be_none() {
    let web = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = web.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut visitor, _) = web.accept().await.unwrap();
            let mut asked = [0; 1024];
            let _ = visitor.read(&mut asked).await;
            let _ = visitor.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\nplanted").await;
        }
    });
    let store = at(format!("redis://agent:planted@{address}"));
    for error in [store.check().await, store.save(&login("alice")).await] {
        let error = error.unwrap_err();
        let text = Chain(&error).to_string();
        let says = format!(
            "no connection to Redis at {address}: what answers there does not speak Redis' protocol"
        );
        assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{text}");
        assert!(text.contains(&says), "{text}");
        assert!(!shown(&error).contains("planted"), "rule 13: {}", shown(&error));
    }
}
