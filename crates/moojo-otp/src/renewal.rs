//! Silent renewal by a JWT of Firebase.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use moojo_session::{ReauthReason, Reauthenticate, Session, UserId, async_trait};

use crate::client::MoojoClient;
use crate::code::FirebaseJwt;

type BoxError = Box<dyn Error + Send + Sync>;

/// Where the JWTs of people who are logged in with Firebase come from.
#[async_trait]
pub trait JwtSource: fmt::Debug + Send + Sync + 'static {
    /// A JWT of the user that is good now. `None` if the user is not logged in there. The future is
    /// dropped at the end of the [time
    /// limit](moojo_session::SessionManagerBuilder::reauthenticate_timeout).
    ///
    /// # Errors
    /// Any. It is logged by its `Display` with all its sources, so no JWT may be in them.
    async fn jwt(&self, user: &UserId) -> Result<Option<FirebaseJwt>, BoxError>;
}

/// New sessions without the person, for users of whom your application has a JWT of Firebase; for
/// [`SessionManagerBuilder::reauthenticate`](moojo_session::SessionManagerBuilder::reauthenticate).
///
/// ```no_run
/// # use moojo_otp::{FirebaseJwt, FirebaseRenewal, JwtSource, MoojoClient};
/// # use moojo_session::{MemoryStore, SessionManager, UserId, async_trait};
/// #[derive(Debug)]
/// struct MyFirebase;
///
/// #[async_trait]
/// impl JwtSource for MyFirebase {
///     async fn jwt(
///         &self,
///         user: &UserId,
///     ) -> Result<Option<FirebaseJwt>, Box<dyn std::error::Error + Send + Sync>> {
///         Ok(None) // from Firebase's SDK
///     }
/// }
///
/// # fn example(moojo: MoojoClient) {
/// let sessions = SessionManager::builder(MemoryStore::new())
///     .reauthenticate(FirebaseRenewal::new(moojo, MyFirebase))
///     .build();
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct FirebaseRenewal {
    moojo: MoojoClient,
    jwts: Arc<dyn JwtSource>,
}

impl FirebaseRenewal {
    /// Logs in at `moojo` with the JWTs of `jwts`.
    pub fn new(moojo: MoojoClient, jwts: impl JwtSource) -> Self {
        Self { moojo, jwts: Arc::new(jwts) }
    }
}

#[async_trait]
impl Reauthenticate for FirebaseRenewal {
    async fn reauthenticate(
        &self,
        user: &UserId,
        _: ReauthReason,
    ) -> Result<Option<Session>, BoxError> {
        let Some(jwt) = self.jwts.jwt(user).await? else { return Ok(None) };
        let authentication = self.moojo.authenticate_with_jwt(&jwt).await?;
        Ok(Some(authentication.into_session(user.clone())))
    }
}
