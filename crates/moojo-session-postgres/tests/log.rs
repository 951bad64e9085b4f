//! What the log says of a feed that may not listen.

use moojo_session::{Change, SessionStore};
use moojo_session_postgres::PostgresStore;
use moojo_testkit::{Log, PATIENCE, Postgres, eventually};
use tokio_postgres::NoTls;

/// One thread, whose log it is.
#[tokio::test]
async fn a_feed_that_may_not_listen_says_so_once() {
    let (log, _guard) = Log::of_thread();
    let server = Postgres::start(&[]).await;
    let (admin, connection) = tokio_postgres::connect(&server.url(), NoTls).await.unwrap();
    tokio::spawn(connection);
    admin.batch_execute("create role agent nologin").await.unwrap();
    let url = server.url().replace("postgres@", "agent:planted@");
    let store = PostgresStore::builder(url).build().unwrap();
    let mut feed = store.changes();
    let next = async |feed: &mut moojo_session::ChangeStream| {
        tokio::time::timeout(PATIENCE, feed.next()).await.expect("the feed says something")
    };
    assert_eq!(next(&mut feed).await, Some(Change::Disconnected));
    let attempts = || server.said().matches("is not permitted to log in").count();
    eventually("further attempts", async || attempts() >= 4).await;
    let warned = log.lines_with(&["WARN", "the session store fails", "what=\"change feed\""]);
    assert_eq!(warned.len(), 1, "{warned:?}");
    assert!(warned[0].contains("the store refused: PostgreSQL says SQLSTATE 28000"), "{warned:?}");

    admin.batch_execute("alter role agent login").await.unwrap();
    assert_eq!(next(&mut feed).await, Some(Change::Lagged));
    let works = ["INFO", "the session store works again", "what=\"change feed\""];
    assert_eq!(log.lines_with(&works).len(), 1);
    assert_eq!(log.lines_with(&["WARN"]).len(), 1, "{:?}", log.lines_with(&[]));
    assert!(log.lines_with(&["planted"]).is_empty(), "rule 13");
}
