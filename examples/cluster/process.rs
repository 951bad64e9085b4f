//! One process: calls for all users, and a worker that asks whoever has to log in.

use std::env;
use std::error::Error as StdError;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use moojo_examples::BoxError;
use moojo_otp::{
    Ask, LoginFlow, LoginWorker, MoojoClient, People, PersonReply, PhoneNumber, VerificationCode,
};
use moojo_session::{
    ApiKey, Chain, Error, OnReauth, SessionLayer, SessionManager, UserId, async_trait,
};
use moojo_session_redis::RedisStore;
use serde::Deserialize;
use tower::{Layer, ServiceExt};

use super::{phone, user};

/// What a process is told by the environment, under the names of these fields.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    pub(crate) redis: String,
    pub(crate) prefix: String,
    pub(crate) moojo: String,
    pub(crate) key: String,
    pub(crate) users: usize,
    /// Between two calls for a user, at most.
    pub(crate) pause_millis: u64,
}

/// Does the job in the environment, until its standard input ends. It prints a line for each call:
/// `ok` or `lost`.
pub(crate) async fn run() -> Result<(), BoxError> {
    let job = Job::from_env()?;
    let key = ApiKey::new(job.key.as_str())?;
    // Sessions, logins under way and leases are in Redis, for all processes.
    let store = RedisStore::builder(&job.redis).prefix(&job.prefix).build()?;
    let sessions = SessionManager::builder(store.clone())
        .leases(store.clone())
        // All of this is short because the tokens are.
        .lease(Duration::from_secs(3))
        .expiry_margin(Duration::from_secs(1))
        .build();
    let moojo = MoojoClient::builder(key.clone()).base_url(&job.moojo)?.build()?;
    let flow = LoginFlow::builder(moojo, sessions.clone())
        .challenges(store)
        .resend_cooldown(Duration::from_secs(2))
        .sends_per_number(1000, Duration::from_secs(3600))
        .build();
    let phones = Phones { inbox: format!("{}/sim/inbox", job.moojo), http: reqwest::Client::new() };
    let worker = LoginWorker::new(flow, phones).concurrency(64).lease(Duration::from_secs(3));
    tokio::spawn(worker.run());

    let client = SessionLayer::new(sessions.clone())
        .api_key(key)
        .allow_origin(&job.moojo)?
        .on_reauth(OnReauth::Wait(Duration::from_secs(30)))
        // On a busy machine a token may end on its way: such a call goes out again after the login.
        .repeat_bodies::<Full<Bytes>>()
        .layer(Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>());
    let is_over = until_input_ends();
    let mut callers = tokio::task::JoinSet::new();
    for n in 0..job.users {
        let (client, sessions, job) = (client.clone(), sessions.clone(), job.clone());
        let is_over = Arc::clone(&is_over);
        callers.spawn(async move {
            // They do not all begin in the same moment.
            pause(0..2000).await;
            while !is_over.load(Ordering::Relaxed) {
                let request = call_of(&job, n).expect("it is a request");
                let waits = matches!(sessions.get(&user(n)).await, Err(Error::ReauthRequired(_)));
                match client.clone().oneshot(request).await {
                    Ok(response) if response.status().is_success() => {
                        super::say(if waits { "ok after a login" } else { "ok" });
                    }
                    Ok(response) => super::say(&format!("lost {n} {}", response.status())),
                    Err(error) => super::say(&format!("lost {n} {}", Chain(&error))),
                }
                pause(job.pause_millis / 4..job.pause_millis).await;
            }
        });
    }
    while let Some(caller) = callers.join_next().await {
        caller?;
    }
    Ok(())
}

/// Is set at the end of the standard input: whoever started us wants no more, or has gone.
fn until_input_ends() -> Arc<AtomicBool> {
    let is_over = Arc::<AtomicBool>::default();
    let ended = Arc::clone(&is_over);
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        ended.store(true, Ordering::Relaxed);
    });
    is_over
}

/// A user-scoped call, which says to the simulator whose token it has to have.
fn call_of(job: &Job, n: usize) -> Result<Request<Full<Bytes>>, BoxError> {
    let mut request = Request::post(format!("{}/user/vault/list-credentials", job.moojo))
        .header("content-type", "application/json")
        .header("x-for", phone(n))
        .body(Full::from("{}"))?;
    request.extensions_mut().insert(user(n));
    Ok(request)
}

async fn pause(millis: std::ops::Range<u64>) {
    tokio::time::sleep(Duration::from_millis(fastrand::u64(millis))).await;
}

/// People who look at their phone and type what they read.
#[derive(Debug)]
struct Phones {
    inbox: String,
    http: reqwest::Client,
}

#[derive(Deserialize)]
struct Inbox {
    messages: Vec<Sms>,
}

#[derive(Deserialize)]
struct Sms {
    to: String,
    code: String,
}

#[async_trait]
impl People for Phones {
    async fn phone(
        &self,
        user: &UserId,
    ) -> Result<Option<PhoneNumber>, Box<dyn StdError + Send + Sync>> {
        let number = user.as_str().trim_start_matches("user-").parse()?;
        Ok(Some(phone(number).parse()?))
    }

    async fn code(&self, ask: &Ask) -> PersonReply {
        pause(300..1500).await;
        match self.read(ask).await {
            Ok(Some(code)) => PersonReply::Code(code),
            _ => PersonReply::NoAnswer,
        }
    }
}

impl Phones {
    /// The last code that came.
    async fn read(&self, ask: &Ask) -> Result<Option<VerificationCode>, BoxError> {
        let number = ask.user().as_str().trim_start_matches("user-").parse()?;
        let inbox = self.http.get(&self.inbox).send().await?.bytes().await?;
        let inbox: Inbox = serde_json::from_slice(&inbox)?;
        let last = inbox.messages.iter().rev().find(|sms| sms.to == phone(number));
        Ok(last.map(|sms| VerificationCode::new(&sms.code)).transpose()?)
    }
}

impl Job {
    pub(crate) fn env(&self) -> [(&'static str, String); 6] {
        [
            ("CLUSTER_REDIS", self.redis.clone()),
            ("CLUSTER_PREFIX", self.prefix.clone()),
            ("CLUSTER_MOOJO", self.moojo.clone()),
            ("CLUSTER_KEY", self.key.clone()),
            ("CLUSTER_USERS", self.users.to_string()),
            ("CLUSTER_PAUSE", self.pause_millis.to_string()),
        ]
    }

    fn from_env() -> Result<Self, BoxError> {
        let told = |name| env::var(name).map_err(|_| format!("{name} is not set"));
        Ok(Self {
            redis: told("CLUSTER_REDIS")?,
            prefix: told("CLUSTER_PREFIX")?,
            moojo: told("CLUSTER_MOOJO")?,
            key: told("CLUSTER_KEY")?,
            users: told("CLUSTER_USERS")?.parse()?,
            pause_millis: told("CLUSTER_PAUSE")?.parse()?,
        })
    }
}
