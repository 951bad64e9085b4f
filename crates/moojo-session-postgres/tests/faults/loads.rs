//! Many loads at once, which go out together.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use fastrand::Rng;
use futures_util::future::join_all;
use moojo_session::{Session, SessionAdmin, SessionStore, StoreError, StoreErrorKind};
use moojo_session_postgres::PostgresStore;
use moojo_testkit::Postgres;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use crate::{builder, client, eventually, is_outage, login, store, user, with_token};

type Loaded = Result<Option<Session>, StoreError>;

/// Keeps all loads from being answered until it is committed.
const HOLD: &str = "begin; lock table moojo.sessions in access exclusive mode";

/// A load of each user, all begun.
async fn begin(
    store: &PostgresStore,
    users: impl Iterator<Item = usize>,
) -> Vec<JoinHandle<Loaded>> {
    let loads = users.map(|number| {
        let store = store.clone();
        tokio::spawn(async move { store.load(&user(format!("user-{number}"))).await })
    });
    let loads: Vec<_> = loads.collect();
    // Those before it on the connection wait in the server, or behind those that do.
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    loads
}

async fn wait_for_lock(server: &Postgres) {
    let waiting = "select count(*) from pg_stat_activity where wait_event_type = 'Lock'";
    // A transaction would go on to see the connections that it saw first.
    let observer = client(&server.url()).await;
    eventually("a load waits in the server", async || {
        observer.query_one(waiting, &[]).await.unwrap().get::<_, i64>(0) == 1
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_1_loads_that_go_out_together_each_have_their_own() {
    let explained = ["session_preload_libraries=auto_explain", "auto_explain.log_min_duration=0"];
    let mut server =
        Postgres::start(&[explained.as_slice(), &["log_statement=all"]].concat()).await;
    let store = store(&server.url());
    let mut there = HashMap::new();
    for number in (0..400).filter(|number| number % 3 > 0) {
        let session = login(format!("user-{number}"));
        store.save(&session).await.unwrap();
        there.insert(number, session);
    }
    let control = client(&server.url()).await;
    let spoil = "update moojo.sessions set body = '{}' where user_id = 'user-100'";
    control.batch_execute(spoil).await.unwrap();
    let unreadable: String = std::iter::repeat_with(fastrand::alphanumeric).take(7000).collect();
    store.save(&with_token("user-200", &unreadable)).await.unwrap();
    lose_what_is_long(&mut server).await;
    eventually("the store works again", async || store.load(&user("user-0")).await.is_ok()).await;

    let control = client(&server.url()).await;
    control.batch_execute(HOLD).await.unwrap();
    let before = statements(&server);
    // Some of them twice.
    let users = (0..400).chain((0..400).step_by(7));
    let loads = begin(&store, users.clone()).await;
    control.batch_execute("commit").await.unwrap();
    for (number, load) in users.zip(loads) {
        match load.await.unwrap() {
            Ok(session) => assert_eq!(session.as_ref(), there.get(&number), "user-{number}"),
            Err(error) => {
                assert!(number == 100 || number == 200, "user-{number}: {error:?}");
                assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{error:?}");
            }
        }
    }
    // Those that were in one statement with the row that the server cannot read went out once more.
    let made = statements(&server) - before;
    assert!(made < 200, "{made} statements for 458 loads");
    let said = server.said();
    assert!(said.contains("Function Scan on unnest wanted"), "none went out together: {said}");
    assert!(!said.contains("Seq Scan on sessions"), "all sessions were looked through: {said}");
}

/// Prepared statements that the server was given.
fn statements(server: &Postgres) -> usize {
    server.said().lines().filter(|line| line.contains("LOG:  execute ")).count()
}

/// Wipes out what is too long to stand in its row.
async fn lose_what_is_long(server: &mut Postgres) {
    let control = client(&server.url()).await;
    control.batch_execute("checkpoint").await.unwrap();
    let path = "select current_setting('data_directory') || '/' || pg_relation_filepath(reltoastrelid) \
                from pg_class where oid = 'moojo.sessions'::regclass";
    let path: String = control.query_one(path, &[]).await.unwrap().get(0);
    server.kill();
    let length = std::fs::metadata(&path).unwrap().len();
    assert!(length > 0, "there is nothing that is too long");
    std::fs::write(&path, vec![0; length as usize]).unwrap();
    server.restart().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn loads_that_went_out_together_do_not_need_each_other() {
    let server = Postgres::start(&[]).await;
    let store = store(&server.url());
    for number in 0..200 {
        store.save(&login(format!("user-{number}"))).await.unwrap();
    }
    let control = client(&server.url()).await;
    // Whoever leaves: the first ones, which went out, or those who gather behind them.
    // More of them than gather at a time (rule 12).
    for leavers in [0..1000, 500..2500, 2000..3000, 1..3000] {
        control.batch_execute(HOLD).await.unwrap();
        let loads = begin(&store, (0..3000).map(|number| number % 200)).await;
        wait_for_lock(&server).await;
        for load in &loads[leavers.clone()] {
            load.abort();
        }
        control.batch_execute("commit").await.unwrap();
        for (number, load) in loads.into_iter().enumerate() {
            match load.await {
                Ok(loaded) => assert!(loaded.unwrap().is_some(), "user-{number}"),
                Err(left) => assert!(left.is_cancelled() && leavers.contains(&number)),
            }
        }
    }
}

/// The one that the statement is sent on ends, and the load of another gets its answer.
#[test]
fn loads_that_went_out_together_do_not_need_each_others_runtime() {
    let (first, second) = (Runtime::new().unwrap(), Runtime::new().unwrap());
    let (server, store, control) = second.block_on(async {
        let server = Postgres::start(&[]).await;
        let (store, control) = (store(&server.url()), client(&server.url()).await);
        store.save(&login("user-0")).await.unwrap();
        // The connection is of this runtime, and stays.
        assert!(store.load(&user("user-0")).await.unwrap().is_some());
        control.batch_execute(HOLD).await.unwrap();
        (server, store, control)
    });
    first.block_on(async {
        begin(&store, 1..20).await;
        wait_for_lock(&server).await;
    });
    let load = second.block_on(begin(&store, 0..1)).remove(0);
    drop(first);
    second.block_on(async {
        control.batch_execute("commit").await.unwrap();
        assert!(load.await.unwrap().unwrap().is_some());
    });
    drop(server);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_6_loads_that_go_out_together_fail_with_the_server_and_work_after() {
    let mut server = Postgres::start(&["synchronous_commit=on"]).await;
    let limit = std::time::Duration::from_millis(1500);
    let store = builder(&server.url()).operation_timeout(limit).build().unwrap();
    eventually("the store works", async || store.save(&login("user-0")).await.is_ok()).await;
    for freezes in [false, true] {
        let control = client(&server.url()).await;
        control.batch_execute(HOLD).await.unwrap();
        let loads = begin(&store, 0..300).await;
        wait_for_lock(&server).await;
        if freezes {
            server.freeze();
        } else {
            server.kill();
        }
        for load in loads {
            let error = tokio::time::timeout(crate::PATIENCE, load).await.unwrap().unwrap();
            assert!(is_outage(error.as_ref().unwrap_err()), "{error:?}");
        }
        if freezes {
            server.thaw();
            control.batch_execute("commit").await.unwrap();
        } else {
            server.restart().await;
        }
        eventually("all loads work again", async || {
            let mut works = true;
            for (number, load) in begin(&store, 0..300).await.into_iter().enumerate() {
                let loaded = load.await.unwrap();
                works &= loaded.is_ok_and(|session| session.is_some() == (number == 0));
            }
            works
        })
        .await;
    }
}

/// A session whose token says which of the user's it is.
fn numbered(name: &str, number: usize) -> Session {
    with_token(name, &format!("token-{number}"))
}

fn number_of(session: &Session) -> usize {
    let token = session.access_token();
    token.expose_secret().trim_start_matches("token-").parse().unwrap()
}

/// What was acknowledged before a load began, the load sees; and nothing that was not begun.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_load_sees_what_was_saved_before_it_began() {
    const USERS: usize = 8;
    let server = Postgres::start(&[]).await;
    let store = store(&server.url());
    let seed = fastrand::u64(..);
    let begun: Arc<[AtomicUsize; USERS]> = Arc::default();
    let saved: Arc<[AtomicUsize; USERS]> = Arc::default();
    let mut tasks = Vec::new();
    for n in 0..USERS {
        let (store, begun, saved) = (store.clone(), Arc::clone(&begun), Arc::clone(&saved));
        tasks.push(tokio::spawn(async move {
            for number in 1..=150 {
                begun[n].store(number, Ordering::SeqCst);
                store.save(&numbered(&format!("user-{n}"), number)).await.unwrap();
                saved[n].store(number, Ordering::SeqCst);
            }
        }));
    }
    for reader in 0..64 {
        let (store, begun, saved) = (store.clone(), Arc::clone(&begun), Arc::clone(&saved));
        tasks.push(tokio::spawn(async move {
            let mut rng = Rng::with_seed(seed ^ reader);
            while saved.iter().any(|saved| saved.load(Ordering::SeqCst) < 150) {
                let n = rng.usize(..USERS);
                let least = saved[n].load(Ordering::SeqCst);
                let load = tokio::spawn({
                    let store = store.clone();
                    async move { store.load(&user(format!("user-{n}"))).await }
                });
                if rng.u8(..8) == 0 {
                    for _ in 0..rng.u8(..4) {
                        tokio::task::yield_now().await;
                    }
                    load.abort();
                }
                let Ok(loaded) = load.await else { continue };
                let loaded = loaded.unwrap();
                let most = begun[n].load(Ordering::SeqCst);
                assert!(loaded.as_ref().is_none_or(|it| it.user().as_str() == format!("user-{n}")));
                let number = loaded.as_ref().map_or(0, number_of);
                assert!((least..=most).contains(&number), "{least}, {number}, {most}; seed {seed}");
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
}

/// "No limit" is a limit that neither a clock nor the server can hold.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_10_a_limit_may_be_as_long_as_can_be() {
    let mut server = Postgres::start(&[]).await;
    let store = builder(&server.url())
        .operation_timeout(Duration::MAX)
        .connect_timeout(Duration::MAX)
        .build()
        .unwrap();
    let mut feed = store.changes();
    let alice = login("alice");
    store.save(&alice).await.unwrap();
    let users = std::iter::repeat_with(|| alice.user());
    for loaded in join_all(users.take(100).map(|user| store.load(user))).await {
        assert_eq!(loaded.unwrap().as_ref(), Some(&alice));
    }
    assert_eq!(store.count().await.unwrap(), 1);
    assert!(feed.next().await.is_some());
    // Also for those connections that come after the first.
    server.restart().await;
    eventually("the store works again", async || store.load(alice.user()).await.is_ok()).await;
}
