//! Everybody's token ends in the same second.
//!
//! 10,000 users, 10 calls of each that wait, 50 workers, a real server that sends the codes. Nine in
//! ten people type their code, some after a typo; of the others half say "not now" and half say
//! nothing.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::{Request, Response};
use moojo_otp::{
    Ask, LoginFlow, LoginWorker, MoojoClient, People, PersonReply, PhoneNumber, VerificationCode,
};
use moojo_session::{
    AccessToken, ApiKey, DeclineReason, Error, ManualClock, MemoryStore, OnReauth, Purpose,
    ReauthQueue, ReauthRequest, Session, SessionLayer, SessionManager, UserId, async_trait,
};
use moojo_sim::MoojoSim;
use tokio::task::JoinSet;
use tower::{Layer, ServiceExt, service_fn};

const USERS: usize = 10_000;
const CALLS_OF_EACH: usize = 10;
const WORKERS: usize = 50;
/// By the clock that the test moves, and longer than the test can take on the busiest machine: the
/// clock's sleep ends by real time as well.
const PATIENCE: Duration = Duration::from_secs(3600);
const LONGER: Duration = Duration::from_secs(2 * 3600);

fn user(i: usize) -> UserId {
    UserId::new(format!("user-{i}")).unwrap()
}

fn number_of(user: &UserId) -> usize {
    user.as_str().strip_prefix("user-").unwrap().parse().unwrap()
}

fn phone(i: usize) -> String {
    format!("+1555{i:07}")
}

/// What a person does, by number: the same in every run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Temper {
    Answers,
    MistypesFirst,
    NotNow,
    Silent,
}

fn temper(i: usize) -> Temper {
    match i % 20 {
        0 => Temper::NotNow,
        10 => Temper::Silent,
        5 => Temper::MistypesFirst,
        _ => Temper::Answers,
    }
}

#[derive(Debug)]
struct Crowd(Arc<MoojoSim>);

#[async_trait]
impl People for Crowd {
    async fn phone(
        &self,
        user: &UserId,
    ) -> Result<Option<PhoneNumber>, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Some(phone(number_of(user)).parse()?))
    }

    async fn code(&self, ask: &Ask) -> PersonReply {
        let i = number_of(ask.user());
        let code = self.0.last_code(&phone(i)).expect("it was sent before it is asked for");
        let code = match temper(i) {
            Temper::NotNow => return PersonReply::NotNow(Duration::from_secs(3600)),
            Temper::Silent => std::future::pending().await,
            Temper::MistypesFirst if ask.attempts_left().is_none() => wrong(&code),
            Temper::MistypesFirst | Temper::Answers => code,
        };
        PersonReply::Code(VerificationCode::new(&code).unwrap())
    }
}

fn wrong(code: &str) -> String {
    code.chars().map(|digit| if digit == '0' { '1' } else { '0' }).collect()
}

/// How the calls ended.
#[derive(Debug, Default, PartialEq, Eq)]
struct Ends {
    answered: usize,
    declined: usize,
    deadline: usize,
    other: usize,
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_7_to_11_one_code_each_and_every_call_ends() {
    let clock = ManualClock::new("2025-02-16T13:12:52.555Z".parse().unwrap());
    let sim = Arc::new(MoojoSim::builder().clock(clock.clone()).start().await.unwrap());
    let sessions = SessionManager::builder(MemoryStore::new()).clock(clock.clone()).build();
    let key = ApiKey::new(sim.api_key()).unwrap();
    let moojo = MoojoClient::builder(key).base_url(&sim.base_url()).unwrap().clock(clock.clone());
    let moojo = moojo.timeout(PATIENCE).build().unwrap();
    let flow = LoginFlow::builder(moojo, sessions.clone()).code_life(LONGER).build();

    let ends = "2025-02-16T15:12:52Z".parse().unwrap();
    for i in 0..USERS {
        let token = AccessToken::new(format!("old-{i}")).unwrap();
        let session = Session::builder(user(i), token).expires_at(ends).build().unwrap();
        sessions.insert(session).await.unwrap();
    }
    clock.advance(Duration::from_secs(7200));

    let others_token = Arc::new(AtomicUsize::new(0));
    let client = SessionLayer::new(sessions.clone())
        .allow_origin("https://api.moojo.id")
        .unwrap()
        .on_reauth(OnReauth::Wait(PATIENCE))
        .layer(service_fn({
            let (sim, others_token) = (Arc::clone(&sim), Arc::clone(&others_token));
            move |request: Request<()>| {
                let user: &UserId = request.extensions().get().unwrap();
                let token = request.headers()["authorization"].to_str().unwrap();
                let owner = sim.user_of(token.strip_prefix("Bearer ").unwrap());
                let own = owner == sim.public_user_id(&phone(number_of(user)));
                others_token.fetch_add(usize::from(!own), Ordering::Relaxed);
                std::future::ready(Ok::<_, std::io::Error>(Response::new(())))
            }
        }));

    let mut calls = JoinSet::new();
    for i in 0..USERS * CALLS_OF_EACH {
        let mut request = Request::get("https://api.moojo.id/").body(()).unwrap();
        request.extensions_mut().insert(user(i % USERS));
        request.extensions_mut().insert(Purpose::new(format!("tool {}", i / USERS)).unwrap());
        let call = client.clone().oneshot(request);
        calls.spawn(async move { call.await.map(|_| ()) });
    }
    let queue = sessions.reauth_queue();
    // In a task, which has its turn with those of the calls.
    tokio::spawn(all_wait(queue.clone())).await.unwrap();
    assert_eq!(queue.len(), USERS, "one request each");
    assert_eq!(sim.sms_count(), 0, "all were registered before anybody was asked (rule 11)");

    let mut workers = JoinSet::new();
    for _ in 0..WORKERS {
        let worker = LoginWorker::new(flow.clone(), Crowd(Arc::clone(&sim)));
        workers.spawn(worker.concurrency(USERS / WORKERS * 2).run());
    }

    let of = |temper_: Temper| (0..USERS).filter(|i| temper(*i) == temper_).count();
    let silent = of(Temper::Silent) * CALLS_OF_EACH;
    let mut counted = Ends::default();
    while calls.len() > silent {
        counted.add(calls.join_next().await.unwrap().unwrap());
        assert_eq!(counted.deadline, 0, "{counted:?}");
    }
    // The silent ones wait for their deadline.
    clock.advance(PATIENCE);
    while let Some(end) = calls.join_next().await {
        counted.add(end.unwrap());
    }

    let answered = of(Temper::Answers) + of(Temper::MistypesFirst);
    let expected = Ends {
        answered: answered * CALLS_OF_EACH,
        declined: of(Temper::NotNow) * CALLS_OF_EACH,
        deadline: silent,
        other: 0,
    };
    assert_eq!(counted, expected);
    assert_eq!(others_token.load(Ordering::Relaxed), 0);
    let mut codes = HashMap::<_, usize>::new();
    sim.messages().into_iter().for_each(|message| *codes.entry(message.to).or_default() += 1);
    assert_eq!(codes.len(), USERS, "everybody was asked");
    assert_eq!(codes.values().max(), Some(&1), "and got one code");
}

impl Ends {
    fn add(&mut self, end: Result<(), Error<std::io::Error>>) {
        match end {
            Ok(()) => self.answered += 1,
            Err(Error::Declined(declined)) if declined.reason() == DeclineReason::NotNow => {
                self.declined += 1;
            }
            Err(Error::ReauthRequired(signal)) if signal.waited() == Some(PATIENCE) => {
                self.deadline += 1;
            }
            Err(_) => self.other += 1,
        }
    }
}

/// Lets the others run until all calls wait.
async fn all_wait(queue: ReauthQueue) {
    let waiting = || queue.list(None, USERS).iter().map(ReauthRequest::waiting).sum::<usize>();
    while waiting() < USERS * CALLS_OF_EACH {
        for _ in 0..1000 {
            tokio::task::yield_now().await;
        }
    }
}
