//! What has ended goes.

use chrono::{TimeDelta, Utc};
use futures_util::future::join_all;
use moojo_session::{AccessToken, Session, SessionStore};

use crate::{eventually, file, login, open, raw, user};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ended_rows_are_deleted_in_small_pieces() {
    let (_folder, path) = file();
    let ended = |number| {
        Session::builder(user(format!("user-{number}")), AccessToken::new("6c0350a0").unwrap())
            .expires_at(Utc::now() - TimeDelta::minutes(2))
            .build()
            .unwrap()
    };
    let sessions: Vec<_> = (0..1200).map(ended).collect();
    let store = open(&path).await;
    let saved = join_all(sessions.iter().map(|session| store.save(session))).await;
    assert!(saved.iter().all(Result::is_ok));
    let alice = login("alice");
    store.save(&alice).await.unwrap();
    drop(store);
    // The next one begins with it.
    let store = open(&path).await;
    let db = raw(&path);
    eventually("the ended ones are deleted", async || {
        let rows: u32 =
            db.query_row("select count(*) from sessions", (), |row| row.get(0)).unwrap();
        rows == 1
    })
    .await;
    assert_eq!(store.load(alice.user()).await.unwrap(), Some(alice));
}
