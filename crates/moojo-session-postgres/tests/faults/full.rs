//! No room is left on a disk.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;
use moojo_session::{Session, SessionStore, StoreErrorKind};
use moojo_session_postgres::PostgresStore;
use moojo_testkit::{Disk, Postgres};

use crate::{builder, chain, client, eventually, is_outage, store, with_token};

/// Takes some room, also where the server packs it.
fn large(name: String) -> Session {
    let token: String = std::iter::repeat_with(fastrand::alphanumeric).take(7000).collect();
    with_token(name, &token)
}

async fn all_are_there(store: &PostgresStore, saved: &[Session]) {
    let loads = saved.iter().map(|session| store.load(session.user()));
    for (session, loaded) in saved.iter().zip(join_all(loads).await) {
        assert_eq!(loaded.unwrap().as_ref(), Some(session));
    }
}

/// The disk of the tables.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_and_recovers() {
    let Some(disk) = Disk::mount(4) else { return };
    let server = Postgres::start(&[]).await;
    server.own(disk.path());
    let admin = client(&server.url()).await;
    let place = format!("create tablespace small location '{}'", disk.path().display());
    admin.batch_execute(&place).await.unwrap();
    let store = store(&format!("{}?options=-c%20default_tablespace=small", server.url()));
    let mut saved = vec![large("early".to_owned())];
    store.save(&saved[0]).await.unwrap();

    disk.fill_up();
    let error = loop {
        let session = large(format!("user-{}", saved.len()));
        match store.save(&session).await {
            Ok(()) => saved.push(session),
            Err(error) => break error,
        }
        assert!(saved.len() < 10_000, "there is no end of the room");
    };
    assert_eq!(error.kind(), StoreErrorKind::Refused, "{}", chain(&error));
    all_are_there(&store, &saved).await;
    let refused = large("refused".to_owned());
    let error = store.save(&refused).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Refused, "{}", chain(&error));
    assert_eq!(store.load(refused.user()).await.unwrap(), None);
    // Who has a session keeps it, and can log out.
    assert!(store.save(&large("early".to_owned())).await.is_err());
    all_are_there(&store, &saved).await;
    assert!(store.remove(saved.pop().unwrap().user()).await.unwrap());

    disk.make_room();
    saved.push(refused);
    store.save(&saved[saved.len() - 1]).await.unwrap();
    all_are_there(&store, &saved).await;
}

/// The disk of the log, without which the server cannot go on: it ends, and nothing that was
/// acknowledged ends with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_of_the_log_loses_nothing() {
    let Some(disk) = Disk::mount(64) else { return };
    let durable = ["fsync=on", "synchronous_commit=on", "full_page_writes=on"];
    let small = ["min_wal_size=32MB", "max_wal_size=32MB"];
    let mut server = Postgres::start(&[durable.as_slice(), &small].concat()).await;
    server.move_wal_to(&disk).await;
    let store = builder(&server.url()).connections(2).build().unwrap();
    let mut acknowledged = vec![large("early".to_owned())];
    store.save(&acknowledged[0]).await.unwrap();

    disk.fill_up();
    let saved = Arc::new(AtomicUsize::new(0));
    let writers: Vec<_> = (0..16)
        .map(|writer| tokio::spawn(save_until_refused(store.clone(), writer, Arc::clone(&saved))))
        .collect();
    for writer in writers {
        acknowledged.extend(writer.await.unwrap());
    }
    assert!(server.said().contains("No space left on device"), "{}", server.said());
    // Nobody is logged out by it (rule 6).
    let loads = acknowledged.iter().map(|session| store.load(session.user()));
    for (session, loaded) in acknowledged.iter().zip(join_all(loads).await) {
        match loaded {
            Ok(loaded) => assert_eq!(loaded.as_ref(), Some(session)),
            Err(error) => assert!(is_outage(&error), "{error:?}"),
        }
    }

    disk.make_room();
    server.restart().await;
    let late = large("late".to_owned());
    eventually("the store works again", async || {
        store.load(late.user()).await.is_ok() && store.save(&late).await.is_ok()
    })
    .await;
    acknowledged.push(late);
    all_are_there(&store, &acknowledged).await;
}

/// Gives what was acknowledged.
async fn save_until_refused(
    store: PostgresStore,
    writer: usize,
    saved: Arc<AtomicUsize>,
) -> Vec<Session> {
    let mut acknowledged = Vec::new();
    loop {
        let session = large(format!("user-{writer}-{}", acknowledged.len()));
        match store.save(&session).await {
            Ok(()) => acknowledged.push(session),
            Err(error) => {
                let is_typed = is_outage(&error) || error.kind() == StoreErrorKind::Refused;
                assert!(is_typed, "{}", chain(&error));
                return acknowledged;
            }
        }
        assert!(saved.fetch_add(1, Ordering::Relaxed) < 50_000, "there is no end of the room");
    }
}
