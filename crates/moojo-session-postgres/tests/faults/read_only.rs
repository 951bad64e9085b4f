//! A server that writes nothing.

use moojo_session::{SessionStore, StoreErrorKind};
use moojo_session_postgres::PostgresStore;
use moojo_testkit::Postgres;

use crate::{chain, client, eventually, login, store};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_only_server_refuses_changes_and_goes_on_to_load() {
    let server = Postgres::start(&[]).await;
    let store = store(&server.url());
    let (old, new) = (login("alice"), login("alice"));
    store.save(&old).await.unwrap();

    let admin = client(&server.url()).await;
    let set = async |value: &str| {
        let set = format!("alter system set default_transaction_read_only = {value}");
        admin.batch_execute("set default_transaction_read_only = off").await.unwrap();
        admin.batch_execute(&set).await.unwrap();
        admin.batch_execute("select pg_reload_conf()").await.unwrap();
    };
    set("on").await;
    eventually("changes are refused", async || store.save(&old).await.is_err()).await;
    let error = store.save(&new).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Refused, "{error:?}");
    assert!(chain(&error).contains("read-only"), "{}", chain(&error));
    let error = store.remove(old.user()).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Refused, "{error:?}");
    assert_eq!(store.load(old.user()).await.unwrap(), Some(old));

    set("off").await;
    eventually("changes are made again", async || store.save(&new).await.is_ok()).await;
    assert_eq!(store.load(new.user()).await.unwrap(), Some(new));
}

/// A replica may be behind: what it says of a session is no answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_is_not_used_until_it_takes_over() {
    let server = Postgres::start_with(&["hot_standby=on"], &[("standby.signal", "")]).await;
    let store = store(&server.url());
    let error = store.load(login("alice").user()).await.unwrap_err();
    // The tables are to be made first, which a replica refuses by itself.
    assert_eq!(error.kind(), StoreErrorKind::Refused, "{error:?}");
    let plain = PostgresStore::builder(server.url()).build().unwrap();
    let error = plain.load(login("alice").user()).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error:?}");
    assert!(chain(&error).contains("replica"), "{}", chain(&error));

    client(&server.url()).await.batch_execute("select pg_promote()").await.unwrap();
    for store in [&store, &plain] {
        eventually("the store works", async || store.save(&login("alice")).await.is_ok()).await;
    }
}
