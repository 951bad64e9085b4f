//! Servers that crash and hang, connections that are cut, callers who leave.

mod common;

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use common::{eventually, eventually_some, login, user};
use moojo_session::{
    Admission, LeaseHolder, LeaseStore, Quota, SessionAdmin, SessionStore, StoreErrorKind,
};
use moojo_session_redis::RedisStore;
use moojo_testkit::{Proxy, Redis};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

fn at(port: u16) -> RedisStore {
    RedisStore::builder(format!("redis://127.0.0.1:{port}"))
        .connect_timeout(Duration::from_millis(500))
        .operation_timeout(Duration::from_millis(500))
        .build()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_built_without_a_server_and_connects_when_there_is_one() {
    let mut redis = Redis::start();
    redis.kill();
    let store = at(redis.port());
    let error = store.load(&user("alice")).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{}", common::shown(&error));
    redis.restart();
    let alice = login("alice");
    eventually("a save", async || store.save(&alice).await.is_ok()).await;
    assert_eq!(store.load(alice.user()).await.unwrap(), Some(alice));
}

/// With appendonly and appendfsync always, what was acknowledged is there after `kill -9`, and the
/// store goes on by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_sessions_survive_a_crash() {
    let mut redis = Redis::start_durable();
    let store = at(redis.port());
    let acknowledged = Arc::new(AtomicUsize::new(0));
    let writers: Vec<_> = (0..8)
        .map(|i| {
            let (store, acknowledged) = (store.clone(), Arc::clone(&acknowledged));
            tokio::spawn(async move {
                let mut last = None;
                loop {
                    let next = login(&format!("user-{i}"));
                    if store.save(&next).await.is_err() {
                        // This one may be there or not.
                        return (last, next);
                    }
                    acknowledged.fetch_add(1, Ordering::SeqCst);
                    last = Some(next);
                }
            })
        })
        .collect();
    let enough = async || acknowledged.load(Ordering::SeqCst) > 200;
    eventually("200 saves", enough).await;
    redis.kill();
    redis.restart();
    for writer in writers {
        let (last, unknown) = writer.await.unwrap();
        let load = async || store.load(unknown.user()).await.ok();
        let there = eventually_some("a load after the crash", load).await;
        assert!(there == last || there.as_ref() == Some(&unknown), "{there:?} for {last:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_on_a_frozen_server_end_in_time_and_work_after_it() {
    let redis = Redis::start();
    let store = at(redis.port());
    let (alice, bob) = (login("alice"), login("bob"));
    store.save(&alice).await.unwrap();
    store.save(&bob).await.unwrap();
    redis.freeze();
    let begun = Instant::now();
    let holder = LeaseHolder::random();
    // Twice: on the connection that was there, and on one that cannot be made.
    for _ in 0..2 {
        let (a, b, c, d, e) = tokio::join!(
            SessionStore::load(&store, alice.user()),
            store.remove_if_current(bob.user(), alice.id()),
            store.acquire(alice.user(), holder, Duration::from_secs(60)),
            moojo_session::ChallengeStore::load(&store, alice.user()),
            store.count(),
        );
        let errors = [a.err(), b.err(), c.err(), d.err(), e.err()];
        for error in errors.map(|error| error.expect("nobody answers")) {
            let kind = error.kind();
            let expected = [StoreErrorKind::TimedOut, StoreErrorKind::Unavailable];
            assert!(expected.contains(&kind), "{}", common::shown(&error));
        }
    }
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    redis.thaw();
    let load = async || SessionStore::load(&store, alice.user()).await.ok();
    assert_eq!(eventually_some("a load after the thaw", load).await, Some(alice));
    assert_eq!(SessionStore::load(&store, bob.user()).await.unwrap(), Some(bob));
}

/// The answer that comes too late is nobody's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_1_a_late_answer_goes_to_nobody_else() {
    let redis = Redis::start();
    let proxy = Proxy::start(redis.port()).await;
    let store = RedisStore::builder(format!("redis://127.0.0.1:{}", proxy.port()))
        .operation_timeout(Duration::from_millis(60))
        .build()
        .unwrap();
    let (alice, bob) = (login("alice"), login("bob"));
    store.save(&alice).await.unwrap();
    store.save(&bob).await.unwrap();
    for round in 0..20 {
        eventually("a load", async || store.load(alice.user()).await.is_ok()).await;
        proxy.freeze();
        // Some of the callers leave before the time is over.
        let load = store.load(alice.user());
        let left = tokio::time::timeout(Duration::from_millis(round * 5), load).await;
        assert!(left.is_err() || left.is_ok_and(|answer| answer.is_err()));
        proxy.heal();
        let loads = (0..4).map(|_| store.load(bob.user()));
        for answer in futures_util::future::join_all(loads).await {
            match answer {
                Ok(session) => assert_eq!(session.as_ref(), Some(&bob)),
                Err(error) => assert_ne!(error.kind(), StoreErrorKind::Corrupt),
            }
        }
    }
}

/// Cuts the connection at each byte of a save and of what goes beside it, and of the answers. An
/// answer is the right one or an error, and the store holds the old session or the new one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_save_that_is_cut_anywhere_has_happened_or_not() {
    let redis = Redis::start();
    let proxy = Proxy::start(redis.port()).await;
    let store = at(proxy.port());
    let bob = login("bob");
    store.save(&bob).await.unwrap();
    let mut old = login("alice");
    store.save(&old).await.unwrap();
    for (cut, most) in
        [(Proxy::cut_after_sent as fn(&Proxy, u64), 900), (Proxy::cut_after_received, 600)]
    {
        let (mut lost, mut went_through) = (0, 0);
        for bytes in 0..most {
            // There is a connection, which is cut, and not one that is made.
            eventually("a load", async || store.load(bob.user()).await.is_ok()).await;
            let new = login("alice");
            cut(&proxy, bytes);
            let (saved, loaded) = tokio::join!(store.save(&new), store.load(bob.user()));
            proxy.heal();
            if let Ok(loaded) = loaded {
                assert_eq!(loaded.as_ref(), Some(&bob), "cut after {bytes} bytes");
            }
            let load = async || store.load(new.user()).await.ok();
            let there = eventually_some("a load after the cut", load).await.expect("a session");
            assert!(there == new || (saved.is_err() && there == old), "cut after {bytes} bytes");
            lost += usize::from(there == old);
            went_through = if saved.is_ok() { went_through + 1 } else { 0 };
            old = there;
            if went_through > 20 {
                break;
            }
        }
        assert!(went_through > 20, "the last cuts were after the save");
        // All of the answers come after the save.
        assert!((lost > 100) == (most == 900), "{lost} saves did not happen");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removal_that_is_cut_anywhere_has_happened_or_not() {
    let redis = Redis::start();
    let proxy = Proxy::start(redis.port()).await;
    let store = at(proxy.port());
    for cut in [Proxy::cut_after_sent as fn(&Proxy, u64), Proxy::cut_after_received] {
        let mut went_through = 0;
        // Long enough for the script, which the server does not know at first.
        for bytes in 0..1000 {
            let alice = login("alice");
            eventually("a save", async || store.save(&alice).await.is_ok()).await;
            cut(&proxy, bytes);
            let removed = store.remove_if_current(alice.user(), alice.id()).await;
            proxy.heal();
            let load = async || store.load(alice.user()).await.ok();
            let there = eventually_some("a load after the cut", load).await;
            match removed {
                Ok(removed) => assert!(removed && there.is_none(), "cut after {bytes} bytes"),
                Err(_) => assert!(there.is_none_or(|there| there == alice)),
            }
            went_through = if removed.is_ok() { went_through + 1 } else { 0 };
            if went_through > 5 {
                break;
            }
        }
        assert!(went_through > 5, "the last cuts were after the removal");
    }
}

/// Callers leave at random points while others go on: each gets only what is the user's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_1_users_do_not_mix_when_callers_leave() {
    let redis = Redis::start();
    let store = at(redis.port());
    let tasks = (0..16).map(|i| {
        let store = store.clone();
        tokio::spawn(async move {
            let mut random = fastrand::Rng::with_seed(i);
            let name = format!("user-{i}");
            let mut answers = 0;
            for _ in 0..400 {
                let session = login(&name);
                let wait = Duration::from_micros(random.u64(0..2000));
                let call = async {
                    match random.u8(0..4) {
                        0 => store.save(&session).await,
                        1 => {
                            let removed = store.remove_if_current(session.user(), session.id());
                            removed.await.map(|removed| assert!(!removed))
                        }
                        _ => store.load(session.user()).await.map(|loaded| {
                            if let Some(loaded) = loaded {
                                assert_eq!(loaded.user(), session.user());
                                let token = loaded.access_token();
                                assert_eq!(token.expose_secret(), format!("planted-{name}"));
                            }
                        }),
                    }
                };
                match tokio::time::timeout(wait, call).await {
                    Ok(Ok(())) => answers += 1,
                    Ok(Err(error)) => panic!("{}", common::shown(&error)),
                    Err(_) => {}
                }
            }
            answers
        })
    });
    let mut answers = 0;
    for task in tasks.collect::<Vec<_>>() {
        answers += task.await.unwrap();
    }
    assert!(answers > 100, "most callers left: {answers} answers");
}

/// A network that has forgotten a connection closes nothing and delivers nothing. Callers who leave
/// before the call's own limit do not keep the store from finding out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_the_network_forgot_is_replaced() {
    let redis = Redis::start();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (forget, forgotten) = watch::channel(false);
    let server = redis.port();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, server)).await.unwrap();
            // Those that are made later are remembered.
            let mut forgotten = forgotten.clone();
            let old = !*forgotten.borrow_and_update();
            tokio::spawn(async move {
                let passing = copy_bidirectional(&mut client, &mut server);
                tokio::select! {
                    _ = passing => return,
                    Ok(()) = forgotten.changed(), if old => {}
                }
                // It keeps both ends, and looks at neither.
                std::future::pending::<()>().await;
            });
        }
    });
    let store = at(port);
    let alice = login("alice");
    store.save(&alice).await.unwrap();
    forget.send(true).unwrap();
    let load = async || {
        let hurried = tokio::time::timeout(Duration::from_millis(50), store.load(alice.user()));
        hurried.await.ok()?.ok()
    };
    assert_eq!(eventually_some("a load on a new connection", load).await, Some(alice));
}

/// A call whose answer is lost has failed, although a new connection would work: what may have been
/// carried out is not sent again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_carried_out_twice() {
    let redis = Redis::start();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let lose_next = Arc::new(AtomicBool::new(false));
    let (server, lose) = (redis.port(), Arc::clone(&lose_next));
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect((Ipv4Addr::LOCALHOST, server)).await.unwrap();
            let lose = Arc::clone(&lose);
            tokio::spawn(async move {
                let ((mut asks, mut hears), (mut says, mut takes)) =
                    (client.into_split(), server.into_split());
                let answers = async {
                    let mut buffer = [0; 4096];
                    while let Ok(read @ 1..) = says.read(&mut buffer).await {
                        if lose.swap(false, Ordering::SeqCst) {
                            return;
                        }
                        hears.write_all(&buffer[..read]).await.unwrap();
                    }
                };
                tokio::select! {
                    _ = tokio::io::copy(&mut asks, &mut takes) => {}
                    () = answers => {}
                }
            });
        }
    });
    let store = at(port);
    let (alice, now) = (login("alice"), chrono::Utc::now());
    let quota = Quota { key: "sends", limit: 3, window: Duration::from_secs(60) };
    let admit = |now| moojo_session::ChallengeStore::admit(&store, &quota, now);
    let removed = || store.remove_if_current(alice.user(), alice.id());
    // The server knows the scripts.
    store.save(&alice).await.unwrap();
    assert!(removed().await.unwrap());
    store.save(&alice).await.unwrap();
    assert_eq!(admit(now).await.unwrap(), Admission::Granted);

    lose_next.store(true, Ordering::SeqCst);
    assert_eq!(removed().await.unwrap_err().kind(), StoreErrorKind::Unavailable);
    assert!(!removed().await.unwrap());
    lose_next.store(true, Ordering::SeqCst);
    assert!(admit(now).await.is_err());
    assert_eq!(admit(now).await.unwrap(), Admission::Granted);
    assert!(matches!(admit(now).await.unwrap(), Admission::Refused { .. }));
}
