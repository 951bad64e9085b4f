//! What a check finds: the server, the tables and the rights.

use moojo_session::{Chain, SessionStore, StoreError, StoreErrorKind};
use moojo_session_postgres::PostgresStore;
use moojo_testkit::{Postgres, Proxy};

use crate::{chain, client, eventually, login, store};

#[track_caller]
fn assert_refused(outcome: Result<(), StoreError>, why: &str) {
    let error = outcome.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Refused, "{}", chain(&error));
    assert!(Chain(&error).to_string().contains(why), "{why}: {}", Chain(&error));
    assert!(!chain(&error).contains("planted"), "rule 13: {}", chain(&error));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_finds_every_right_that_is_missing() {
    let server = Postgres::start(&[]).await;
    let admin = client(&server.url()).await;
    let tell = async |sql: &str| admin.batch_execute(sql).await.unwrap();
    let url = server.url().replace("postgres@", "served:planted@");
    let plain = || PostgresStore::builder(&url).connections(1).build().unwrap();

    assert_refused(plain().check().await, "\"served\" does not exist");
    tell("create role served login").await;
    assert_refused(plain().check().await, "PostgresStore::migrate");
    store(&server.url()).check().await.unwrap();
    let served = plain();
    assert_refused(served.check().await, "permission denied for schema moojo");
    tell("grant usage on schema moojo to served").await;
    assert_refused(served.check().await, "select on sessions");
    tell("grant select, insert, update, delete on all tables in schema moojo to served").await;
    served.check().await.unwrap();
    for table in ["sessions", "challenges", "quotas", "leases"] {
        for right in ["select", "insert", "update", "delete"] {
            tell(&format!("revoke {right} on moojo.{table} from served")).await;
            assert_refused(served.check().await, &format!("moojo to: {right} on {table}"));
            tell(&format!("grant {right} on moojo.{table} to served")).await;
        }
    }
    served.check().await.unwrap();
    tell("alter role served set default_transaction_read_only = on").await;
    assert_refused(plain().check().await, "read-only");
    tell("revoke connect on database postgres from public").await;
    assert_refused(plain().check().await, "permission denied for database");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_says_whether_the_server_is_there() {
    let mut server = Postgres::start(&[]).await;
    let proxy = Proxy::start(server.port()).await;
    let (near, far) = (store(&server.url()), store(&server.url_through(proxy.port())));
    near.check().await.unwrap();
    far.check().await.unwrap();
    proxy.freeze();
    let error = far.check().await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::TimedOut, "{}", chain(&error));
    server.kill();
    let error = near.check().await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{}", chain(&error));
    server.restart().await;
    eventually("a check", async || near.check().await.is_ok()).await;
    near.save(&login("alice")).await.unwrap();
}
