//! Connections that end in the middle of a command.

use std::sync::Arc;

use moojo_session::{Change, SessionStore, StoreErrorKind};
use moojo_testkit::{Postgres, Proxy};

use crate::{builder, eventually, is_outage, login, store, user};

/// At many places, of what is sent and of what is answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_on_a_cut_connection_fails_or_succeeds_as_a_whole() {
    let server = Postgres::start(&[]).await;
    let direct = store(&server.url());
    let bob = login("bob");
    direct.save(&bob).await.unwrap();
    let (mut failed, mut succeeded) = (0, 0);
    for place in (1..1200).step_by(29) {
        for sent in [true, false] {
            let proxy = Proxy::start(server.port()).await;
            let store = store(&server.url_through(proxy.port()));
            // Another user each time: what is under way as a connection is lost may still happen
            // after the store has gone.
            let alice = format!("alice-{place}-{sent}");
            let (old, new, nobody) = (login(&alice), login(&alice), user("nobody"));
            store.save(&old).await.unwrap();
            assert_eq!(store.load(bob.user()).await.unwrap().as_ref(), Some(&bob));

            if sent {
                proxy.cut_after_sent(place)
            } else {
                proxy.cut_after_received(place)
            }
            let (saved, alice, bobs, removed) = tokio::join!(
                store.save(&new),
                store.load(old.user()),
                store.load(bob.user()),
                store.remove(&nobody),
            );
            // Whatever is answered is the answer to that call (rule 1).
            for answer in [&alice, &bobs] {
                assert!(answer.as_ref().err().is_none_or(is_outage), "{answer:?}");
            }
            if let Ok(alice) = alice {
                assert!(alice == Some(old.clone()) || alice == Some(new.clone()));
            }
            if let Ok(bobs) = bobs {
                assert_eq!(bobs.as_ref(), Some(&bob));
            }
            if let Ok(removed) = removed {
                assert!(!removed);
            }
            *(if saved.is_ok() { &mut succeeded } else { &mut failed }) += 1;

            let there = direct.load(old.user()).await.unwrap();
            let is_new = there.as_ref() == Some(&new);
            assert!(is_new || (saved.is_err() && there.as_ref() == Some(&old)), "{there:?}");
        }
    }
    assert!(failed > 5 && succeeded > 5, "cut at the wrong places: {failed}, {succeeded}");
}

/// The same connection is used by thousands of calls, many of which are left before their answer
/// comes: nobody gets the answer of another (rule 1).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_is_left_leaves_no_answer_to_others() {
    let server = Postgres::start(&[]).await;
    let store = store(&server.url());
    let logins: Arc<[_]> = (0..20).map(|number| login(format!("user-{number}"))).collect();
    for login in logins.iter() {
        store.save(login).await.unwrap();
    }
    let tasks: Vec<_> = (0..20)
        .map(|task| {
            let (store, logins) = (store.clone(), Arc::clone(&logins));
            tokio::spawn(async move {
                for round in 0..100 {
                    let login = &logins[(task + round) % logins.len()];
                    let left = tokio::spawn({
                        let (store, login) = (store.clone(), login.clone());
                        async move { store.load(login.user()).await }
                    });
                    for _ in 0..round % 5 {
                        tokio::task::yield_now().await;
                    }
                    left.abort();
                    let loaded = store.load(login.user()).await.unwrap();
                    assert_eq!(loaded.as_ref(), Some(login));
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

/// Cut again and again, it comes back each time by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_connects_again_by_itself() {
    let server = Postgres::start(&[]).await;
    let proxy = Proxy::start(server.port()).await;
    let store = builder(&server.url_through(proxy.port())).build().unwrap();
    let alice = login("alice");
    store.save(&alice).await.unwrap();
    for _ in 0..3 {
        proxy.cut();
        eventually("the store works again", async || {
            store.load(alice.user()).await.is_ok_and(|there| there.as_ref() == Some(&alice))
                && store.save(&alice).await.is_ok()
        })
        .await;
    }
    proxy.go_down();
    eventually("the outage is noticed", async || store.load(alice.user()).await.is_err()).await;
    let error = store.load(alice.user()).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    proxy.heal();
    eventually("the store works again", async || {
        store.load(alice.user()).await.is_ok() && store.save(&alice).await.is_ok()
    })
    .await;

    // An administrator ends the connections.
    let client = crate::client(&server.url()).await;
    let end = "select pg_terminate_backend(pid) from pg_stat_activity \
               where application_name = 'moojo-session'";
    assert!(client.query(end, &[]).await.unwrap().len() >= 2);
    eventually("the store works again", async || store.load(alice.user()).await.is_ok()).await;
}

/// A store in a static, used by one runtime after the other.
#[test]
fn it_outlives_the_runtime_that_it_was_used_on() {
    let runtime = || tokio::runtime::Runtime::new().unwrap();
    let first = runtime();
    let server = first.block_on(Postgres::start(&[]));
    let (store, alice) = (store(&server.url()), login("alice"));
    let use_it = async || {
        let mut feed = store.changes();
        eventually("the store works", async || store.save(&alice).await.is_ok()).await;
        assert_eq!(store.load(alice.user()).await.unwrap().as_ref(), Some(&alice));
        while feed.next().await != Some(Change::Lagged) {}
        feed
    };
    let mut feed = first.block_on(use_it());
    drop(first);
    let second = runtime();
    let ended = async { while feed.next().await.is_some() {} };
    second.block_on(ended);
    drop(second.block_on(use_it()));
}
