//! Turning a code or a JWT into a session.

use std::sync::Arc;

use moojo_session::{Challenge, Session, StoreError, UserId};

use super::Inner;
use super::error::LoginError;
use super::machine::{Attempt, AttemptOutcome};
use super::store::MAX_ROUNDS;
use crate::code::{FirebaseJwt, VerificationCode};
use crate::phone::PhoneNumber;

/// Counts the attempt, asks Moojo once, saves the session, records the success.
pub(super) async fn verify(
    flow: Arc<Inner>,
    user: UserId,
    code: VerificationCode,
) -> Result<Session, LoginError> {
    let attempt = flow.record_attempt(&user).await?;
    let record = attempt.record();
    let phone = PhoneNumber::from_kept(record.expose_address()).ok_or_else(|| {
        LoginError::Challenges(StoreError::corrupt("the address is no phone number"))
    })?;
    tracing::debug!(%user, attempt = record.attempts(), "a code is being verified");
    let source = match flow.moojo.authenticate(&phone, &code).await {
        Ok(authentication) => {
            let session = authentication.into_session(user);
            let saved = flow.save(&session).await;
            // The code is used up, whether the session could be saved or not.
            flow.settle_attempt(&attempt, AttemptOutcome::Accepted(session.id())).await;
            flow.answered(session.user()).await;
            return saved;
        }
        Err(source) => source,
    };
    let outcome = AttemptOutcome::of(&source);
    flow.settle_attempt(&attempt, outcome).await;
    match outcome {
        AttemptOutcome::Wrong => Err(LoginError::WrongCode {
            attempts_left: flow.policy.attempts_left(&attempt),
            resend_at: record.resend_at(),
            source,
        }),
        _ => Err(LoginError::moojo(source, flow.clock.now())),
    }
}

/// Asks Moojo once and saves the session.
pub(super) async fn login_with_jwt(
    flow: Arc<Inner>,
    user: UserId,
    jwt: FirebaseJwt,
) -> Result<Session, LoginError> {
    tracing::debug!(%user, "a JWT is being verified");
    match flow.moojo.authenticate_with_jwt(&jwt).await {
        Ok(authentication) => {
            let session = authentication.into_session(user);
            flow.save(&session).await
        }
        Err(source) => Err(LoginError::moojo(source, flow.clock.now())),
    }
}

impl Inner {
    async fn record_attempt(&self, user: &UserId) -> Result<Attempt, LoginError> {
        for _ in 0..MAX_ROUNDS {
            let now = self.clock.now();
            let record = self.challenges.load(user).await?;
            let attempt = self.policy.begin_attempt(record.as_ref(), now)?;
            if self.challenges.swap(Some(attempt.expected()), attempt.record(), now).await? {
                return Ok(attempt);
            }
        }
        Err(LoginError::Contended)
    }

    async fn settle_attempt(&self, attempt: &Attempt, outcome: AttemptOutcome) {
        let after = |current: &Challenge| attempt.after(outcome, current);
        self.challenges.settle(attempt.record(), after).await;
    }
}
