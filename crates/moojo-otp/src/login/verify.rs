//! Turning a code or a JWT into a session.

use std::sync::Arc;

use moojo_session::{Challenge, ChallengeState, Session, StoreError, UserId};

use super::Inner;
use super::error::LoginError;
use super::store::MAX_ROUNDS;
use crate::code::{FirebaseJwt, VerificationCode};
use crate::error::MoojoError;
use crate::phone::PhoneNumber;

/// Counts the attempt, asks Moojo once, saves the session, records the success.
pub(super) async fn verify(
    flow: Arc<Inner>,
    user: UserId,
    code: VerificationCode,
) -> Result<Session, LoginError> {
    let attempted = flow.count_attempt(&user).await?;
    let phone = PhoneNumber::from_kept(attempted.expose_address()).ok_or_else(|| {
        LoginError::Challenges(StoreError::corrupt("the address is no phone number"))
    })?;
    tracing::debug!(%user, attempt = attempted.attempts(), "a code is being verified");
    let source = match flow.moojo.authenticate(&phone, &code).await {
        Ok(authentication) => {
            let session = authentication.into_session(user);
            let saved = flow.save(&session).await;
            // The code is used up, whether the session could be saved or not.
            let id = session.id();
            let redeemed =
                |current: &Challenge| same_login(current, &attempted).then(|| current.redeemed(id));
            flow.challenges.settle(attempted.clone(), redeemed).await;
            return saved.map(|()| session);
        }
        Err(source) => source,
    };
    match source {
        MoojoError::NotSent { .. } => {
            let given_back = |current: &Challenge| {
                same_login(current, &attempted).then(|| current.not_attempted())
            };
            flow.challenges.settle(attempted.clone(), given_back).await;
            Err(LoginError::Moojo { retry_at: None, source })
        }
        MoojoError::Refused { .. } => Err(LoginError::WrongCode {
            attempts_left: flow.attempts_per_code.saturating_sub(attempted.attempts()),
            resend_at: attempted.resend_at(),
            source,
        }),
        source => Err(LoginError::moojo(source, flow.clock.now())),
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
            flow.save(&session).await.map(|()| session)
        }
        Err(source) => Err(LoginError::moojo(source, flow.clock.now())),
    }
}

impl Inner {
    async fn count_attempt(&self, user: &UserId) -> Result<Challenge, LoginError> {
        for _ in 0..MAX_ROUNDS {
            let now = self.clock.now();
            let Some(challenge) = self.challenges.load(user, now).await? else {
                return Err(LoginError::NoOpenChallenge { retry_at: now });
            };
            let retry_at = challenge.resend_at().max(now);
            if matches!(challenge.state(), ChallengeState::Redeemed(_)) {
                return Err(LoginError::CodeAlreadyUsed { retry_at });
            }
            if !challenge.code_may_be_out() {
                return Err(LoginError::NoOpenChallenge { retry_at });
            }
            if challenge.attempts() >= self.attempts_per_code {
                return Err(LoginError::Locked { retry_at });
            }
            let attempted = challenge.attempted();
            if self.challenges.swap(Some(challenge.revision()), &attempted, now).await? {
                return Ok(attempted);
            }
        }
        Err(LoginError::Contended)
    }
}

/// Whether `current` is the record of the login in which a code was `attempted`, with no other code
/// sent since.
fn same_login(current: &Challenge, attempted: &Challenge) -> bool {
    current.sent_at() == attempted.sent_at()
        && current.expose_address() == attempted.expose_address()
        && !matches!(current.state(), ChallengeState::Redeemed(_))
}
