//! No room is left.

use moojo_session::{Session, SessionStore, StoreErrorKind};
use moojo_session_sqlite::SqliteStore;
use moojo_testkit::Disk;

use crate::{chain, eventually, file, open, with_token};

fn large(name: String) -> Session {
    with_token(name, &"t".repeat(7000))
}

/// Saves until there is no room, and gives what was saved.
async fn fill(store: &SqliteStore) -> Vec<Session> {
    let mut saved = Vec::new();
    loop {
        let session = large(format!("user-{}", saved.len()));
        match store.save(&session).await {
            Ok(()) => saved.push(session),
            Err(error) => {
                assert_eq!(error.kind(), StoreErrorKind::Refused, "{}", chain(&error));
                return saved;
            }
        }
        assert!(saved.len() < 10_000, "there is no end of the room");
    }
}

async fn all_are_there(store: &SqliteStore, saved: &[Session]) {
    for session in saved {
        assert_eq!(store.load(session.user()).await.unwrap().as_ref(), Some(session));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_file_refuses_and_recovers() {
    let (_folder, path) = file();
    let store = SqliteStore::builder(&path).max_bytes(512 * 1024).open().await.unwrap();
    let saved = fill(&store).await;
    assert!(saved.len() > 10, "{} sessions fit", saved.len());
    all_are_there(&store, &saved).await;
    // Somebody logs out, and there is room for who was refused.
    assert!(store.remove(saved[0].user()).await.unwrap());
    store.save(&large("next".to_owned())).await.unwrap();
    all_are_there(&store, &saved[1..]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_and_recovers() {
    let Some(disk) = Disk::mount(1) else { return };
    let store = open(&disk.path().join("sessions.db")).await;
    let early = large("early".to_owned());
    store.save(&early).await.unwrap();
    disk.fill_up();
    let saved = fill(&store).await;
    all_are_there(&store, &saved).await;
    all_are_there(&store, std::slice::from_ref(&early)).await;
    let error = store.save(&large("late".to_owned())).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Refused, "{}", chain(&error));

    disk.make_room();
    eventually("the store works again", async || {
        store.save(&large("late".to_owned())).await.is_ok()
    })
    .await;
    all_are_there(&store, &saved).await;
    all_are_there(&store, &[early]).await;
}
