//! The store and the Moojo of the processes, which watch the rules.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::task::Poll;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::{Request, Response};
use moojo_session::{
    Admission, Challenge, ChallengeState, ChallengeStore, MemoryChallengeStore, Quota, Revision,
    StoreError, UserId,
};
use parking_lot::Mutex;

use super::{ATTEMPTS, COOLDOWN};
use crate::transport::{Transport, TransportError};

/// Each call of a process waits for its turn once, and then happens with the fate of that turn.
///
/// It panics as soon as
/// - one call of `send_code` makes two orders of an SMS;
/// - an order is made within the cooldown of an earlier one that may have been carried out, unless
///   the clock was set back in between: so nothing follows one whose outcome is unknown, nor one
///   whose process has gone, but another wish of the person, later;
/// - a code is tried more often than it may be, by what has reached Moojo;
/// - an attempt is begun at a code whose success was recorded.
#[derive(Debug, Clone)]
pub(super) struct World {
    store: MemoryChallengeStore,
    facts: Arc<Mutex<Facts>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Send,
    Verify,
}

/// A send as the record knows it: when, and where to.
type Login = (DateTime<Utc>, String);

#[derive(Debug)]
struct Known {
    kind: Kind,
    /// How often the clock had been set back when it began.
    era: u32,
    /// The send that it has recorded, or that it tries a code of.
    login: Option<Login>,
    /// Whether the success of that was recorded before.
    too_late: bool,
    calls: u32,
}

#[derive(Debug, Default)]
struct Facts {
    processes: Vec<Known>,
    running: usize,
    fate: u8,
    era: u32,
    redeemed: HashSet<Login>,
    tried: HashMap<Login, u32>,
    /// The orders that may have been carried out: when they were recorded, and in which era.
    orders: Vec<(DateTime<Utc>, u32)>,
    seen: Seen,
}

/// How often it came to what the rules are about.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Seen {
    orders: u32,
    unknown_orders: u32,
    lost_swaps: u32,
    attempts: u32,
    unknown_attempts: u32,
    redeemed: u32,
    last_attempts: u32,
}

impl Seen {
    fn each(&mut self) -> [&mut u32; 7] {
        [
            &mut self.orders,
            &mut self.unknown_orders,
            &mut self.lost_swaps,
            &mut self.attempts,
            &mut self.unknown_attempts,
            &mut self.redeemed,
            &mut self.last_attempts,
        ]
    }

    pub(super) fn add(&mut self, mut more: Self) {
        for (sum, more) in self.each().into_iter().zip(more.each()) {
            *sum += *more;
        }
    }

    pub(super) fn all_above(mut self, floor: u32) -> bool {
        self.each().into_iter().all(|count| *count > floor)
    }
}

impl World {
    pub(super) fn new() -> Self {
        Self { store: MemoryChallengeStore::new(), facts: Arc::default() }
    }

    pub(super) fn start(&self, kind: Kind) -> usize {
        let mut facts = self.facts.lock();
        let era = facts.era;
        facts.processes.push(Known { kind, era, login: None, too_late: false, calls: 0 });
        facts.processes.len() - 1
    }

    pub(super) fn turn(&self, process: usize, fate: u8) {
        let mut facts = self.facts.lock();
        (facts.running, facts.fate) = (process, fate);
    }

    pub(super) fn clock_set_back(&self) {
        self.facts.lock().era += 1;
    }

    pub(super) fn seen(&self) -> Seen {
        self.facts.lock().seen
    }

    /// One call of the store, which may fail, before or after it did what it was asked.
    async fn answer<T>(
        &self,
        call: impl AsyncFnOnce() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        its_turn().await;
        let fate = self.facts.lock().fate;
        if fate == 0 {
            return Err(StoreError::unavailable("down"));
        }
        let answer = call().await;
        if fate == 1 { Err(StoreError::timed_out("the answer was lost")) } else { answer }
    }
}

impl Facts {
    fn running(&mut self) -> &mut Known {
        &mut self.processes[self.running]
    }

    fn written(&mut self, next: &Challenge) {
        let login = (next.sent_at(), next.expose_address().to_owned());
        let too_late = self.redeemed.contains(&login);
        let first = self.running().login.is_none();
        if first {
            self.running().login = Some(login.clone());
            self.running().too_late = too_late;
        }
        if matches!(next.state(), ChallengeState::Redeemed(_)) && self.redeemed.insert(login) {
            self.seen.redeemed += 1;
        }
    }

    fn order(&mut self) -> Result<Response<Bytes>, TransportError> {
        let era = self.era;
        let known = self.running();
        assert_eq!(known.kind, Kind::Send, "nobody wished for a code");
        assert_eq!(known.calls, 0, "two orders for one wish");
        known.calls += 1;
        let (at, _) = known.login.clone().expect("a send is recorded before it is made");
        // If the clock was set back while it ran, nothing can be said of it.
        let order = (at, if known.era == era { era } else { u32::MAX });
        let outcome = match self.fate % 8 {
            0 => return Err(TransportError::not_sent("down")),
            1 | 2 => Err(TransportError::unknown("gone")),
            3 => Ok(answer(500)),
            4 => Ok(answer(400)),
            5 => Ok(answer(429)),
            _ => Ok(answer(200)),
        };
        for (earlier, era) in &self.orders {
            let comparable = order.1 == *era && *era != u32::MAX;
            let apart = (at - earlier).abs() >= COOLDOWN;
            assert!(!comparable || apart, "an order within the cooldown of another");
        }
        self.orders.push(order);
        self.seen.orders += 1;
        self.seen.unknown_orders += u32::from(outcome.is_err());
        outcome
    }

    fn attempt(&mut self) -> Result<Response<Bytes>, TransportError> {
        let known = self.running();
        assert_eq!(known.kind, Kind::Verify, "nobody has typed a code");
        assert_eq!(known.calls, 0, "two calls for one code");
        known.calls += 1;
        let login = known.login.clone().expect("an attempt is counted before it is made");
        assert!(!known.too_late, "a code was used again");
        let outcome = match self.fate % 8 {
            0 | 1 => return Err(TransportError::not_sent("down")),
            2 => Err(TransportError::unknown("gone")),
            3 => Ok(answer(500)),
            4 | 5 => Ok(answer(400)),
            _ => Ok(answer(200)),
        };
        let tried = self.tried.entry(login).or_default();
        *tried += 1;
        assert!(*tried <= ATTEMPTS, "a code was tried too often");
        self.seen.last_attempts += u32::from(*tried == ATTEMPTS);
        self.seen.attempts += 1;
        self.seen.unknown_attempts += u32::from(outcome.is_err());
        outcome
    }
}

/// Ends when the process is polled for the second time.
async fn its_turn() {
    let mut waited = false;
    std::future::poll_fn(|_| {
        if std::mem::replace(&mut waited, true) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

fn answer(status: u16) -> Response<Bytes> {
    let body = r#"{"status":"success","data":{"token":"6c0350a0"}}"#;
    let mut answer = Response::new(Bytes::from_static(body.as_bytes()));
    *answer.status_mut() = http::StatusCode::from_u16(status).expect("three digits");
    answer
}

#[async_trait]
impl Transport for World {
    async fn send(
        &self,
        request: Request<Bytes>,
        _: usize,
    ) -> Result<Response<Bytes>, TransportError> {
        its_turn().await;
        let mut facts = self.facts.lock();
        if request.uri().path() == "/send-verification-code" {
            facts.order()
        } else {
            facts.attempt()
        }
    }
}

#[async_trait]
impl ChallengeStore for World {
    async fn load(&self, user: &UserId) -> Result<Option<Challenge>, StoreError> {
        self.answer(async || self.store.load(user).await).await
    }

    async fn swap(
        &self,
        expected: Option<Revision>,
        next: &Challenge,
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        let swap = async || {
            let swapped = self.store.swap(expected, next, now).await?;
            let mut facts = self.facts.lock();
            if swapped {
                facts.written(next);
            } else {
                facts.seen.lost_swaps += 1;
            }
            Ok(swapped)
        };
        self.answer(swap).await
    }

    async fn remove(&self, user: &UserId, expected: Revision) -> Result<bool, StoreError> {
        self.answer(async || self.store.remove(user, expected).await).await
    }

    async fn admit(&self, quota: &Quota<'_>, now: DateTime<Utc>) -> Result<Admission, StoreError> {
        self.store.admit(quota, now).await
    }

    async fn give_back(&self, quota: &Quota<'_>, now: DateTime<Utc>) -> Result<(), StoreError> {
        self.store.give_back(quota, now).await
    }
}
