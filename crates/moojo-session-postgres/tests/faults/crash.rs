//! `kill -9` of the whole server.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use moojo_session::{Change, Session, SessionStore, StoreErrorKind};
use moojo_testkit::Postgres;

use crate::{builder, eventually, is_outage, login, store};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_is_there_after_a_crash() {
    let durable = ["fsync=on", "synchronous_commit=on", "full_page_writes=on"];
    let mut server = Postgres::start(&durable).await;
    let store = builder(&server.url()).connections(3).build().unwrap();
    store.save(&login("first")).await.unwrap();
    let mut feed = store.changes();
    while feed.next().await != Some(Change::Lagged) {}

    let saved = Arc::new(AtomicUsize::new(0));
    let writers: Vec<_> = (0..16)
        .map(|writer| {
            let (store, saved) = (store.clone(), Arc::clone(&saved));
            tokio::spawn(async move {
                let mut acknowledged: Vec<Session> = Vec::new();
                for number in 0.. {
                    let session = login(format!("user-{writer}-{number}"));
                    match store.save(&session).await {
                        Ok(()) => acknowledged.push(session),
                        Err(error) => {
                            assert!(is_outage(&error), "{error:?}");
                            break;
                        }
                    }
                    saved.fetch_add(1, Ordering::Relaxed);
                }
                acknowledged
            })
        })
        .collect();
    eventually("sessions are saved", async || saved.load(Ordering::Relaxed) > 300).await;
    server.kill();
    let mut acknowledged = Vec::new();
    for writer in writers {
        acknowledged.extend(writer.await.unwrap());
    }

    // While it is down, and for a store that begins in that time.
    let late = crate::store(&server.url());
    for store in [&store, &late] {
        let error = store.load(login("first").user()).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error:?}");
    }
    while feed.next().await != Some(Change::Disconnected) {}

    server.restart().await;
    for store in [&store, &late] {
        eventually("the store works again", async || {
            store.save(&login("again")).await.is_ok()
                && store.load(login("again").user()).await.is_ok()
        })
        .await;
    }
    assert!(acknowledged.len() >= 300);
    for session in &acknowledged {
        let loaded = store.load(session.user()).await.unwrap();
        assert_eq!(loaded.as_ref(), Some(session), "an acknowledged session was lost");
    }
    while feed.next().await != Some(Change::Lagged) {}
    let last = login("last");
    late.save(&last).await.unwrap();
    let told = Change::Saved { user: last.user().clone(), id: last.id() };
    while feed.next().await != Some(told.clone()) {}
}

/// Sessions that are replaced while the server crashes: the old one or the new one is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_in_the_middle_of_a_save_leaves_the_old_or_the_new_session() {
    let mut server = Postgres::start(&["fsync=on", "synchronous_commit=on"]).await;
    let store = store(&server.url());
    let olds: Vec<_> = (0..40).map(|number| login(format!("user-{number}"))).collect();
    for old in &olds {
        store.save(old).await.unwrap();
    }
    let news: Vec<_> = olds.iter().map(|old| login(old.user())).collect();
    let saving: Vec<_> = news
        .iter()
        .map(|new| {
            let (store, new) = (store.clone(), new.clone());
            tokio::spawn(async move { store.save(&new).await.is_ok() })
        })
        .collect();
    tokio::task::yield_now().await;
    server.kill();
    let mut acknowledged = Vec::new();
    for saving in saving {
        acknowledged.push(saving.await.unwrap());
    }
    server.restart().await;
    eventually("the store works again", async || store.load(olds[0].user()).await.is_ok()).await;
    for ((old, new), acknowledged) in olds.iter().zip(&news).zip(acknowledged) {
        let loaded = store.load(old.user()).await.unwrap();
        let is_new = loaded.as_ref() == Some(new);
        assert!(is_new || (!acknowledged && loaded.as_ref() == Some(old)));
    }
}
