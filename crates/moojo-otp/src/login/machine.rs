//! What may happen to a login, and what follows: all decisions of the flow, without its I/O.
//!
//! Nothing in here waits, asks a store or reads a clock. Whoever does (`send` and `verify`) loads
//! the user's record, has this module make the next one of it, writes that over the revision that
//! was loaded, calls Moojo, and writes what this module says follows from the outcome.
//!
//! ```text
//!                         begin_send (the cooldown is over)
//!        ┌──────────────────────────────────────────────────────────────┐
//!        ▼                                                              │
//!  Idle ──▶ Sending ──taken────▶ Sent ─────┐                            │
//!   ▲          │ ├─────unknown──▶ Unknown ─┤ begin_attempt, again and   │
//!   │          │ └─────refused──▶ Refused ─┤ again (Refused only if     │
//!   │          │                           │ an earlier code is out)    │
//!   └─not sent─┘                           ├──accepted──▶ Done ─────────┤
//!     (or whatever it was before)          ├──none left─▶ Locked ───────┤
//!                                          └──code life─▶ Lapsed ───────┘
//! ```
//!
//! "Verifying" is no state of its own: an attempt is counted before it is made, so while it is under
//! way the record is what it was, with one more attempt. A process that goes away in between leaves
//! nothing behind that somebody would have to clear up.

use std::time::Duration;

use chrono::{DateTime, Utc};
use moojo_session::{Challenge, ChallengeState, Revision, SessionId, UserId};

use super::error::later;
use crate::error::MoojoError;
use crate::phone::PhoneNumber;

/// What the flow's owner has set.
#[derive(Debug, Clone, Copy)]
pub(super) struct Policy {
    pub(super) resend_cooldown: Duration,
    pub(super) code_life: Duration,
    pub(super) attempts_per_code: u32,
}

/// How a login stands: what a record means at a time under a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// There is no record.
    Idle,
    /// A send is recorded. It may be under way, or its maker may have gone.
    Sending,
    /// Moojo has taken the order to send a code.
    Sent,
    /// Nobody knows whether it has.
    Unknown,
    /// It has not, but a code that was sent before may be out.
    Refused { earlier_code: bool },
    /// A code has made a session.
    Done,
    /// A code may be out, but was tried as often as it may be.
    Locked,
    /// The record's time is over.
    Lapsed,
}

/// Why a send or an attempt is not begun; each with the time from which on a send may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    TooSoon { retry_at: DateTime<Utc> },
    NoCode { retry_at: DateTime<Utc> },
    Locked { retry_at: DateTime<Utc> },
    Used { retry_at: DateTime<Utc> },
}

/// What a person who calls `send_code` wants.
#[derive(Debug)]
pub(super) struct Wish<'a> {
    pub(super) user: &'a UserId,
    pub(super) phone: &'a PhoneNumber,
    /// The number as the record keeps it.
    pub(super) address: &'a str,
}

/// A send that may be made once its record is written.
#[derive(Debug)]
pub(super) struct Sending {
    before: Option<Challenge>,
    record: Challenge,
}

/// What came of a send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SendOutcome {
    /// Moojo has taken the order.
    Taken,
    /// It may have.
    Unknown,
    /// It has not, and is not to be asked again before this time.
    Refused { resend_at: DateTime<Utc> },
    /// It certainly got no order.
    NotSent,
}

/// What to do with a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    /// It is somebody else's, or nothing follows.
    Keep,
    /// Write this in its place.
    Write(Challenge),
    /// Remove it.
    Remove,
}

/// An attempt that may be made once its record is written, with the attempt counted.
#[derive(Debug)]
pub(super) struct Attempt {
    expected: Revision,
    record: Challenge,
}

/// What came of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AttemptOutcome {
    /// The code was good, and this is the session that it made.
    Accepted(SessionId),
    /// The code was wrong.
    Wrong,
    /// Moojo certainly never saw it.
    NotMade,
    /// Nobody knows whether Moojo looked at it. The attempt stays counted.
    Unknown,
}

impl State {
    pub(super) fn of(record: Option<&Challenge>, now: DateTime<Utc>, policy: &Policy) -> Self {
        let Some(record) = record else { return Self::Idle };
        if record.lapses_at() <= now {
            return Self::Lapsed;
        }
        if record.code_may_be_out() && record.attempts() >= policy.attempts_per_code {
            return Self::Locked;
        }
        match record.state() {
            ChallengeState::Sending => Self::Sending,
            ChallengeState::Sent => Self::Sent,
            ChallengeState::Refused => Self::Refused { earlier_code: record.code_may_be_out() },
            ChallengeState::Redeemed(_) => Self::Done,
            // Whatever else there may be one day, nobody here knows what came of it.
            _ => Self::Unknown,
        }
    }

    /// Whether a code may be in the person's hands that has attempts left.
    pub(super) fn code_can_be_tried(self) -> bool {
        matches!(
            self,
            Self::Sending | Self::Sent | Self::Unknown | Self::Refused { earlier_code: true }
        )
    }
}

impl Policy {
    /// Whether a send may be begun at `now`, whatever the number.
    pub(super) fn may_send(
        &self,
        record: Option<&Challenge>,
        now: DateTime<Utc>,
    ) -> Result<(), Refusal> {
        let Some(record) = record else { return Ok(()) };
        // One far in the future is one before the clock was set back. One that is not may be that of
        // a process whose clock is ahead of this one's.
        let is_past = record.sent_at() <= later(now, self.resend_cooldown);
        if is_past && now < record.resend_at() {
            return Err(Refusal::TooSoon { retry_at: record.resend_at() });
        }
        Ok(())
    }

    /// The send to record over `before`, if it may be begun at `now`.
    pub(super) fn begin_send(
        &self,
        before: Option<Challenge>,
        wish: &Wish<'_>,
        now: DateTime<Utc>,
    ) -> Result<Sending, Refusal> {
        self.may_send(before.as_ref(), now)?;
        let resend_at = later(now, self.resend_cooldown);
        let lapses_at = later(now, self.code_life).max(resend_at);
        let record = match &before {
            Some(before) if is_to(before, wish.phone) && now < before.lapses_at() => {
                before.resend(now, resend_at, lapses_at)
            }
            _ => Challenge::open(wish.user.clone(), wish.address, now, resend_at, lapses_at),
        };
        Ok(Sending { before, record })
    }

    /// The attempt to record over `record`, if one may be begun at `now`.
    pub(super) fn begin_attempt(
        &self,
        record: Option<&Challenge>,
        now: DateTime<Utc>,
    ) -> Result<Attempt, Refusal> {
        let Some(known) = record else { return Err(Refusal::NoCode { retry_at: now }) };
        let retry_at = known.resend_at().max(now);
        match State::of(record, now, self) {
            State::Done => Err(Refusal::Used { retry_at }),
            State::Locked => Err(Refusal::Locked { retry_at }),
            state if state.code_can_be_tried() => {
                Ok(Attempt { expected: known.revision(), record: known.attempted() })
            }
            _ => Err(Refusal::NoCode { retry_at }),
        }
    }

    /// How often a code may still be tried once `attempt` was.
    pub(super) fn attempts_left(&self, attempt: &Attempt) -> u32 {
        self.attempts_per_code.saturating_sub(attempt.record.attempts())
    }
}

impl Sending {
    /// The revision that the record is to be written over.
    pub(super) fn expected(&self) -> Option<Revision> {
        self.before.as_ref().map(Challenge::revision)
    }

    /// The record.
    pub(super) fn record(&self) -> &Challenge {
        &self.record
    }

    /// What it means for this send that Moojo's client failed at `now`.
    pub(super) fn outcome(&self, error: &MoojoError, now: DateTime<Utc>) -> SendOutcome {
        match error {
            MoojoError::NotSent { .. } => SendOutcome::NotSent,
            error if error.may_have_worked() => SendOutcome::Unknown,
            MoojoError::RateLimited { retry_after: Some(after), .. } => {
                SendOutcome::Refused { resend_at: self.record.resend_at().max(later(now, *after)) }
            }
            _ => SendOutcome::Refused { resend_at: self.record.resend_at().max(now) },
        }
    }

    /// What becomes of the record that is now `current`: nothing, if a later send has taken the
    /// place of this one or its code was used already.
    pub(super) fn after(
        &self,
        outcome: SendOutcome,
        current: &Challenge,
        now: DateTime<Utc>,
    ) -> Change {
        let ours = current.state() == ChallengeState::Sending && same_send(current, &self.record);
        if !ours {
            return Change::Keep;
        }
        match (outcome, &self.before) {
            (SendOutcome::Taken, _) => Change::Write(current.sent()),
            (SendOutcome::Unknown, _) => Change::Write(current.unknown()),
            (SendOutcome::Refused { resend_at }, _) => {
                Change::Write(self.refused(current, resend_at))
            }
            (SendOutcome::NotSent, Some(before)) => Change::Write(current.not_sent(before)),
            (SendOutcome::NotSent, None) if current.attempts() == 0 => Change::Remove,
            // Somebody has tried a code meanwhile, which stays counted.
            (SendOutcome::NotSent, None) => Change::Write(current.refused(now)),
        }
    }

    /// A refused send. A code that was sent before it stays good, to whichever number that was.
    fn refused(&self, current: &Challenge, resend_at: DateTime<Utc>) -> Challenge {
        let other_number = self
            .before
            .as_ref()
            .filter(|before| before.expose_address() != self.record.expose_address())
            .filter(|before| before.code_may_be_out())
            .filter(|before| self.record.sent_at() < before.lapses_at());
        match other_number {
            Some(before) => before
                .resend(self.record.sent_at(), resend_at, before.lapses_at())
                .refused(resend_at),
            None => current.refused(resend_at),
        }
    }
}

impl Attempt {
    /// The revision that the record is to be written over.
    pub(super) fn expected(&self) -> Revision {
        self.expected
    }

    /// The record.
    pub(super) fn record(&self) -> &Challenge {
        &self.record
    }

    /// What becomes of the record that is now `current`: nothing, if another code was sent since or
    /// used already.
    pub(super) fn after(&self, outcome: AttemptOutcome, current: &Challenge) -> Change {
        let used = matches!(current.state(), ChallengeState::Redeemed(_));
        if used || !same_send(current, &self.record) {
            return Change::Keep;
        }
        match outcome {
            AttemptOutcome::Accepted(session) => Change::Write(current.redeemed(session)),
            AttemptOutcome::NotMade => Change::Write(current.not_attempted()),
            AttemptOutcome::Wrong | AttemptOutcome::Unknown => Change::Keep,
        }
    }
}

impl AttemptOutcome {
    /// What it means for an attempt that Moojo's client failed.
    pub(super) fn of(error: &MoojoError) -> Self {
        match error {
            MoojoError::NotSent { .. } => Self::NotMade,
            MoojoError::Refused { .. } => Self::Wrong,
            _ => Self::Unknown,
        }
    }
}

/// Whether two records are of one send, with more or fewer attempts. No two sends of a user are
/// recorded at the same moment.
fn same_send(one: &Challenge, other: &Challenge) -> bool {
    one.sent_at() == other.sent_at() && one.expose_address() == other.expose_address()
}

fn is_to(record: &Challenge, phone: &PhoneNumber) -> bool {
    PhoneNumber::from_kept(record.expose_address()).is_some_and(|kept| kept == *phone)
}

#[cfg(test)]
mod tests;
