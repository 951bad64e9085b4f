//! Files that are not what they should be.

use futures_util::future::join_all;
use moojo_session::{Chain, Change, SessionStore, StoreErrorKind};
use moojo_session_sqlite::{OpenError, SqliteStore};

use crate::{eventually, file, login, open, raw};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_open_a_new_file_at_once() {
    let (_folder, path) = file();
    let stores = join_all((0..8).map(|_| open(&path))).await;
    let alice = login("alice");
    stores[0].save(&alice).await.unwrap();
    for store in stores {
        assert_eq!(store.load(alice.user()).await.unwrap().as_ref(), Some(&alice));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_loses_nothing_and_a_close_leaves_nothing_behind() {
    let (_folder, path) = file();
    let alice = login("alice");
    for round in 0..25 {
        let store = open(&path).await;
        let feed = store.changes();
        if round == 0 {
            store.save(&alice).await.unwrap();
        }
        assert_eq!(store.load(alice.user()).await.unwrap().as_ref(), Some(&alice));
        store.save(&login("bob")).await.unwrap();
        drop((store, feed));
        // Whichever thread is faster.
        eventually("the log is gone", async || !path.with_extension("db-wal").exists()).await;
    }
}

#[tokio::test]
async fn a_newer_version_is_refused() {
    let (_folder, path) = file();
    drop(open(&path).await);
    raw(&path).pragma_update(None, "user_version", 2).unwrap();
    let error = SqliteStore::builder(&path).open().await.unwrap_err();
    assert!(matches!(error, OpenError::Newer { found: 2, known: 1 }), "{error:?}");
}

#[tokio::test]
async fn another_programs_database_is_left_alone() {
    let (_folder, path) = file();
    raw(&path).execute_batch("create table theirs (x)").unwrap();
    let before = std::fs::read(&path).unwrap();
    let error = SqliteStore::builder(&path).open().await.unwrap_err();
    assert!(matches!(error, OpenError::NotOurs), "{error:?}");
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[tokio::test]
async fn what_is_no_database_is_said_to_be_none_and_left_alone() {
    let (_folder, path) = file();
    let text = "no database, but long enough for one. ".repeat(500);
    std::fs::write(&path, &text).unwrap();
    let error = SqliteStore::builder(&path).open().await.unwrap_err();
    assert!(matches!(error, OpenError::NoDatabase), "{error:?}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
}

/// A damaged file does not mean that nobody is logged in.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_6_what_cannot_be_read_is_not_missing() {
    let (_folder, path) = file();
    let sessions: Vec<_> = (0..300).map(|number| login(format!("user-{number}"))).collect();
    let store = open(&path).await;
    for saved in join_all(sessions.iter().map(|session| store.save(session))).await {
        saved.unwrap();
    }
    drop(store);
    eventually("the store closes", async || !path.with_extension("db-wal").exists()).await;
    let mut random = fastrand::Rng::with_seed(7);
    let mut bytes = std::fs::read(&path).unwrap();
    let pages = bytes.len() / 4096;
    for _ in 0..pages / 4 {
        // Not the first ones, where the tables begin: without them it does not open.
        let at = random.usize(12..pages) * 4096;
        bytes[at..at + 2048].fill_with(|| random.u8(..));
    }
    std::fs::write(&path, bytes).unwrap();
    let store = open(&path).await;
    let mut damaged = 0;
    for session in &sessions {
        match store.load(session.user()).await {
            Ok(loaded) => assert_eq!(loaded.as_ref(), Some(session)),
            Err(error) => {
                assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{error:?}");
                damaged += 1;
            }
        }
    }
    assert!(damaged > 0, "nothing was damaged");
}

#[tokio::test]
async fn a_file_that_cannot_be_made_is_an_error() {
    let (folder, _) = file();
    let missing = folder.path().join("missing/sessions.db");
    for (path, kind, why) in [
        (missing.as_path(), StoreErrorKind::Unavailable, "No such file"),
        (folder.path(), StoreErrorKind::Refused, "is a directory"),
    ] {
        let error = SqliteStore::builder(path).open().await.unwrap_err();
        let said = Chain(&error).to_string();
        assert!(said.contains(&format!("{}: ", path.display())) && said.contains(why), "{said}");
        let OpenError::Store(error) = error else { panic!("{error:?}") };
        assert_eq!(error.kind(), kind);
    }
    let error = SqliteStore::builder("x").readers(0).open().await.unwrap_err();
    assert!(matches!(error, OpenError::Zero), "{error:?}");
    let error = SqliteStore::builder(":memory:").open().await.unwrap_err();
    assert!(matches!(error, OpenError::InMemory), "{error:?}");
}

#[cfg(unix)]
#[tokio::test]
async fn rule_13_the_files_are_the_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let (folder, path) = file();
    let store = open(&path).await;
    store.save(&login("alice")).await.unwrap();
    let files: Vec<_> = std::fs::read_dir(folder.path()).unwrap().flatten().collect();
    assert_eq!(files.len(), 3, "{files:?}");
    for file in files {
        let mode = file.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{:?}", file.path());
    }
}

/// Neither does it go on with the file that is gone, nor is nobody logged in from then on.
#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_6_a_file_that_was_taken_away_is_an_outage() {
    let (folder, path) = file();
    let (store, away) = (open(&path).await, folder.path().join("away.db"));
    let alice = login("alice");
    store.save(&alice).await.unwrap();
    let mut feed = store.changes();
    for replaced in [false, true] {
        std::fs::rename(&path, &away).unwrap();
        if replaced {
            std::fs::write(&path, "").unwrap();
        }
        let errors = [
            store.load(alice.user()).await.unwrap_err(),
            store.save(&login("bob")).await.unwrap_err(),
        ];
        for error in errors {
            assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error:?}");
        }
        assert_eq!(path.exists(), replaced, "no other file is made in its place");
        while feed.next().await != Some(Change::Disconnected) {}
        std::fs::rename(&away, &path).unwrap();
        assert_eq!(store.load(alice.user()).await.unwrap().as_ref(), Some(&alice));
        store.save(&login("bob")).await.unwrap();
        while feed.next().await != Some(Change::Lagged) {}
    }
}
