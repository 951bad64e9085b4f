//! Making the tables.

use moojo_session::{SessionStore, StoreErrorKind};
use moojo_session_postgres::{MigrateError, PostgresStore};
use moojo_testkit::Postgres;

use crate::{builder, chain, client, login, user};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_tables_are_made_once_and_only_by_who_may() {
    let server = Postgres::start(&[]).await;
    let plain = |schema: &str| {
        PostgresStore::builder(server.url()).schema(schema).connections(1).build().unwrap()
    };
    let control = client(&server.url()).await;

    // Before: a call says what is missing.
    let error = plain("here").load(&user("alice")).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Refused);
    assert!(chain(&error).contains("PostgresStore::migrate"), "{}", chain(&error));

    // Many processes begin at once, some by their first call.
    let starts: Vec<_> = (0..20)
        .map(|number| {
            let url = server.url();
            tokio::spawn(async move {
                let store = builder(&url).schema("here");
                if number % 2 == 0 {
                    store.migrate_on_first_use(false).build().unwrap().migrate().await.unwrap();
                } else {
                    store.build().unwrap().save(&login(format!("u{number}"))).await.unwrap();
                }
            })
        })
        .collect();
    for start in starts {
        start.await.unwrap();
    }
    let versions = control.query_one("select count(*) from here.migrations", &[]).await.unwrap();
    assert_eq!(versions.get::<_, i64>(0), 1, "a version is made once");

    // Another schema is another tenant.
    let other = plain("there");
    other.migrate().await.unwrap();
    assert_eq!(other.load(&user("u1")).await.unwrap(), None);
    assert!(plain("here").load(&user("u1")).await.unwrap().is_some());

    // A user who may not make anything can serve, and finds nothing to do.
    let rights = "create role server login; grant usage on schema here to server; \
                  grant select, insert, update, delete on all tables in schema here to server";
    control.batch_execute(rights).await.unwrap();
    let url = server.url().replace("postgres@", "server@");
    let serving = builder(&url).schema("here").build().unwrap();
    serving.migrate().await.unwrap();
    serving.save(&login("alice")).await.unwrap();
    let error = builder(&url).schema("elsewhere").build().unwrap().migrate().await.unwrap_err();
    let MigrateError::Store(error) = error else { panic!("{error:?}") };
    assert_eq!(error.kind(), StoreErrorKind::Refused);
    assert!(chain(&error).contains("permission denied"), "{}", chain(&error));

    // A later version is left alone.
    control.batch_execute("insert into there.migrations (version) values (99)").await.unwrap();
    let error = plain("there").migrate().await.unwrap_err();
    assert!(matches!(error, MigrateError::Newer { found: 99, known: 1 }), "{error:?}");
    let first_use = builder(&server.url()).schema("there").build().unwrap();
    let error = first_use.load(&user("alice")).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Refused);
    assert!(chain(&error).contains("version 99"), "{}", chain(&error));

    // As is a database that cannot hold every user id.
    let latin = "create database latin encoding 'LATIN1' template template0";
    control.batch_execute(latin).await.unwrap();
    let url = format!("{}latin", server.url().trim_end_matches("postgres"));
    let error = builder(&url).build().unwrap().migrate().await.unwrap_err();
    assert!(matches!(error, MigrateError::Encoding { .. }), "{error:?}");
}
