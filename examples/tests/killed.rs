//! A process that is killed between Moojo's answer to a code and the save of the session: the code is
//! used up, and nobody has what it was worth. All that is lost is that login.

// What the process says to the one that kills it.
#![allow(clippy::print_stdout)]

use std::env;
use std::process::Stdio;
use std::time::Duration;

use moojo_examples::BoxError;
use moojo_otp::{
    Ask, LoginError, LoginFlow, LoginWorker, MoojoClient, People, PersonReply, PhoneNumber,
    VerificationCode,
};
use moojo_session::{
    ApiKey, ChallengeState, ChangeStream, Error, Session, SessionId, SessionManager, SessionStore,
    StoreError, UserId, async_trait,
};
use moojo_session_redis::RedisStore;
use moojo_sim::MoojoSim;
use moojo_testkit::{PATIENCE, Redis, eventually, eventually_some};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

const PHONE: &str = "+15559876543";
const LEASE: Duration = Duration::from_secs(4);

fn alice() -> UserId {
    UserId::new("alice").unwrap()
}

/// What each process sets up. `sessions` is the store as the manager is to see it.
fn process_on(
    redis: &RedisStore,
    sessions: impl SessionStore,
    moojo: &str,
    key: &str,
) -> Result<LoginFlow, BoxError> {
    let sessions = SessionManager::builder(sessions)
        .leases(redis.clone())
        .lease(LEASE)
        .store_timeout(Duration::from_secs(2))
        .build();
    let moojo = MoojoClient::builder(ApiKey::new(key)?).base_url(moojo)?.build()?;
    Ok(LoginFlow::builder(moojo, sessions).challenges(redis.clone()).resend_cooldown(LEASE).build())
}

/// Not a test: the program of the process that is killed. A call waits, a worker asks, a person types
/// the code, and the save never gets to the server.
#[tokio::test(flavor = "multi_thread")]
async fn process() {
    let Ok(url) = env::var("KILLED_REDIS") else { return };
    let [moojo, key] = ["KILLED_MOOJO", "KILLED_KEY"].map(|name| env::var(name).unwrap());
    let redis = RedisStore::builder(url).build().unwrap();
    let flow = process_on(&redis, NeverSaves(redis.clone()), &moojo, &key).unwrap();
    let sessions = flow.sessions().clone();
    tokio::spawn(LoginWorker::new(flow, Person).lease(LEASE).run());
    sessions.wait(&alice(), PATIENCE).await.unwrap();
}

/// A store whose server is not reached any more by the time when something is to be saved.
#[derive(Debug)]
struct NeverSaves(RedisStore);

#[async_trait]
impl SessionStore for NeverSaves {
    async fn load(&self, user: &UserId) -> Result<Option<Session>, StoreError> {
        self.0.load(user).await
    }

    async fn save(&self, _: &Session) -> Result<(), StoreError> {
        println!("\nsaves");
        std::future::pending().await
    }

    async fn remove(&self, user: &UserId) -> Result<bool, StoreError> {
        self.0.remove(user).await
    }

    async fn remove_if_current(&self, user: &UserId, id: SessionId) -> Result<bool, StoreError> {
        self.0.remove_if_current(user, id).await
    }

    fn changes(&self) -> ChangeStream {
        self.0.changes()
    }
}

/// Types what comes on the standard input.
#[derive(Debug)]
struct Person;

#[async_trait]
impl People for Person {
    async fn phone(
        &self,
        _: &UserId,
    ) -> Result<Option<PhoneNumber>, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Some(PHONE.parse()?))
    }

    async fn code(&self, _: &Ask) -> PersonReply {
        let mut code = [0; 6];
        tokio::io::stdin().read_exact(&mut code).await.unwrap();
        PersonReply::Code(VerificationCode::new(&String::from_utf8_lossy(&code)).unwrap())
    }
}

/// Starts a process, and takes it to where it has Moojo's answer and saves.
async fn one_that_saves(redis: &Redis, sim: &MoojoSim) -> Child {
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "process", "--nocapture"])
        .env("KILLED_REDIS", redis.url())
        .env("KILLED_MOOJO", sim.base_url())
        .env("KILLED_KEY", sim.api_key())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    sim.wait_for_sms(1).await;
    let code = sim.last_code(PHONE).unwrap();
    child.stdin.as_mut().unwrap().write_all(code.as_bytes()).await.unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    while lines.next_line().await.unwrap().expect("it has not ended") != "saves" {}
    child
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_7_to_10_a_process_that_is_killed_before_it_has_saved_stands_in_nobodys_way() {
    let sim = MoojoSim::start().await.unwrap();
    let redis = Redis::start();
    let store = RedisStore::builder(redis.url()).build().unwrap();
    let flow = process_on(&store, store.clone(), &sim.base_url(), sim.api_key()).unwrap();
    let (sessions, alice) = (flow.sessions().clone(), alice());
    let redemptions = || sim.requests_to("/user/authenticate").len();

    let mut child = timeout(PATIENCE, one_that_saves(&redis, &sim)).await.unwrap();
    // The store goes away with it. No call hangs, and nobody is told to log in (rules 6 and 10).
    redis.freeze();
    child.kill().await.unwrap();
    let during = timeout(PATIENCE, sessions.get(&alice)).await.unwrap();
    assert!(matches!(during, Err(Error::Store(_))), "{during:?}");
    redis.thaw();

    eventually("the store is back", async || {
        matches!(sessions.get(&alice).await, Err(Error::ReauthRequired(_)))
    })
    .await;

    // Another process has her to itself once the lease of the dead one has run out.
    let call = tokio::spawn({
        let (sessions, alice) = (sessions.clone(), alice.clone());
        async move { sessions.wait(&alice, PATIENCE).await }
    });
    let claim = timeout(PATIENCE, sessions.reauth_queue().next()).await.unwrap();

    // The code was tried once, and made no session that anybody has.
    let challenge = flow.pending(&alice).await.unwrap().expect("her login is under way");
    assert_eq!((challenge.state(), challenge.attempts()), (ChallengeState::Sent, 1));
    assert_eq!((sim.sms_count(), redemptions()), (1, 1), "nothing is repeated by itself");
    // She types it again: Moojo says what it is worth.
    let used = VerificationCode::new(&sim.last_code(PHONE).unwrap()).unwrap();
    let again = flow.verify(&alice, &used).await;
    assert!(matches!(again, Err(LoginError::WrongCode { attempts_left: 3, .. })), "{again:?}");
    // She wants another one.
    let phone: PhoneNumber = PHONE.parse().unwrap();
    eventually_some("another code can be sent", async || {
        match flow.send_code(&alice, &phone).await {
            Err(LoginError::ResendTooSoon { .. }) => None,
            sent => Some(sent),
        }
    })
    .await
    .unwrap();
    let code = VerificationCode::new(&sim.last_code(PHONE).unwrap()).unwrap();
    let session = flow.verify(&alice, &code).await.unwrap();
    assert_eq!(timeout(PATIENCE, call).await.unwrap().unwrap().unwrap(), session);
    assert_eq!((sim.sms_count(), redemptions()), (2, 3));
    drop(claim);
    assert!(sessions.reauth_queue().is_empty());
    assert_eq!(store.load(&alice).await.unwrap(), Some(session));
}
