use std::error::Error;
use std::fmt;
use std::time::Duration;

use moojo_session::{Challenge, ReauthRequest, UserId, async_trait};

use crate::code::VerificationCode;
use crate::phone::PhoneNumber;

/// How people are reached: what your application does for a
/// [`LoginWorker`](crate::LoginWorker).
#[async_trait]
pub trait People: fmt::Debug + Send + Sync + 'static {
    /// Where the user's codes go. `None` if there is no number: then nobody is asked, and all who
    /// wait are told so.
    ///
    /// # Errors
    /// Any; it is tried again later. It is logged by its `Display` with all its sources, so no number
    /// may be in them.
    async fn phone(
        &self,
        user: &UserId,
    ) -> Result<Option<PhoneNumber>, Box<dyn Error + Send + Sync>>;

    /// Tells the person that a code was sent and what for, and waits for what the person says. The
    /// future is dropped when the user has logged in by other ways or the code has lapsed.
    async fn code(&self, ask: &Ask) -> PersonReply;
}

/// What a person says.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PersonReply {
    /// This code.
    Code(VerificationCode),
    /// "Send me another one."
    Resend,
    /// "Not now": all who wait are told, and nobody asks again for this long.
    NotNow(Duration),
    /// Nothing. The person is asked again later, if calls still wait then.
    NoAnswer,
}

/// What a person is asked.
#[derive(Debug, Clone)]
pub struct Ask {
    pub(super) request: ReauthRequest,
    pub(super) challenge: Challenge,
    pub(super) attempts_left: Option<u32>,
}

impl Ask {
    /// Who is asked.
    pub fn user(&self) -> &UserId {
        self.request.user()
    }

    /// Why and what for.
    pub fn request(&self) -> &ReauthRequest {
        &self.request
    }

    /// The code that was sent: when, until when it is good, and when another can be had.
    pub fn challenge(&self) -> &Challenge {
        &self.challenge
    }

    /// If the last code was wrong, or no other could be sent: how many more may be tried. With none
    /// left only [`PersonReply::Resend`] helps.
    pub fn attempts_left(&self) -> Option<u32> {
        self.attempts_left
    }
}
