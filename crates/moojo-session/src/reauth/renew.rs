use std::error::Error;
use std::fmt;

use async_trait::async_trait;

use super::ReauthReason;
use crate::session::Session;
use crate::user::UserId;

/// A way to a new session without the person, tried before anybody is asked; set by
/// [`SessionManagerBuilder::reauthenticate`](crate::SessionManagerBuilder::reauthenticate).
///
/// The manager calls it once at a time for a user (but for a call that a revocation has overtaken),
/// whoever waits for the outcome, within a time limit, and leaves it alone for a while after it could
/// not help. What it gives is saved like any other
/// login, unless there is a session by then, from any process, that lives as long or longer, or the user
/// was revoked through this manager meanwhile.
///
/// It is not called for a session that was revoked through this manager. Other processes on the same
/// store, and this one after a restart or once it has
/// [forgotten](crate::SessionManagerBuilder::idle_after) the user, know a revoked session only as one
/// that is [`Missing`](ReauthReason::Missing): give nothing for people who have logged out.
///
/// ```
/// use moojo_session::{Reauthenticate, ReauthReason, Session, UserId, async_trait};
///
/// #[derive(Debug)]
/// struct FromMyLoginService;
///
/// #[async_trait]
/// impl Reauthenticate for FromMyLoginService {
///     async fn reauthenticate(
///         &self,
///         user: &UserId,
///         reason: ReauthReason,
///     ) -> Result<Option<Session>, Box<dyn std::error::Error + Send + Sync>> {
///         Ok(None) // only the person can do it
///     }
/// }
/// ```
#[async_trait]
pub trait Reauthenticate: fmt::Debug + Send + Sync + 'static {
    /// A new session of the user, or `None` if there is no way to one but through the person. The
    /// future is dropped at the end of the [time
    /// limit](crate::SessionManagerBuilder::reauthenticate_timeout).
    ///
    /// # Errors
    /// Any. It is logged by its `Display` with all its sources, so they must hold no secret (rule 13),
    /// and the person is asked; so it is after a panic.
    async fn reauthenticate(
        &self,
        user: &UserId,
        reason: ReauthReason,
    ) -> Result<Option<Session>, Box<dyn Error + Send + Sync>>;
}
