//! What the change feed says of what it cannot hear.

use std::time::Duration;

use moojo_session::{Change, ChangeStream, Session, SessionAdmin, SessionStore};
use moojo_testkit::{Postgres, Proxy};
use tokio::time::timeout;

use crate::{PATIENCE, client, eventually, login, store};

fn saved(session: &Session) -> Change {
    Change::Saved { user: session.user().clone(), id: session.id() }
}

async fn next(feed: &mut ChangeStream) -> Option<Change> {
    timeout(PATIENCE, feed.next()).await.expect("the feed says something")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_says_when_it_is_deaf_and_when_it_hears_again() {
    let server = Postgres::start(&[]).await;
    let proxy = Proxy::start(server.port()).await;
    let direct = store(&server.url());
    let there = store(&server.url_through(proxy.port()));
    let mut feed = there.changes();
    assert_eq!(next(&mut feed).await, Some(Change::Disconnected), "at first it hears nothing");
    assert_eq!(next(&mut feed).await, Some(Change::Lagged));
    let first = login("alice");
    direct.save(&first).await.unwrap();
    assert_eq!(next(&mut feed).await, Some(saved(&first)));

    // Cut; then a network that swallows everything and closes nothing.
    for fault in [Proxy::cut, Proxy::freeze] {
        fault(&proxy);
        assert_eq!(next(&mut feed).await, Some(Change::Disconnected));
        proxy.heal();
        assert_eq!(next(&mut feed).await, Some(Change::Lagged));
        let again = login("alice");
        direct.save(&again).await.unwrap();
        assert_eq!(next(&mut feed).await, Some(saved(&again)));
    }

    // Who comes later hears at once, and is told so.
    let mut second = there.changes();
    assert_eq!(next(&mut second).await, Some(Change::Disconnected));
    assert_eq!(next(&mut second).await, Some(Change::Lagged));
    direct.save(&first).await.unwrap();
    for feed in [&mut feed, &mut second] {
        assert_eq!(next(feed).await, Some(saved(&first)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stands_still_is_noticed() {
    let server = Postgres::start(&[]).await;
    let store = store(&server.url());
    let mut feed = store.changes();
    assert_eq!(next(&mut feed).await, Some(Change::Disconnected));
    assert_eq!(next(&mut feed).await, Some(Change::Lagged));
    server.freeze();
    let noticed = timeout(Duration::from_secs(15), feed.next()).await;
    assert_eq!(noticed, Ok(Some(Change::Disconnected)));
    server.thaw();
    assert_eq!(next(&mut feed).await, Some(Change::Lagged));
    let session = login("alice");
    eventually("the store works again", async || store.save(&session).await.is_ok()).await;
    assert_eq!(next(&mut feed).await, Some(saved(&session)));
}

/// One server for what needs no fault of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_that_are_slow_that_leave_and_that_stay_too_long() {
    let server = Postgres::start(&[]).await;
    let store = store(&server.url());
    let control = client(&server.url()).await;
    store.save(&login("alice")).await.unwrap();
    let listening = async || {
        let asked = "select count(*) from pg_stat_activity where application_name = 'moojo-session' \
                     and (query like 'listen%' or query like '%hears%')";
        control.query_one(asked, &[]).await.unwrap().get::<_, i64>(0)
    };
    let all = async || {
        let asked =
            "select count(*) from pg_stat_activity where application_name = 'moojo-session'";
        control.query_one(asked, &[]).await.unwrap().get::<_, i64>(0)
    };

    // A slow one is told that it lost something, and goes on with what came last.
    let mut slow = store.changes();
    let mut fast = store.changes();
    for feed in [&mut slow, &mut fast] {
        assert_eq!(next(feed).await, Some(Change::Disconnected));
        assert_eq!(next(feed).await, Some(Change::Lagged));
    }
    let many = "select pg_notify('moojo_session_changes', '-user-' || n) \
                from generate_series(1, 20000) as n";
    control.batch_execute(many).await.unwrap();
    let last = login("alice");
    store.save(&last).await.unwrap();
    while next(&mut fast).await != Some(saved(&last)) {}
    assert_eq!(next(&mut slow).await, Some(Change::Lagged));
    let mut left = 0;
    while next(&mut slow).await != Some(saved(&last)) {
        left += 1;
    }
    assert!(left < 5000, "what waits for a slow reader is bounded: {left}");

    // What stands for many changes, and what nobody can read, puts everything in doubt.
    store.remove_all().await.unwrap();
    assert_eq!(next(&mut fast).await, Some(Change::Lagged));
    control.batch_execute("notify moojo_session_changes, '?new'").await.unwrap();
    assert_eq!(next(&mut fast).await, Some(Change::Lagged));

    // The connection goes with the last reader, and comes back with the next.
    drop((slow, fast));
    eventually("nobody listens", async || listening().await == 0).await;
    let mut feed = store.changes();
    assert_eq!(next(&mut feed).await, Some(Change::Disconnected));
    assert_eq!(next(&mut feed).await, Some(Change::Lagged));

    // All ends with the store.
    let mut unread = store.changes();
    drop(store);
    assert_eq!(next(&mut feed).await, None);
    assert_eq!(next(&mut feed).await, None);
    assert_eq!(next(&mut unread).await, None);
    eventually("its connections are closed", async || all().await == 0).await;
}
