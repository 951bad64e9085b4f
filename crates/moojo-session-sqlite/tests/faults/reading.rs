//! Loads, wherever they are read.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use moojo_session::{SessionStore, StoreErrorKind};
use moojo_session_sqlite::{Reading, SqliteStore};

use crate::{eventually, file, login, user};

pub(crate) const BOTH: [Reading; 2] = [Reading::OwnThreads, Reading::CallingThread];

/// Users that change, and who load all the time, so that many loads are always under way together.
const USERS: u64 = 16;
const CROWD: usize = 48;

/// Whoever saved or removed it, and while any number of others load.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn rule_1_a_load_sees_all_that_was_acknowledged_before_it_began() {
    for reading in BOTH {
        let (_folder, path) = file();
        let open = async || SqliteStore::builder(&path).reading(reading).open().await.unwrap();
        let stores = Arc::new([open().await, open().await]);
        let done = Arc::new(AtomicBool::new(false));
        let crowd: Vec<_> = (0..CROWD)
            .map(|number| {
                let (stores, done) = (Arc::clone(&stores), Arc::clone(&done));
                tokio::spawn(async move {
                    let user = user(format!("user-{}", number as u64 % USERS));
                    while !done.load(Ordering::Relaxed) {
                        let loaded = stores[0].load(&user).await.unwrap();
                        assert!(loaded.is_none_or(|session| *session.user() == user));
                    }
                })
            })
            .collect();
        let changing: Vec<_> = (0..USERS)
            .map(|number| {
                let stores = Arc::clone(&stores);
                tokio::spawn(async move { one_user(&stores, number).await })
            })
            .collect();
        for task in changing {
            task.await.unwrap();
        }
        done.store(true, Ordering::Relaxed);
        for task in crowd {
            task.await.unwrap();
        }
    }
}

async fn one_user(stores: &[SqliteStore; 2], number: u64) {
    let mut random = fastrand::Rng::with_seed(number);
    let name = format!("user-{number}");
    let mut current = None;
    for round in 0..40 {
        let store = &stores[random.usize(0..2)];
        match random.u8(0..3) {
            0 => {
                let removed = store.remove(&user(&name)).await.unwrap();
                assert_eq!(removed, current.take().is_some(), "{name} in round {round}");
            }
            _ => {
                let session = login(&name);
                store.save(&session).await.unwrap();
                current = Some(session);
            }
        }
        for _ in 0..random.u8(1..6) {
            let loaded = stores[0].load(&user(&name)).await.unwrap();
            assert_eq!(loaded, current, "{name} in round {round}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_6_who_reads_on_the_calling_thread_sees_that_the_file_was_taken_away() {
    let (folder, path) = file();
    let builder = SqliteStore::builder(&path).reading(Reading::CallingThread);
    let (store, away) = (builder.open().await.unwrap(), folder.path().join("away.db"));
    let alice = login("alice");
    store.save(&alice).await.unwrap();
    assert_eq!(store.load(alice.user()).await.unwrap().as_ref(), Some(&alice));
    std::fs::rename(&path, &away).unwrap();
    eventually("it is seen", async || match store.load(alice.user()).await {
        Ok(loaded) => {
            assert_eq!(loaded.as_ref(), Some(&alice));
            false
        }
        Err(error) => error.kind() == StoreErrorKind::Unavailable,
    })
    .await;
    std::fs::rename(&away, &path).unwrap();
    assert_eq!(store.load(alice.user()).await.unwrap().as_ref(), Some(&alice));
    drop(store);
    eventually("it closes as the last", async || !path.with_extension("db-wal").exists()).await;
}

/// A connection that is of no more use is opened anew by a thread of the store.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_reads_on_the_calling_thread_is_answered_by_the_others_meanwhile() {
    let (_folder, path) = file();
    let builder = SqliteStore::builder(&path).reading(Reading::CallingThread).readers(1);
    let store = builder.open().await.unwrap();
    let alice = login("alice");
    store.save(&alice).await.unwrap();
    // A row that cannot be read is an error from wherever, and the store goes on.
    crate::raw(&path).execute("update sessions set body = cast('planted' as blob)", ()).unwrap();
    let error = store.load(alice.user()).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Corrupt);
    store.save(&alice).await.unwrap();
    assert_eq!(store.load(alice.user()).await.unwrap(), Some(alice));
}
