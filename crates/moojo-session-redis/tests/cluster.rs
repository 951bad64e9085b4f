//! Slots that move and masters that die.

mod common;

use std::collections::HashSet;
use std::time::{Duration, Instant};

use common::{eventually, eventually_some, login, next, saved, user};
use moojo_session::{Change, ChangeStream, Session, SessionAdmin, SessionStore};
use moojo_session_redis::RedisStore;
use moojo_testkit::{Redis, RedisCluster};

fn id(node: &Redis) -> String {
    let answer = node.say("CLUSTER MYID").unwrap();
    answer.lines().nth(1).unwrap().to_owned()
}

fn slot_of(node: &Redis, name: &str) -> u16 {
    let answer = node.say(&format!("CLUSTER KEYSLOT {{{name}}}")).unwrap();
    answer[1..].trim().parse().unwrap()
}

async fn assert_there(store: &RedisStore, logins: &[Session]) {
    for login in logins {
        assert_eq!(store.load(login.user()).await.unwrap().as_ref(), Some(login));
    }
}

/// Whether the master's replica has all that it has.
fn is_replicated(master: &Redis) -> bool {
    let info = master.say("INFO replication").unwrap_or_default();
    let after = |name: &str| {
        let (_, rest) = info.split_once(name)?;
        rest.split([',', '\r']).next()?.parse::<u64>().ok()
    };
    let (all, has) = (after("master_repl_offset:"), after(",offset="));
    all.is_some() && all == has
}

async fn listed(store: &RedisStore) -> HashSet<String> {
    let (mut found, mut after) = (HashSet::new(), None);
    loop {
        let page = store.list(after.as_ref(), 10).await.unwrap();
        found.extend(page.sessions.iter().map(|info| info.user.to_string()));
        after = page.next;
        if after.is_none() {
            return found;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_changes() {
    let mut cluster = RedisCluster::start();
    let store = RedisStore::cluster(cluster.urls()).build().unwrap();
    let mut feed = store.changes();
    assert_eq!(next(&mut feed).await, Change::Disconnected);
    assert_eq!(next(&mut feed).await, Change::Lagged);
    let logins: Vec<_> = (0..60).map(|i| login(&format!("user-{i}"))).collect();
    for login in &logins {
        store.save(login).await.unwrap();
        assert_eq!(next(&mut feed).await, saved(login));
    }
    assert_there(&store, &logins).await;

    a_slot_moves(&mut cluster, &store).await;
    assert_there(&store, &logins).await;

    // A master dies, and its replica takes over: what was there is there, once it was replicated.
    let first_page = store.list(None, 10).await.unwrap();
    let master = &cluster.nodes()[0];
    eventually("a replica with everything", async || is_replicated(master)).await;
    cluster.nodes()[0].kill();
    for login in &logins {
        let load = async || store.load(login.user()).await.ok();
        assert_eq!(eventually_some("a load after the failover", load).await.as_ref(), Some(login));
        let save = async || store.save(login).await.is_ok();
        eventually("a save after the failover", save).await;
    }
    // A list that was begun before goes on, and misses nothing.
    let mut found: HashSet<_> =
        first_page.sessions.iter().map(|info| info.user.to_string()).collect();
    let mut after = first_page.next;
    while let Some(place) = after {
        let page = store.list(Some(&place), 10).await.unwrap();
        found.extend(page.sessions.iter().map(|info| info.user.to_string()));
        after = page.next;
    }
    let all: HashSet<_> = logins.iter().map(|login| login.user().to_string()).collect();
    assert!(found.is_superset(&all));
    assert!(listed(&store).await.is_superset(&all));
    a_master_hangs(&mut cluster, &store, &logins).await;
    // The feed hears, wherever it is by now.
    let last = login("last");
    let told = async || {
        store.save(&last).await.unwrap();
        let told = async { while next(&mut feed).await != saved(&last) {} };
        let limit = Duration::from_millis(500);
        tokio::time::timeout(limit, told).await.is_ok()
    };
    eventually("a change", told).await;
    let count = store.count().await.unwrap();
    assert_eq!(store.remove_all().await.unwrap(), count);
    assert_eq!(store.count().await.unwrap(), 0);
    a_node_is_cast_out(&mut cluster, &mut feed).await;
}

/// A master that hangs is replaced. When it goes on, it is the replica of the one that came after it,
/// and what it had received and not done is no longer its to do.
async fn a_master_hangs(cluster: &mut RedisCluster, store: &RedisStore, logins: &[Session]) {
    let hangs = &cluster.nodes()[1];
    eventually("a replica with everything", async || is_replicated(hangs)).await;
    hangs.freeze();
    let begun = Instant::now();
    let attempts = logins.iter().map(|login| store.save(login));
    let outcomes = futures_util::future::join_all(attempts).await;
    assert!(begun.elapsed() < Duration::from_secs(10), "calls end: {:?}", begun.elapsed());
    assert!(outcomes.iter().any(Result::is_err) && outcomes.iter().any(Result::is_ok));
    let newer: Vec<_> = logins.iter().map(|old| login(old.user().as_str())).collect();
    for login in &newer {
        let save = async || store.save(login).await.is_ok();
        eventually("a save while a master hangs", save).await;
    }
    cluster.nodes()[1].thaw();
    let hangs = &cluster.nodes()[1];
    let demoted = async || hangs.say("INFO replication").unwrap().contains("role:slave");
    eventually("the one that hung is a replica", demoted).await;
    for login in &newer {
        let load = async || store.load(login.user()).await.ok();
        assert_eq!(eventually_some("a load after it", load).await.as_ref(), Some(login));
    }
}

/// The node that the feed listens to is forgotten by all others. It answers as before, and hears
/// nothing any more.
async fn a_node_is_cast_out(cluster: &mut RedisCluster, feed: &mut ChangeStream) {
    // The first was killed.
    let nodes = &cluster.nodes()[1..];
    let listens = |node: &&Redis| node.say("CLIENT LIST TYPE pubsub").unwrap().contains("sub=2");
    let cast_out = nodes.iter().find(listens).expect("the feed listens to one of them");
    let its_id = id(cast_out);
    let others: Vec<_> = nodes.iter().filter(|node| id(node) != its_id).collect();
    for node in &others {
        // Its replica does not forget it.
        let _ = node.say(&format!("CLUSTER FORGET {its_id}")).unwrap();
    }
    while next(feed).await != Change::Disconnected {}
    let alice = user("alice");
    let published = async || {
        others[0].say("PUBLISH moojo:changes:0 ralice").unwrap();
        let removed = Change::Removed { user: alice.clone() };
        let told = async { while next(feed).await != removed {} };
        tokio::time::timeout(Duration::from_millis(200), told).await.is_ok()
    };
    eventually("a change", published).await;
}

/// A slot on its way (ASK), and where it has come to (MOVED).
async fn a_slot_moves(cluster: &mut RedisCluster, store: &RedisStore) {
    let nodes = cluster.nodes();
    let slot = slot_of(&nodes[0], "moves");
    store.save(&login("moves")).await.unwrap();
    let owner = nodes
        .iter()
        .take(3)
        .position(|node| node.say(&format!("CLUSTER COUNTKEYSINSLOT {slot}")).unwrap() != ":0\r\n");
    let from = &nodes[owner.unwrap()];
    let to = &nodes[(owner.unwrap() + 1) % 3];
    let (from_id, to_id) = (id(from), id(to));
    assert_eq!(to.say(&format!("CLUSTER SETSLOT {slot} IMPORTING {from_id}")).unwrap(), "+OK\r\n");
    assert_eq!(from.say(&format!("CLUSTER SETSLOT {slot} MIGRATING {to_id}")).unwrap(), "+OK\r\n");
    // What has not moved yet is where it was; what is not there is asked for where it will be.
    assert!(store.load(&user("moves")).await.unwrap().is_some());
    let moved = format!("MIGRATE 127.0.0.1 {} moojo:s:{{moves}} 0 5000", to.port());
    assert_eq!(from.say(&moved).unwrap(), "+OK\r\n");
    let there = store.load(&user("moves")).await.unwrap().expect("it is asked for elsewhere");
    assert!(!store.remove_if_current(&user("moves"), login("moves").id()).await.unwrap());
    let new = login("moves");
    store.save(&new).await.unwrap();
    assert_ne!(there, new);
    for node in [to, from] {
        let done = format!("CLUSTER SETSLOT {slot} NODE {to_id}");
        assert_eq!(node.say(&done).unwrap(), "+OK\r\n");
    }
    assert_eq!(store.load(&user("moves")).await.unwrap(), Some(new.clone()));
    assert!(store.remove_if_current(&user("moves"), new.id()).await.unwrap());
}
