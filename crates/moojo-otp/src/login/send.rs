//! Sending a code.

use std::sync::Arc;

use moojo_session::{Admission, Challenge, Quota, UserId};
use zeroize::Zeroizing;

use super::Inner;
use super::error::LoginError;
use super::machine::{SendOutcome, Sending, Wish};
use super::store::MAX_ROUNDS;
use crate::client::PhoneFormat;
use crate::phone::PhoneNumber;

/// Rule 8: record, send once, record what came of it.
pub(super) async fn send_code(
    flow: Arc<Inner>,
    user: UserId,
    phone: PhoneNumber,
) -> Result<Challenge, LoginError> {
    let sending = flow.record_send(&user, &phone).await?;
    tracing::debug!(%user, "a code is being sent");
    let source = match flow.moojo.send_verification_code(&phone).await {
        Ok(_) => {
            let settled = flow.settle_send(&sending, SendOutcome::Taken).await;
            return Ok(settled.unwrap_or_else(|| sending.record().sent()));
        }
        Err(source) => source,
    };
    let outcome = sending.outcome(&source, flow.clock.now());
    let settled = flow.settle_send(&sending, outcome).await;
    match outcome {
        SendOutcome::Taken | SendOutcome::Unknown => {
            let challenge = settled.unwrap_or_else(|| sending.record().unknown());
            Err(LoginError::SendUnknown { challenge: Box::new(challenge), source })
        }
        SendOutcome::Refused { resend_at } => {
            Err(LoginError::Moojo { retry_at: Some(resend_at), source })
        }
        SendOutcome::NotSent => {
            flow.give_send_back(&phone).await;
            Err(LoginError::Moojo { retry_at: None, source })
        }
    }
}

impl Inner {
    async fn record_send(&self, user: &UserId, phone: &PhoneNumber) -> Result<Sending, LoginError> {
        // Before the quota is asked: somebody who is too quick uses up none of it.
        let now = self.clock.now();
        let before = self.challenges.load(user, now).await?;
        self.policy.may_send(before.as_ref(), now)?;
        self.admit_send(phone).await?;
        let recorded = self.try_record_send(before, user, phone).await;
        if recorded.is_err() {
            self.give_send_back(phone).await;
        }
        recorded
    }

    /// Records a send over `before`, or over what others have made of that meanwhile.
    async fn try_record_send(
        &self,
        mut before: Option<Challenge>,
        user: &UserId,
        phone: &PhoneNumber,
    ) -> Result<Sending, LoginError> {
        let address = phone.kept(self.moojo.phone_format() == PhoneFormat::AsTyped);
        let wish = Wish { user, phone, address: &address };
        for _ in 0..MAX_ROUNDS {
            let now = self.clock.now();
            let sending = self.policy.begin_send(before, &wish, now)?;
            if self.challenges.swap(sending.expected(), sending.record(), now).await? {
                return Ok(sending);
            }
            before = self.challenges.load(user, now).await?;
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

    async fn settle_send(&self, sending: &Sending, outcome: SendOutcome) -> Option<Challenge> {
        let now = self.clock.now();
        let after = |current: &Challenge| sending.after(outcome, current, now);
        self.challenges.settle(sending.record(), after).await
    }
}

/// What the sends to a number are counted under.
fn quota_key(phone: &PhoneNumber) -> Zeroizing<String> {
    Zeroizing::new(format!("sends:{}", phone.e164()))
}
