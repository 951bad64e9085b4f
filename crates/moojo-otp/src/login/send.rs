//! Sending a code.

use std::sync::Arc;

use moojo_session::{Challenge, UserId};

use super::Inner;
use super::error::LoginError;
use super::limits::Admitted;
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
    let (sending, admitted) = flow.record_send(&user, &phone).await?;
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
            flow.refused(&admitted).await;
            Err(LoginError::Moojo { retry_at: Some(resend_at), source })
        }
        SendOutcome::NotSent => {
            flow.not_sent(&admitted).await;
            Err(LoginError::Moojo { retry_at: None, source })
        }
    }
}

impl Inner {
    async fn record_send(
        &self,
        user: &UserId,
        phone: &PhoneNumber,
    ) -> Result<(Sending, Admitted), LoginError> {
        self.prefixes.check(phone)?;
        // Before the limits are asked: somebody who is too quick uses up none of them.
        let now = self.clock.now();
        let before = self.challenges.load(user).await?;
        self.policy.may_send(before.as_ref(), now)?;
        let admitted = self.admit(user, phone).await?;
        match self.try_record_send(before, user, phone).await {
            Ok(sending) => Ok((sending, admitted)),
            Err(error) => {
                self.not_sent(&admitted).await;
                Err(error)
            }
        }
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
            before = self.challenges.load(user).await?;
        }
        Err(LoginError::Contended)
    }

    async fn settle_send(&self, sending: &Sending, outcome: SendOutcome) -> Option<Challenge> {
        let now = self.clock.now();
        let after = |current: &Challenge| sending.after(outcome, current, now);
        self.challenges.settle(sending.record(), after).await
    }
}
