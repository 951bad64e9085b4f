//! One sealed store does all that the store behind it does, and no secret of a login is in its file.

use std::time::Duration;

use moojo_otp::{LoginFlow, MoojoClient, PhoneNumber, VerificationCode};
use moojo_session::{
    ApiKey, ChallengeStore, KeyRing, LeaseStore, SealedStore, Sealing, SealingKey, SessionAdmin,
    SessionManager, SessionStore, UserId,
};
use moojo_session_sqlite::SqliteStore;
use moojo_sim::MoojoSim;

/// As in the guide to scaling.
fn set_up<S>(store: S, moojo: MoojoClient) -> (LoginFlow, SessionManager)
where
    S: SessionStore + ChallengeStore + LeaseStore + Clone,
{
    let sessions = SessionManager::builder(store.clone()).leases(store.clone()).build();
    (LoginFlow::builder(moojo, sessions.clone()).challenges(store).build(), sessions)
}

/// A person logs in by way of the queue. Gives the token, and what the file is then.
async fn a_login(sealing: Sealing) -> (String, Vec<u8>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("moojo.db");
    let keys = KeyRing::new(SealingKey::new("one", &[1; 32]).unwrap());
    let store = SealedStore::new(SqliteStore::builder(&path).open().await.unwrap(), keys);
    let store = store.tenant("acme").sealing(sealing);
    let sim = MoojoSim::start().await.unwrap();
    let key = ApiKey::new(sim.api_key()).unwrap();
    let moojo = MoojoClient::builder(key).base_url(&sim.base_url()).unwrap().build().unwrap();
    let (login, sessions) = set_up(store.clone(), moojo.clone());
    let alice = UserId::new("alice").unwrap();

    assert!(sessions.get(&alice).await.is_err());
    let claim = sessions.reauth_queue().next().await;
    assert_eq!(claim.request().user(), &alice);
    let phone: PhoneNumber = "+1(555)987-6543".parse().unwrap();
    let _challenge = login.send_code(&alice, &phone).await.unwrap();
    let code = VerificationCode::new(&sim.last_code("+1(555)987-6543").unwrap()).unwrap();
    let (other_login, other_sessions) = set_up(store.clone(), moojo);
    let session = other_login.verify(&alice, &code).await.unwrap();
    // The feed tells of the login: so long it is remembered here that there was no session.
    let found = sessions.wait(&alice, Duration::from_secs(20)).await.unwrap();
    assert_eq!(found, session);
    assert_eq!(store.count().await.unwrap(), 1);

    let token = session.access_token().expose_secret().to_owned();
    drop((claim, login, sessions, other_login, other_sessions, store));
    // While it was open, this process could not look into the file without losing its locks.
    let wal = path.with_extension("db-wal");
    let closed = async {
        while wal.exists() {
            tokio::task::yield_now().await
        }
    };
    tokio::time::timeout(Duration::from_secs(20), closed).await.expect("the store closes");
    (token, std::fs::read(&path).unwrap())
}

fn contains(file: &[u8], text: &str) -> bool {
    file.windows(text.len()).any(|bytes| bytes == text.as_bytes())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_13_no_secret_of_a_login_is_in_the_backend() {
    let (token, file) = a_login(Sealing::Require).await;
    for there in ["alice", "sealed.v1.one.", "hashed.v1."] {
        assert!(contains(&file, there), "{there}");
    }
    for secret in [&*token, "5559876543"] {
        assert!(!contains(&file, secret), "{secret}");
    }
    let (token, file) = a_login(Sealing::Allow).await;
    for plain in [&*token, "sends:+15559876543", r#""address":"+15559876543""#] {
        assert!(contains(&file, plain), "the test sees what is there: {plain}");
    }
}
