//! A transport that answers as it is told, and what tests of it have in common.

#![allow(dead_code, reason = "every test binary uses a part of it")]

use std::collections::VecDeque;
use std::error::Error;
use std::sync::Arc;
use std::sync::Mutex;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::{Request, Response, StatusCode};
use moojo_otp::{MoojoClient, MoojoClientBuilder, PhoneNumber, Transport, TransportError};
use moojo_session::{ApiKey, Clock, ManualClock, UserId, async_trait};
use tokio::sync::{Semaphore, watch};

mod world;

#[allow(unused_imports, reason = "every test binary uses a part of it")]
pub(crate) use world::{Failing, Unwritten, World, world, world_with};

pub(crate) const NOW: &str = "2025-02-16T13:12:52.555Z";
pub(crate) const TOKEN: &str = "6c0350a00925b9bbd3408a4e382c2790aa92accff189e7735fdf2a3d4dc67b08";
pub(crate) const TRACE: &str = "ce194afc-fe80-4cf9-a174-3e3256760ec8";
pub(crate) const SEND: &str = "/send-verification-code";
pub(crate) const AUTHENTICATE: &str = "/user/authenticate";

pub(crate) type Outcome = Result<Response<Bytes>, TransportError>;

/// Clones are the same.
#[derive(Debug, Clone)]
pub(crate) struct Fake(Arc<State>);

#[derive(Debug)]
struct State {
    script: Mutex<VecDeque<Outcome>>,
    requests: Mutex<Vec<(String, String)>>,
    seen: watch::Sender<usize>,
    gate: Semaphore,
    max_body_bytes: Mutex<usize>,
}

impl Fake {
    pub(crate) fn new() -> Self {
        Self(Arc::new(State {
            script: Mutex::default(),
            requests: Mutex::default(),
            seen: watch::Sender::new(0),
            gate: Semaphore::new(1 << 20),
            max_body_bytes: Mutex::default(),
        }))
    }

    /// The outcome of the next request that has none yet. Others succeed.
    pub(crate) fn then(&self, outcome: Outcome) -> &Self {
        self.0.script.lock().unwrap().push_back(outcome);
        self
    }

    /// Requests that come from now on wait.
    pub(crate) fn hold(&self) {
        self.0.gate.forget_permits(1 << 20);
    }

    pub(crate) fn release(&self) {
        self.0.gate.add_permits(1 << 20);
    }

    pub(crate) fn requests(&self) -> Vec<(String, String)> {
        self.0.requests.lock().unwrap().clone()
    }

    pub(crate) fn count(&self, path: &str) -> usize {
        self.requests().iter().filter(|(to, _)| to == path).count()
    }

    pub(crate) async fn wait_for(&self, requests: usize) {
        self.0.seen.subscribe().wait_for(|seen| *seen >= requests).await.unwrap();
    }

    pub(crate) fn max_body_bytes(&self) -> usize {
        *self.0.max_body_bytes.lock().unwrap()
    }
}

#[async_trait]
impl Transport for Fake {
    async fn send(&self, request: Request<Bytes>, max_body_bytes: usize) -> Outcome {
        let path = request.uri().path().to_owned();
        let body = String::from_utf8(request.body().to_vec()).unwrap();
        *self.0.max_body_bytes.lock().unwrap() = max_body_bytes;
        self.0.requests.lock().unwrap().push((path.clone(), body));
        let outcome = self.0.script.lock().unwrap().pop_front();
        self.0.seen.send_modify(|seen| *seen += 1);
        self.0.gate.acquire().await.unwrap().forget();
        match (outcome, path.as_str()) {
            (Some(outcome), _) => outcome,
            (None, SEND) => sent(),
            (None, _) => authenticated(TOKEN),
        }
    }
}

pub(crate) fn answer(status: u16, body: &str) -> Outcome {
    answer_with(status, &[("content-type", "application/json")], body.as_bytes())
}

pub(crate) fn answer_with(status: u16, headers: &[(&str, &str)], body: &[u8]) -> Outcome {
    let mut answer = Response::builder().status(StatusCode::from_u16(status).unwrap());
    for (name, value) in headers {
        answer = answer.header(*name, *value);
    }
    Ok(answer.body(Bytes::copy_from_slice(body)).unwrap())
}

pub(crate) fn sent() -> Outcome {
    answer(200, &format!(r#"{{"status":"success","traceId":"{TRACE}","data":{{}}}}"#))
}

pub(crate) fn authenticated(token: &str) -> Outcome {
    let data = format!(r#"{{"token":"{token}"}}"#);
    answer(200, &format!(r#"{{"status":"success","traceId":"{TRACE}","data":{data}}}"#))
}

pub(crate) fn refused(status: u16) -> Outcome {
    answer(status, &format!(r#"{{"status":"error","traceId":"{TRACE}"}}"#))
}

pub(crate) fn not_sent() -> Outcome {
    Err(TransportError::not_sent("connection refused"))
}

pub(crate) fn cut() -> Outcome {
    Err(TransportError::unknown("connection reset"))
}

pub(crate) fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

pub(crate) fn clock() -> ManualClock {
    ManualClock::new(at(NOW))
}

pub(crate) fn alice() -> UserId {
    UserId::new("alice").unwrap()
}

pub(crate) fn phone() -> PhoneNumber {
    "+1(555)987-6543".parse().unwrap()
}

pub(crate) fn builder(fake: &Fake, clock: &impl CloneClock) -> MoojoClientBuilder {
    let key = ApiKey::new("planted-api-key").unwrap();
    MoojoClient::builder(key).transport(fake.clone()).clock(clock.clone()).retries(0)
}

pub(crate) trait CloneClock: Clock + Clone {}
impl<C: Clock + Clone> CloneClock for C {}

/// Everything that an error and its sources show.
pub(crate) fn shown(error: &(dyn Error + 'static)) -> String {
    let mut text = format!("{error} {error:?}");
    let mut next = error.source();
    while let Some(source) = next {
        text.push_str(&format!(" {source} {source:?}"));
        next = source.source();
    }
    text
}
