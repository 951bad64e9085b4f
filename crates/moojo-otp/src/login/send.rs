//! Sending a code.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use moojo_session::{Admission, Challenge, ChallengeState, Quota, UserId};
use zeroize::Zeroizing;

use super::Inner;
use super::error::{LoginError, later};
use super::store::MAX_ROUNDS;
use crate::client::PhoneFormat;
use crate::error::MoojoError;
use crate::phone::PhoneNumber;

/// A send that is recorded and may now be made.
struct Recorded {
    /// The record that was there before.
    before: Option<Challenge>,
    sending: Challenge,
}

/// Rule 8: record, send once, record what came of it.
pub(super) async fn send_code(
    flow: Arc<Inner>,
    user: UserId,
    phone: PhoneNumber,
) -> Result<Challenge, LoginError> {
    let Recorded { before, sending } = flow.record_send(&user, &phone).await?;
    tracing::debug!(%user, "a code is being sent");
    let outcome = flow.moojo.send_verification_code(&phone).await;
    let now = flow.clock.now();
    match outcome {
        Ok(_) => Ok(flow.settle_send(sending, Challenge::sent).await),
        Err(source) if source.may_have_worked() => {
            let challenge = flow.settle_send(sending, Challenge::unknown).await;
            Err(LoginError::SendUnknown { challenge: Box::new(challenge), source })
        }
        Err(source @ MoojoError::NotSent { .. }) => {
            flow.undo_send(before, sending).await;
            flow.give_send_back(&phone).await;
            Err(LoginError::Moojo { retry_at: None, source })
        }
        Err(source) => {
            let retry_after = match &source {
                MoojoError::RateLimited { retry_after: Some(after), .. } => later(now, *after),
                _ => now,
            };
            let retry_at = sending.resend_at().max(retry_after);
            flow.refuse_send(before, sending, retry_at).await;
            Err(LoginError::Moojo { retry_at: Some(retry_at), source })
        }
    }
}

impl Inner {
    async fn record_send(
        &self,
        user: &UserId,
        phone: &PhoneNumber,
    ) -> Result<Recorded, LoginError> {
        self.check_cooldown(user).await?;
        self.admit_send(phone).await?;
        let recorded = self.try_record_send(user, phone).await;
        if recorded.is_err() {
            self.give_send_back(phone).await;
        }
        recorded
    }

    /// Before the quota is asked: somebody who is too quick uses up none of it.
    async fn check_cooldown(&self, user: &UserId) -> Result<Option<Challenge>, LoginError> {
        let now = self.clock.now();
        match self.challenges.load(user, now).await? {
            // A send in the future is one before the clock was set back.
            Some(before) if before.sent_at() <= now && now < before.resend_at() => {
                Err(LoginError::ResendTooSoon { retry_at: before.resend_at() })
            }
            before => Ok(before),
        }
    }

    async fn try_record_send(
        &self,
        user: &UserId,
        phone: &PhoneNumber,
    ) -> Result<Recorded, LoginError> {
        let address = phone.kept(self.moojo.phone_format() == PhoneFormat::AsTyped);
        for _ in 0..MAX_ROUNDS {
            let before = self.check_cooldown(user).await?;
            let now = self.clock.now();
            let resend_at = later(now, self.resend_cooldown);
            let lapses_at = later(now, self.code_life).max(resend_at);
            let sending = match &before {
                Some(before) if same_number(before, phone) => {
                    before.resend(now, resend_at, lapses_at)
                }
                _ => Challenge::open(user.clone(), address.as_str(), now, resend_at, lapses_at),
            };
            let expected = before.as_ref().map(Challenge::revision);
            if self.challenges.swap(expected, &sending, now).await? {
                return Ok(Recorded { before, sending });
            }
        }
        Err(LoginError::Contended)
    }

    async fn admit_send(&self, phone: &PhoneNumber) -> Result<(), LoginError> {
        let key = quota_key(phone);
        match self.challenges.admit(&self.send_quota(&key), self.clock.now()).await? {
            Admission::Granted => Ok(()),
            Admission::Refused { until } => Err(LoginError::TooManySends { retry_at: until }),
        }
    }

    /// For a send that was admitted and then certainly not made.
    async fn give_send_back(&self, phone: &PhoneNumber) {
        let key = quota_key(phone);
        self.challenges.give_back(&self.send_quota(&key), self.clock.now()).await;
    }

    fn send_quota<'a>(&self, key: &'a str) -> Quota<'a> {
        Quota { key, limit: self.sends_per_number, window: self.sends_window }
    }

    /// Records what came of the send, unless a later one has taken its place.
    async fn settle_send(
        &self,
        sending: Challenge,
        outcome: impl Fn(&Challenge) -> Challenge,
    ) -> Challenge {
        let ours = |current: &Challenge| is_ours(current, &sending).then(|| outcome(current));
        let settled = self.challenges.settle(sending.clone(), ours).await;
        settled.unwrap_or_else(|| outcome(&sending))
    }

    /// Makes the record what it was before a send that never went out.
    async fn undo_send(&self, before: Option<Challenge>, sending: Challenge) {
        if before.is_none() {
            let removed = self.challenges.remove(sending.user(), sending.revision()).await;
            if matches!(removed, Ok(true)) {
                return;
            }
            // Somebody has tried a code meanwhile, or the store has failed.
        }
        let now = self.clock.now();
        let undone = |current: &Challenge| {
            let undone = match &before {
                Some(before) => current.not_sent(before),
                None => current.refused(now),
            };
            is_ours(current, &sending).then_some(undone)
        };
        self.challenges.settle(sending.clone(), undone).await;
    }

    /// Records a send that was refused. A code that was sent before it stays good, to whichever
    /// number that was.
    async fn refuse_send(
        &self,
        before: Option<Challenge>,
        sending: Challenge,
        resend_at: DateTime<Utc>,
    ) {
        let other_number = before
            .filter(|before| before.expose_address() != sending.expose_address())
            .filter(Challenge::code_may_be_out);
        let refused = |current: &Challenge| {
            let refused = match &other_number {
                Some(before) => before
                    .resend(sending.sent_at(), resend_at, before.lapses_at())
                    .refused(resend_at),
                None => current.refused(resend_at),
            };
            is_ours(current, &sending).then_some(refused)
        };
        self.challenges.settle(sending.clone(), refused).await;
    }
}

/// What the sends to a number are counted under.
fn quota_key(phone: &PhoneNumber) -> Zeroizing<String> {
    Zeroizing::new(format!("sends:{}", phone.e164()))
}

/// Whether `current` is still the record of the send `sending`, perhaps with attempts counted.
fn is_ours(current: &Challenge, sending: &Challenge) -> bool {
    current.state() == ChallengeState::Sending
        && current.sent_at() == sending.sent_at()
        && current.expose_address() == sending.expose_address()
}

fn same_number(challenge: &Challenge, phone: &PhoneNumber) -> bool {
    PhoneNumber::from_kept(challenge.expose_address()).is_some_and(|kept| kept == *phone)
}
