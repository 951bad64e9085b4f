//! TLS: with whom it talks, and with whom not.
#![cfg(feature = "tls")]

mod common;

use std::path::Path;
use std::process::Command;

use common::{login, next, saved};
use moojo_session::{Change, SessionStore, StoreErrorKind};
use moojo_session_redis::RedisStore;
use moojo_testkit::{Redis, free_port};

fn openssl(folder: &Path, args: &str) {
    let done = Command::new("openssl").args(args.split(' ')).current_dir(folder).output();
    let done = done.expect("openssl runs");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

/// An authority, and a server's key and certificate for 127.0.0.1.
fn certificates(folder: &Path) {
    std::fs::write(folder.join("names"), "subjectAltName=IP:127.0.0.1").unwrap();
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    openssl(folder, &format!("req -x509 {key} -keyout ca.key -out ca.pem -days 2 -subj /CN=ca"));
    openssl(folder, &format!("req {key} -keyout redis.key -out redis.csr -subj /CN=redis"));
    let signed = "x509 -req -in redis.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2";
    openssl(folder, &format!("{signed} -extfile names -out redis.pem"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_talks_only_with_a_server_that_is_vouched_for() {
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path());
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let port = free_port();
    let (ca, cert, key) = (path("ca.pem"), path("redis.pem"), path("redis.key"));
    let redis = Redis::start_with(
        &[
            ["--tls-port", &port.to_string()],
            ["--tls-ca-cert-file", &ca],
            ["--tls-cert-file", &cert],
            ["--tls-key-file", &key],
            ["--tls-auth-clients", "no"],
        ]
        .concat(),
    );
    let pem = std::fs::read(&ca).unwrap();
    let at = |host: &str| RedisStore::builder(format!("rediss://{host}:{port}"));
    let store = at("127.0.0.1").ca_certificates(pem.clone()).build().unwrap();
    let mut feed = store.changes();
    assert_eq!(next(&mut feed).await, Change::Disconnected);
    assert_eq!(next(&mut feed).await, Change::Lagged);
    let alice = login("alice");
    store.save(&alice).await.unwrap();
    assert_eq!(next(&mut feed).await, saved(&alice));
    assert_eq!(store.load(alice.user()).await.unwrap().as_ref(), Some(&alice));

    // Nobody vouches for it; it is not for this name; it is no TLS.
    let strangers = [
        at("127.0.0.1").build().unwrap(),
        at("localhost").ca_certificates(pem).build().unwrap(),
        RedisStore::builder(format!("redis://127.0.0.1:{port}")).build().unwrap(),
    ];
    for store in strangers {
        let error = store.load(alice.user()).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{}", common::shown(&error));
    }
    drop(redis);
}
