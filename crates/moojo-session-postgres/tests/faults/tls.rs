//! Encrypted connections.

use moojo_session::{SessionStore, StoreErrorKind};
use moojo_session_postgres::{ConfigError, PostgresStore, PostgresStoreBuilder};
use moojo_testkit::Postgres;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

use crate::{chain, client, login};

/// An authority, and what it has signed for a server of this name: certificate and key, all in PEM.
fn certificates(name: &str) -> (String, String, String) {
    let mut authority = CertificateParams::new([]).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_key = KeyPair::generate().unwrap();
    let authority_pem = authority.self_signed(&authority_key).unwrap().pem();
    let issuer = Issuer::new(authority, authority_key);
    let key = KeyPair::generate().unwrap();
    let server = CertificateParams::new([name.to_owned()]).unwrap();
    let server = server.signed_by(&key, &issuer).unwrap();
    (authority_pem, server.pem(), key.serialize_pem())
}

async fn encrypted(certificate: &str, key: &str) -> Postgres {
    let settings = ["ssl=on", "ssl_cert_file=server.pem", "ssl_key_file=server.key"];
    Postgres::start_with(&settings, &[("server.pem", certificate), ("server.key", key)]).await
}

fn to(server: &Postgres, host: &str) -> PostgresStoreBuilder {
    let port = server.port();
    let url = format!("postgres://postgres@{host}:{port}/postgres?sslmode=verify-full");
    PostgresStore::builder(url).connections(1).migrate_on_first_use(true)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_a_server_with_a_certificate_for_its_name_is_spoken_to() {
    let (authority, certificate, key) = certificates("localhost");
    let server = encrypted(&certificate, &key).await;
    let alice = login("alice");

    let store = to(&server, "localhost").ca_certificates(authority.as_str()).build().unwrap();
    store.save(&alice).await.unwrap();
    assert_eq!(store.load(alice.user()).await.unwrap().as_ref(), Some(&alice));
    let mut feed = store.changes();
    while feed.next().await != Some(moojo_session::Change::Lagged) {}
    let asked = "select count(*) filter (where not ssl), count(*) from pg_stat_ssl \
                 join pg_stat_activity using (pid) where application_name = 'moojo-session'";
    let row = client(&server.url()).await.query_one(asked, &[]).await.unwrap();
    assert_eq!(row.get::<_, i64>(0), 0, "a connection is not encrypted");
    assert!(row.get::<_, i64>(1) >= 3);

    // Another authority, and another name than the certificate's.
    let (other, ..) = certificates("localhost");
    let stranger = to(&server, "localhost").ca_certificates(other).build().unwrap();
    let misnamed = to(&server, "127.0.0.1").ca_certificates(authority.as_str()).build().unwrap();
    for store in [stranger, misnamed] {
        let error = store.load(alice.user()).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unavailable);
        assert!(chain(&error).contains("certificate"), "{}", chain(&error));
    }

    for text in
        ["", "no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"]
    {
        let error = to(&server, "localhost").ca_certificates(text).build().unwrap_err();
        assert!(matches!(error, ConfigError::NoCertificates { .. }), "{error:?}");
    }
}

/// What was to be encrypted is not sent in the clear to a server that cannot.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_encryption_gets_nothing() {
    let server = Postgres::start(&[]).await;
    let (authority, ..) = certificates("localhost");
    let store = to(&server, "localhost").ca_certificates(authority).build().unwrap();
    let error = store.save(&login("alice")).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    assert!(chain(&error).contains("TLS"), "{}", chain(&error));
}
