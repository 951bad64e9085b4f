use std::fmt;

use chrono::{DateTime, Utc};

use crate::session::SessionId;
use crate::user::UserId;

/// Which writing of a user's record it is. Every writing has a new one. It is below 2^63, so that any
/// database has a number for it.
pub type Revision = u64;

/// One user's login under way: a value that never changes. A transition makes the next record, with
/// the next revision, for [`ChallengeStore::swap`](super::ChallengeStore::swap) to write.
///
/// ```text
///            open ──▶ Sending ──▶ Sent ────┐
///                        │                 │ attempt …
///      resend ───────────┼──▶ Unknown ─────┼──▶ Redeemed
///                        │                 │
///                        └──▶ Refused      └──▶ (locked: no attempts left)
/// ```
///
/// A code can be tried as soon as one may have arrived: from `Sending` on, and after a refused
/// resend if an earlier code was sent.
#[derive(Clone, PartialEq, Eq)]
pub struct Challenge {
    pub(super) user: UserId,
    pub(super) revision: Revision,
    pub(super) address: String,
    pub(super) state: ChallengeState,
    /// If a code of an earlier send may be in the person's hands: how often one was tried then.
    pub(super) earlier: Option<u32>,
    pub(super) attempts: u32,
    pub(super) sent_at: DateTime<Utc>,
    pub(super) resend_at: DateTime<Utc>,
    pub(super) lapses_at: DateTime<Utc>,
}

/// How far a login has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChallengeState {
    /// The send is recorded and is being made. If this is all that is ever heard of it, its outcome
    /// is unknown (rule 8).
    Sending,
    /// Moojo has taken the order to send a code.
    Sent,
    /// Moojo refused to send one.
    Refused,
    /// The order went out, and no answer came back. It is never repeated by itself.
    Unknown,
    /// A code was accepted, and this is the session that came of it.
    Redeemed(SessionId),
}

impl Challenge {
    /// A first send to `address`, recorded before it is made.
    pub fn open(
        user: UserId,
        address: impl Into<String>,
        now: DateTime<Utc>,
        resend_at: DateTime<Utc>,
        lapses_at: DateTime<Utc>,
    ) -> Self {
        Self {
            user,
            revision: rand_revision(),
            address: address.into(),
            state: ChallengeState::Sending,
            earlier: None,
            attempts: 0,
            sent_at: now,
            resend_at,
            lapses_at,
        }
    }

    /// Whose login it is.
    pub fn user(&self) -> &UserId {
        &self.user
    }

    /// Which writing of the record this is.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// Where the code was sent, as the flow that opened the login wrote it; a phone number is in it:
    /// secret.
    pub fn expose_address(&self) -> &str {
        &self.address
    }

    /// How far it has come.
    pub fn state(&self) -> ChallengeState {
        self.state
    }

    /// How often a code was tried since the last one was sent.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// When the last send was recorded.
    pub fn sent_at(&self) -> DateTime<Utc> {
        self.sent_at
    }

    /// When another code may be asked for.
    pub fn resend_at(&self) -> DateTime<Utc> {
        self.resend_at
    }

    /// When this login is given up.
    pub fn lapses_at(&self) -> DateTime<Utc> {
        self.lapses_at
    }

    /// Whether a code of this login may be in the person's hands and was not used yet. While a send
    /// is being made it may be: the message can be faster than the answer, and whoever made the
    /// send may have crashed.
    pub fn code_may_be_out(&self) -> bool {
        match self.state {
            ChallengeState::Sending | ChallengeState::Sent | ChallengeState::Unknown => true,
            ChallengeState::Refused => self.earlier.is_some(),
            ChallengeState::Redeemed(_) => false,
        }
    }

    /// Another send to the same address, recorded before it is made. The new code has all its
    /// attempts; those that are made while it is being sent count against it.
    #[must_use]
    pub fn resend(
        &self,
        now: DateTime<Utc>,
        resend_at: DateTime<Utc>,
        lapses_at: DateTime<Utc>,
    ) -> Self {
        let earlier = self.code_may_be_out().then_some(self.attempts);
        let (state, attempts) = (ChallengeState::Sending, 0);
        Self { state, earlier, attempts, sent_at: now, resend_at, lapses_at, ..self.next() }
    }

    /// The send was taken.
    #[must_use]
    pub fn sent(&self) -> Self {
        Self { state: ChallengeState::Sent, ..self.next() }
    }

    /// Nobody knows whether the send was taken.
    #[must_use]
    pub fn unknown(&self) -> Self {
        Self { state: ChallengeState::Unknown, ..self.next() }
    }

    /// The send was refused; an earlier code stays good. No further send before `resend_at`, until
    /// when the record stays at least.
    #[must_use]
    pub fn refused(&self, resend_at: DateTime<Utc>) -> Self {
        let lapses_at = self.lapses_at.max(resend_at);
        let attempts = self.attempts.saturating_add(self.earlier.unwrap_or(0));
        Self { state: ChallengeState::Refused, attempts, resend_at, lapses_at, ..self.next() }
    }

    /// The send certainly never reached Moojo: everything is as it was in `before`, the record that
    /// the send was made from.
    #[must_use]
    pub fn not_sent(&self, before: &Self) -> Self {
        let attempts = before.attempts.saturating_add(self.attempts);
        Self { revision: self.next().revision, attempts, ..before.clone() }
    }

    /// One more attempt, counted before it is made.
    #[must_use]
    pub fn attempted(&self) -> Self {
        Self { attempts: self.attempts.saturating_add(1), ..self.next() }
    }

    /// An attempt that certainly never reached Moojo is given back.
    #[must_use]
    pub fn not_attempted(&self) -> Self {
        Self { attempts: self.attempts.saturating_sub(1), ..self.next() }
    }

    /// A code was accepted.
    #[must_use]
    pub fn redeemed(&self, session: SessionId) -> Self {
        Self { state: ChallengeState::Redeemed(session), ..self.next() }
    }

    fn next(&self) -> Self {
        Self { revision: (self.revision + 1) & MAX_REVISION, ..self.clone() }
    }
}

const MAX_REVISION: Revision = Revision::MAX >> 1;

/// Random for a user's first record, so that no later record takes up the revisions of one that
/// lapsed.
fn rand_revision() -> Revision {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    Revision::from_be_bytes(bytes) & MAX_REVISION
}

/// The address with all but its ends hidden.
struct Masked<'a>(&'a str);

impl fmt::Debug for Masked<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let last = self.0.char_indices().rev().nth(1).map_or(0, |(at, _)| at);
        if self.0.len() < 6 {
            f.write_str("•••")
        } else {
            write!(f, "•••{}", &self.0[last..])
        }
    }
}

impl fmt::Debug for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Challenge")
            .field("user", &self.user)
            .field("address", &Masked(&self.address))
            .field("state", &self.state)
            .field("attempts", &self.attempts)
            .field("sent_at", &self.sent_at)
            .field("resend_at", &self.resend_at)
            .field("lapses_at", &self.lapses_at)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    fn opened() -> Challenge {
        let now: DateTime<Utc> = "2025-02-16T13:12:52Z".parse().unwrap();
        let (resend_at, lapses_at) = (now + TimeDelta::seconds(30), now + TimeDelta::minutes(10));
        Challenge::open(UserId::new("alice").unwrap(), "+15559876543", now, resend_at, lapses_at)
    }

    #[test]
    fn rule_8_a_code_can_be_tried_once_one_may_have_arrived() {
        assert!(opened().code_may_be_out());
        assert!(!opened().refused(opened().resend_at()).code_may_be_out());
        assert!(opened().sent().code_may_be_out());
        assert!(opened().unknown().code_may_be_out());
        assert!(!opened().sent().redeemed(SessionId::random()).code_may_be_out());
    }

    #[test]
    fn a_refused_resend_leaves_the_earlier_code_and_its_attempts() {
        let tried = opened().sent().attempted();
        let at = tried.resend_at();
        let refused = tried.resend(at, at, at).refused(at);
        assert!(refused.code_may_be_out());
        assert_eq!(refused.attempts(), 1);
        assert_eq!(tried.resend(at, at, at).sent().attempts(), 0);
        assert_eq!(refused.not_attempted().attempts(), 0);
    }

    #[test]
    fn a_send_that_never_went_out_leaves_everything_as_it_was() {
        let before = opened().sent().attempted();
        let later = before.lapses_at();
        let sending = before.resend(later, later, later);
        let undone = sending.not_sent(&before);
        assert_eq!(undone.revision(), sending.revision() + 1);
        assert_eq!(Challenge { revision: before.revision, ..undone }, before);
    }

    #[test]
    fn a_refusal_is_remembered_until_the_next_send_is_allowed() {
        let late = opened().lapses_at() + TimeDelta::hours(1);
        assert_eq!(opened().refused(late).lapses_at(), late);
    }

    #[test]
    fn a_resend_after_success_is_a_new_login() {
        let at = opened().resend_at();
        let done = opened().sent().redeemed(SessionId::random());
        assert!(!done.resend(at, at, at).refused(at).code_may_be_out());
    }

    #[test]
    fn every_record_has_a_new_revision() {
        let opened = opened();
        assert_ne!(opened.sent().revision(), opened.revision());
        let last = Challenge { revision: MAX_REVISION, ..opened.clone() };
        assert_eq!(last.sent().revision(), 0);
        assert_ne!(opened.revision(), self::opened().revision());
    }

    #[test]
    fn rule_13_debug_hides_the_number() {
        let debug = format!("{:?}", opened());
        assert!(debug.contains("•••43") && !debug.contains("555"), "{debug}");
    }
}
