//! The people, as the login workers reach them.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use moojo_otp::{Ask, People, PersonReply, PhoneNumber, VerificationCode};
use moojo_session::{Clock, ManualClock, ReauthRequest, UserId, async_trait};
use moojo_sim::MoojoSim;

use super::{BoxError, dice, minutes};

/// Somebody whom agents work for.
#[derive(Debug)]
pub(super) struct Person {
    pub(super) user: UserId,
    pub(super) phone: String,
    temper: Temper,
    /// How long it takes to find the phone and to type a code.
    takes: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Temper {
    Answers,
    MistypesFirst,
    /// "Not now", the first time.
    Busy,
    Away,
}

impl Person {
    pub(super) fn new(seed: u64, number: usize) -> Self {
        let mut dice = dice(!seed, number as u64);
        let temper = match dice.u32(0..100) {
            0..=4 => Temper::Away,
            5..=11 => Temper::Busy,
            12..=21 => Temper::MistypesFirst,
            _ => Temper::Answers,
        };
        // Most are quick: half of them within a minute, nobody later than four.
        let seconds = 10.0 + 230.0 * dice.f64().powi(3);
        Self {
            user: UserId::new(format!("user-{number}")).expect("it is short and has no controls"),
            phone: format!("+1555{number:07}"),
            temper,
            takes: Duration::from_secs_f64(seconds),
        }
    }
}

/// All of them, for the workers. Clones are the same people.
#[derive(Clone)]
pub(super) struct Crowd(Arc<Inner>);

struct Inner {
    people: Arc<[Person]>,
    sim: Arc<MoojoSim>,
    clock: ManualClock,
    /// Who was asked for which code, and how often.
    asked: Mutex<HashMap<(UserId, DateTime<Utc>), usize>>,
    /// For whom a code is being sent or verified.
    logging_in: Mutex<HashSet<UserId>>,
}

impl Crowd {
    pub(super) fn new(people: Arc<[Person]>, sim: Arc<MoojoSim>, clock: ManualClock) -> Self {
        let (asked, logging_in) = (Mutex::default(), Mutex::default());
        Self(Arc::new(Inner { people, sim, clock, asked, logging_in }))
    }

    pub(super) fn people(&self) -> &[Person] {
        &self.0.people
    }

    /// How often a person was asked for a code that was sent, however often for the same one.
    pub(super) fn asked(&self) -> usize {
        self.0.asked.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// How often a person was asked for the same code by a second worker.
    pub(super) fn taken_over(&self) -> usize {
        let asked = self.0.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.values().filter(|times| **times > 1).count()
    }

    /// Whether a code is being sent or verified for any of these requests.
    pub(super) fn is_logging_in(&self, requests: &[ReauthRequest]) -> bool {
        let mut logging_in = self.logging_in();
        // A login that has succeeded has ended its request.
        logging_in.retain(|user| requests.iter().any(|request| request.user() == user));
        !logging_in.is_empty()
    }

    fn logging_in(&self) -> MutexGuard<'_, HashSet<UserId>> {
        self.0.logging_in.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn person(&self, user: &UserId) -> Option<&Person> {
        let number = user.as_str().strip_prefix("user-")?.parse::<usize>().ok()?;
        self.0.people.get(number)
    }

    /// Says whether it is the first code of this person's.
    fn note(&self, ask: &Ask) -> bool {
        let mut asked = self.0.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let (user, sent_at) = (ask.user(), ask.challenge().sent_at());
        *asked.entry((user.clone(), sent_at)).or_default() += 1;
        asked.keys().filter(|(other, _)| other == user).count() == 1
    }
}

#[async_trait]
impl People for Crowd {
    async fn phone(&self, user: &UserId) -> Result<Option<PhoneNumber>, BoxError> {
        self.logging_in().insert(user.clone());
        self.person(user).map(|person| Ok(person.phone.parse()?)).transpose()
    }

    /// In earnest: a push message, with the purposes of the calls that wait.
    async fn code(&self, ask: &Ask) -> PersonReply {
        self.logging_in().remove(ask.user());
        let mistyped = ask.attempts_left().is_some();
        let first_time = if mistyped { false } else { self.note(ask) };
        let Some(person) = self.person(ask.user()) else { return PersonReply::NoAnswer };
        if person.temper == Temper::Away {
            return std::future::pending().await;
        }
        self.0.clock.sleep(person.takes).await;
        if person.temper == Temper::Busy && first_time {
            return PersonReply::NotNow(minutes(30));
        }
        let code = self.0.sim.last_code(&person.phone).unwrap_or_default();
        let wrong = person.temper == Temper::MistypesFirst && !mistyped;
        match VerificationCode::new(&if wrong { mistype(&code) } else { code }) {
            Ok(code) => {
                self.logging_in().insert(ask.user().clone());
                PersonReply::Code(code)
            }
            Err(_) => PersonReply::NoAnswer,
        }
    }
}

fn mistype(code: &str) -> String {
    code.chars().map(|digit| if digit == '0' { '1' } else { '0' }).collect()
}

impl fmt::Debug for Crowd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Crowd").field("people", &self.0.people.len()).finish_non_exhaustive()
    }
}
