//! The login flow: codes sent, tried and turned into sessions.

use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use moojo_session::{Challenge, Clock, Session, SessionManager, UserId};

use crate::client::MoojoClient;
use crate::code::{FirebaseJwt, VerificationCode};
use crate::phone::PhoneNumber;

mod builder;
mod error;
mod flights;
mod limits;
mod machine;
mod prefixes;
mod save;
mod send;
mod store;
mod verify;

pub use builder::LoginFlowBuilder;
pub use error::LoginError;
pub use prefixes::InvalidPrefix;

use flights::Flights;
use limits::Limits;
use machine::{Policy, State};
use prefixes::Prefixes;
use store::Challenges;

/// Logs people in by SMS code or by a JWT of Firebase, and puts their sessions into a
/// [`SessionManager`]. Clones are the same flow.
///
/// # What it promises
///
/// - **At most one SMS without being asked again.** A send is recorded before it is made. One whose
///   outcome is unknown is never repeated by itself; its code can be verified all the same, because
///   it may have arrived. Concurrent calls for one user and number share one send.
/// - **One code, one call.** Concurrent submits of one code make one call of Moojo and share its
///   outcome. The call runs in a task of its own: the session arrives even if all callers have gone.
/// - **A failed login changes nothing** for a user who is logged in. One that the store does not take
///   at once displaces no later login of the user when it is tried again, and undoes no revocation.
/// - **Limits**, with refusals that say when to try again ([`LoginError::retry_at`]).
///
/// What is under way is kept in a [`ChallengeStore`](moojo_session::ChallengeStore). Sharing of
/// concurrent calls is within this process; the limits are the store's, so with a shared store they
/// hold across processes.
///
/// The methods need a tokio runtime with its timer enabled, and panic outside of one. Their futures
/// may be dropped at any time; what was begun goes on.
///
/// ```
/// # use bytes::Bytes;
/// # use moojo_otp::{Transport, TransportError};
/// # use moojo_session::async_trait;
/// # #[derive(Debug)]
/// # struct Fake;
/// # #[async_trait]
/// # impl Transport for Fake {
/// #     async fn send(
/// #         &self,
/// #         _: http::Request<Bytes>,
/// #         _: usize,
/// #     ) -> Result<http::Response<Bytes>, TransportError> {
/// #         let body = r#"{"status":"success","data":{"token":"6c0350a0"}}"#;
/// #         Ok(http::Response::new(Bytes::from(body)))
/// #     }
/// # }
/// use moojo_otp::{LoginFlow, MoojoClient, PhoneNumber, VerificationCode};
/// use moojo_session::{ApiKey, MemoryStore, SessionManager, UserId};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let moojo = MoojoClient::builder(ApiKey::new("my-key")?);
/// # let moojo = moojo.transport(Fake);
/// let sessions = SessionManager::new(MemoryStore::new());
/// let login = LoginFlow::new(moojo.build()?, sessions.clone());
///
/// let alice = UserId::new("alice")?;
/// let phone: PhoneNumber = "+1(555)987-6543".parse()?;
/// let challenge = login.send_code(&alice, &phone).await?;
/// println!("another code can be had at {}", challenge.resend_at());
///
/// let session = login.verify(&alice, &VerificationCode::new("133575")?).await?;
/// assert_eq!(session, sessions.get(&alice).await?);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct LoginFlow {
    shared: Arc<Inner>,
    sends: Flights<(UserId, PhoneNumber), Result<Challenge, LoginError>>,
    verifications: Flights<(UserId, VerificationCode), Result<Session, LoginError>>,
    jwts: Flights<(UserId, FirebaseJwt), Result<Session, LoginError>>,
}

/// What the tasks of a flow share.
struct Inner {
    moojo: MoojoClient,
    sessions: SessionManager,
    clock: Arc<dyn Clock>,
    challenges: Challenges,
    policy: Policy,
    limits: Limits,
    prefixes: Prefixes,
}

impl LoginFlow {
    /// A flow with the default settings, which keeps what is under way in memory.
    pub fn new(moojo: MoojoClient, sessions: SessionManager) -> Self {
        Self::builder(moojo, sessions).build()
    }

    /// A flow with settings.
    pub fn builder(moojo: MoojoClient, sessions: SessionManager) -> LoginFlowBuilder {
        LoginFlowBuilder::new(moojo, sessions)
    }

    /// Has a code sent to `phone` for `user`. A code that was sent before is no longer good as soon
    /// as this one has been.
    ///
    /// # Errors
    /// - [`LoginError::ResendTooSoon`]: nothing was sent by this call, but a code may be out:
    ///   [`pending`](Self::pending) says whether one is.
    /// - [`LoginError::TooManySends`], [`LoginError::TooManyTenantSends`],
    ///   [`LoginError::NotAnswering`]: nothing was sent.
    /// - [`LoginError::NumberNotAllowed`]: nothing was sent, and never will be.
    /// - [`LoginError::Moojo`]: no code will come; one that came before stays good.
    /// - [`LoginError::SendUnknown`]: a code may come, and can be verified.
    /// - [`LoginError::Challenges`] or [`LoginError::Contended`]: nothing was sent.
    /// - [`LoginError::Overloaded`] or [`LoginError::Interrupted`].
    pub async fn send_code(
        &self,
        user: &UserId,
        phone: &PhoneNumber,
    ) -> Result<Challenge, LoginError> {
        let key = (user.clone(), phone.clone());
        let task = || send::send_code(Arc::clone(&self.shared), user.clone(), phone.clone());
        self.sends.join(key, task).await?
    }

    /// Logs `user` in with the code that was sent. Gives the session that she has from now on: the one
    /// that the code has made, which takes the place of any other. Only if the store did not take it at
    /// once, and she has another by then that was issued later, it is that one.
    ///
    /// # Errors
    /// - [`LoginError::WrongCode`]: the next try may be right.
    /// - [`LoginError::NoOpenChallenge`], [`LoginError::Locked`], [`LoginError::CodeAlreadyUsed`]:
    ///   a new code is needed. Moojo was not asked.
    /// - [`LoginError::Moojo`]: see there. If it
    ///   [may have worked](crate::MoojoError::may_have_worked), the code may be used up.
    /// - [`LoginError::NotSaved`]: the person is logged in, and the session is in the error.
    /// - [`LoginError::Revoked`]: she was revoked while the session was being saved.
    /// - [`LoginError::Challenges`] or [`LoginError::Contended`]: Moojo was not asked.
    /// - [`LoginError::Overloaded`] or [`LoginError::Interrupted`].
    pub async fn verify(
        &self,
        user: &UserId,
        code: &VerificationCode,
    ) -> Result<Session, LoginError> {
        let key = (user.clone(), code.clone());
        let task = || verify::verify(Arc::clone(&self.shared), user.clone(), code.clone());
        self.verifications.join(key, task).await?
    }

    /// Logs `user` in with a JWT of Firebase, as [`verify`](Self::verify) does with a code. No code and no
    /// limit of this flow has to do with it.
    ///
    /// # Errors
    /// - [`LoginError::Moojo`]: see there.
    /// - [`LoginError::NotSaved`]: the person is logged in, and the session is in the error.
    /// - [`LoginError::Revoked`]: she was revoked while the session was being saved.
    /// - [`LoginError::Overloaded`] or [`LoginError::Interrupted`].
    pub async fn login_with_jwt(
        &self,
        user: &UserId,
        jwt: &FirebaseJwt,
    ) -> Result<Session, LoginError> {
        let key = (user.clone(), jwt.clone());
        let task = || verify::login_with_jwt(Arc::clone(&self.shared), user.clone(), jwt.clone());
        self.jwts.join(key, task).await?
    }

    /// The user's login under way, if a code may be in the person's hands that can still be tried.
    ///
    /// # Errors
    /// [`LoginError::Challenges`].
    pub async fn pending(&self, user: &UserId) -> Result<Option<Challenge>, LoginError> {
        let flow = &self.shared;
        let found = flow.challenges.load(user).await?;
        let state = State::of(found.as_ref(), flow.clock.now(), &flow.policy);
        Ok(found.filter(|_| state.code_can_be_tried()))
    }

    /// Whether Moojo was asked for a code of the user at this time or later, and may have sent it or
    /// has refused to.
    pub(crate) async fn has_tried_since(
        &self,
        user: &UserId,
        at: DateTime<Utc>,
    ) -> Result<bool, LoginError> {
        let found = self.shared.challenges.load(user).await?;
        Ok(found.is_some_and(|challenge| at <= challenge.sent_at()))
    }

    /// The sessions that logins go into.
    pub fn sessions(&self) -> &SessionManager {
        &self.shared.sessions
    }
}

impl fmt::Debug for LoginFlow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoginFlow")
            .field("moojo", &self.shared.moojo)
            .field("sessions", &self.shared.sessions)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
