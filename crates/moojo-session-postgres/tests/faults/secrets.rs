//! Rule 13: what is secret stays out of errors, `Debug` and the log.

use std::sync::Mutex;

use chrono::{TimeDelta, Utc};
use moojo_session::{
    AccessToken, Challenge, ChallengeStore, Quota, Session, SessionStore, StoreErrorKind,
};
use moojo_session_postgres::PostgresStore;
use moojo_testkit::Postgres;

use crate::{builder, chain, client, user};

/// All that is logged, as by somebody who looks for a fault.
struct Log(Mutex<String>);

static LOG: Log = Log(Mutex::new(String::new()));

impl log::Log for Log {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        // That of others in this program is much, and not of interest.
        let line = format!("{}\n", record.args());
        if line.contains("planted") || line.contains("5559876543") || line.contains("parameters") {
            self.0.lock().unwrap().push_str(&line);
        }
    }

    fn flush(&self) {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_13_no_secret_in_errors_debug_and_log() {
    log::set_logger(&LOG).unwrap();
    log::set_max_level(log::LevelFilter::Trace);
    let server = Postgres::start(&[]).await;
    let control = client(&server.url()).await;
    control.batch_execute("create role app login password 'planted-password'").await.unwrap();
    control.batch_execute("grant create on database postgres to app").await.unwrap();
    let url = server.url().replace("postgres@", "app:planted-password@");
    let settings = builder(&url);
    assert!(!format!("{settings:?}").contains("planted"));
    let store = settings.build().unwrap();
    let session = Session::builder(user("alice"), AccessToken::new("planted-token").unwrap())
        .expires_at(Utc::now() + TimeDelta::hours(2))
        .public_key("planted-key")
        .build()
        .unwrap();
    let (now, later) = (Utc::now(), Utc::now() + TimeDelta::minutes(10));
    let challenge = Challenge::open(user("alice"), "+15559876543", now, now, later);
    let key = "sends:+15559876543";
    let quota = Quota { key, limit: 3, window: std::time::Duration::from_secs(60) };

    store.save(&session).await.unwrap();
    assert!(SessionStore::load(&store, session.user()).await.unwrap().is_some());
    assert!(store.swap(None, &challenge, now).await.unwrap());
    assert!(store.swap(Some(challenge.revision()), &challenge.sent(), now).await.unwrap());
    store.admit(&quota, now).await.unwrap();
    store.give_back(&quota, now).await.unwrap();
    assert!(!format!("{store:?}").contains("planted"));

    // PostgreSQL's errors about these have the whole row in their detail.
    for table in ["sessions", "challenges", "quotas"] {
        let rule =
            format!("alter table moojo.{table} add check (keep_until < '1999-01-01') not valid");
        control.batch_execute(&rule).await.unwrap();
    }
    let errors = [
        store.save(&session).await.unwrap_err(),
        store
            .swap(Some(challenge.sent().revision()), &challenge.sent().unknown(), now)
            .await
            .unwrap_err(),
        store.admit(&quota, now).await.unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind(), StoreErrorKind::Refused);
        let text = chain(&error);
        assert!(text.contains("23514"), "the failure that was meant: {text}");
        assert!(!text.contains("planted") && !text.contains("5559876543"), "{text}");
    }
    // A wrong password.
    let file = control.query_one("show hba_file", &[]).await.unwrap().get::<_, String>(0);
    let rule = format!("copy (select 'host all all 127.0.0.1/32 scram-sha-256') to '{file}'");
    control.batch_execute(&rule).await.unwrap();
    control.batch_execute("select pg_reload_conf()").await.unwrap();
    crate::eventually("the right password is asked for", async || {
        PostgresStore::builder(url.replace("-password@", "-wrong@"))
            .build()
            .unwrap()
            .migrate()
            .await
            .is_err()
    })
    .await;
    let wrong = PostgresStore::builder(url.replace("-password@", "-wrong@")).build().unwrap();
    let error = SessionStore::load(&wrong, session.user()).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Refused, "{error:?}");
    assert!(!chain(&error).contains("planted"), "{}", chain(&error));
    builder(&url).build().unwrap().migrate().await.unwrap();

    let log = LOG.0.lock().unwrap().clone();
    assert!(log.contains("parameters"), "tokio-postgres logs what it executes");
    for line in log.lines() {
        // This test's own statements, with the password that it sets.
        let own = line.contains("create role") || line.contains("check (");
        assert!(own || !line.contains("planted") && !line.contains("5559876543"), "{line}");
    }
}
