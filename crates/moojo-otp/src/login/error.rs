use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use moojo_session::{Arrival, Challenge, Error, StoreError};

use super::flights::NoOutcome;
use super::machine::Refusal;
use crate::error::MoojoError;

/// Why a code was not sent or a login not made. Clones share what they have in common.
///
/// None of these has changed anything for a user who is logged in, except
/// [`NotSaved`](Self::NotSaved), in which the store may have.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum LoginError {
    /// A code was asked for a moment ago and may be out ([`LoginFlow::pending`](crate::LoginFlow::pending)
    /// says whether it is), or Moojo wants to be left alone for a while.
    #[error("a code was asked for a moment ago: the next can be asked for at {retry_at}")]
    ResendTooSoon {
        /// When the next one can be asked for.
        retry_at: DateTime<Utc>,
    },

    /// The number has got as many codes as it may get in so much time.
    #[error("the number has got too many codes: the next can be asked for at {retry_at}")]
    TooManySends {
        /// When the next one can be asked for.
        retry_at: DateTime<Utc>,
    },

    /// The user's tenant has got as many codes as it may get in so much time.
    #[error("the tenant has got too many codes: the next can be asked for at {retry_at}")]
    TooManyTenantSends {
        /// When the next one can be asked for.
        retry_at: DateTime<Utc>,
    },

    /// The user was sent one code after the other and has logged in with none: whoever asks for
    /// them, the person is not there, or does not want them.
    #[error("the person does not answer: the next code can be asked for at {retry_at}")]
    NotAnswering {
        /// When the next one can be asked for.
        retry_at: DateTime<Utc>,
    },

    /// No codes are sent to numbers that begin like this one, today or later.
    #[error("no codes are sent to numbers that begin with {prefix}")]
    NumberNotAllowed {
        /// The prefix that decided, such as `+1900`; its calling code if the number is under no
        /// prefix that is allowed. At least four digits of the number are not in it.
        prefix: String,
    },

    /// Nobody knows whether Moojo sends a code. It is not asked again by itself; if a code
    /// arrives, it can be verified.
    #[error("a code may have been sent or not")]
    SendUnknown {
        /// The login as it stands.
        challenge: Box<Challenge>,
        /// What happened.
        #[source]
        source: MoojoError,
    },

    /// No code was sent, or the one that was has lapsed.
    #[error("there is no code to verify: one has to be sent first")]
    NoOpenChallenge {
        /// When one can be asked for.
        retry_at: DateTime<Utc>,
    },

    /// The code is wrong.
    #[error("the code was refused; {attempts_left} attempts are left")]
    WrongCode {
        /// How many more times a code may be tried before a new one is needed.
        attempts_left: u32,
        /// When the next code can be asked for.
        resend_at: DateTime<Utc>,
        /// Moojo's answer.
        #[source]
        source: MoojoError,
    },

    /// Too many codes were tried. A new one is needed; Moojo was not asked.
    #[error("too many wrong codes: a new one can be asked for at {retry_at}")]
    Locked {
        /// When the next one can be asked for.
        retry_at: DateTime<Utc>,
    },

    /// The code has made a session already. Moojo was not asked.
    #[error("the code was used already")]
    CodeAlreadyUsed {
        /// When the next one can be asked for.
        retry_at: DateTime<Utc>,
    },

    /// Moojo could not be asked, or refused.
    #[error("Moojo could not be asked, or refused")]
    Moojo {
        /// When to try again, where that is known.
        retry_at: Option<DateTime<Utc>>,
        /// What happened.
        #[source]
        source: MoojoError,
    },

    /// Moojo has logged the person in, but the session could not be put into the store, though it
    /// was tried a few times; or she was revoked meanwhile, and it could not be taken out again. Keep the
    /// arrival: [`save_again`](Arrival::save_again) saves the session later without another code, unless
    /// the user has a later one by then, or was revoked in this process since the first try.
    #[error("the session could not be saved")]
    NotSaved {
        /// The session on its way into the store.
        arrival: Arc<Arrival>,
        /// Why not.
        #[source]
        source: Error,
    },

    /// Moojo has logged the person in, but the user was [revoked](moojo_session::SessionManager::revoke)
    /// in this process while the session was being saved, and stays so. The code is used up.
    #[error("the user was revoked while the session was being saved")]
    Revoked,

    /// What is under way could not be looked up or recorded. Moojo was not asked.
    #[error("the login under way could not be looked up or recorded")]
    Challenges(#[source] StoreError),

    /// Others changed this user's login again and again meanwhile. Moojo was not asked.
    #[error("the login under way was changed by others")]
    Contended,

    /// The flow has as many calls under way as it may have. Nothing was done.
    #[error("too many logins are under way in this process")]
    Overloaded,

    /// The task that made the call went away with its runtime, or panicked. What it did is unknown.
    #[error("the login was interrupted")]
    Interrupted,
}

impl LoginError {
    /// When the same can be tried again, or a new code asked for, where that is known.
    pub fn retry_at(&self) -> Option<DateTime<Utc>> {
        match self {
            Self::ResendTooSoon { retry_at }
            | Self::TooManySends { retry_at }
            | Self::TooManyTenantSends { retry_at }
            | Self::NotAnswering { retry_at }
            | Self::NoOpenChallenge { retry_at }
            | Self::Locked { retry_at }
            | Self::CodeAlreadyUsed { retry_at } => Some(*retry_at),
            Self::SendUnknown { challenge, .. } => Some(challenge.resend_at()),
            Self::WrongCode { attempts_left: 0, resend_at, .. } => Some(*resend_at),
            Self::Moojo { retry_at, .. } => *retry_at,
            Self::NumberNotAllowed { .. }
            | Self::WrongCode { .. }
            | Self::NotSaved { .. }
            | Self::Revoked
            | Self::Challenges(_)
            | Self::Contended
            | Self::Overloaded
            | Self::Interrupted => None,
        }
    }

    /// A failure of Moojo, at `now`.
    pub(super) fn moojo(source: MoojoError, now: DateTime<Utc>) -> Self {
        let retry_at = match &source {
            MoojoError::RateLimited { retry_after: Some(after), .. } => Some(later(now, *after)),
            _ => None,
        };
        Self::Moojo { retry_at, source }
    }
}

impl From<Refusal> for LoginError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::TooSoon { retry_at } => Self::ResendTooSoon { retry_at },
            Refusal::NoCode { retry_at } => Self::NoOpenChallenge { retry_at },
            Refusal::Locked { retry_at } => Self::Locked { retry_at },
            Refusal::Used { retry_at } => Self::CodeAlreadyUsed { retry_at },
        }
    }
}

impl From<StoreError> for LoginError {
    fn from(error: StoreError) -> Self {
        Self::Challenges(error)
    }
}

impl From<NoOutcome> for LoginError {
    fn from(none: NoOutcome) -> Self {
        match none {
            NoOutcome::Full => Self::Overloaded,
            NoOutcome::Lost => Self::Interrupted,
        }
    }
}

/// The moment `after` from `now`, or the last one there is.
pub(super) fn later(now: DateTime<Utc>, after: Duration) -> DateTime<Utc> {
    let after = chrono::TimeDelta::from_std(after).unwrap_or(chrono::TimeDelta::MAX);
    now.checked_add_signed(after).unwrap_or(DateTime::<Utc>::MAX_UTC)
}
