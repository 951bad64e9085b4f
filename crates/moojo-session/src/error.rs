//! What can go wrong on the way of a call.

use std::convert::Infallible;
use std::error::Error as StdError;
use std::time::Duration;

use crate::origin::Origin;
use crate::reauth::{Declined, ReauthRequired};
use crate::store::StoreError;
use crate::user::UserId;

/// Why a call made for a user failed. `E` is the error of the service under the layer; the
/// [`SessionManager`](crate::SessionManager) itself, which has none, gives `Error<Infallible>`.
///
/// `Display` says what failed and leaves why to the sources, as is the custom. Log an error as
/// [`Chain(&error)`](crate::Chain), or by a reporter such as anyhow's: a bare `{error}` does not say why
/// a store could not be asked.
///
/// ```
/// use moojo_session::Error;
///
/// fn what_now(error: &Error) -> &'static str {
///     match error {
///         Error::ReauthRequired(_) => "send a code to the person",
///         Error::Store(_) => "an outage or a fault: its kind tells; prompt nobody",
///         _ => "see its text",
///     }
/// }
/// ```
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error<E = Infallible> {
    /// The user has to log in again. Nothing was sent, or what was sent was refused.
    #[error("re-authentication is required")]
    ReauthRequired(#[source] ReauthRequired),

    /// The person was asked to log in and will not for now.
    #[error("the person is not asked to log in for now")]
    Declined(#[source] Declined),

    /// The user's sessions do not live as long as was asked for, however often the person logs in.
    #[error("a session of this user lives {life:?}, less than the {wanted:?} asked for")]
    LifeTooShort {
        /// How long one lives.
        life: Duration,
        /// What was asked for, with the expiry margin.
        wanted: Duration,
    },

    /// The store failed or did not answer in time. It says nothing about the user.
    #[error("the session could not be looked up or changed")]
    Store(#[source] StoreError),

    /// The request is bound to no user, and the layer
    /// [refuses](crate::WithoutUser::Refuse) such requests.
    #[error("the request is bound to no user: insert a UserId or UserHandle into its extensions")]
    UserRequired,

    /// The request is bound to two different users.
    #[error("the request is bound to the user {bound} and to the user {other} at once")]
    UserConflict {
        /// The user of the handle.
        bound: UserId,
        /// The user of the id beside it.
        other: UserId,
    },

    /// The request goes to an origin that is not on the layer's list: it gets no token and no key.
    #[error("a user's token may not go to {}", describe(.origin))]
    OriginNotAllowed {
        /// The origin of the request; `None` if its URI has none that could be allowed: no scheme
        /// and host, a scheme other than http and https, or a user name in it.
        origin: Option<Origin>,
    },

    /// The caller had set an `Authorization` header, and the layer
    /// [refuses](crate::OnAuthorization::Refuse) such requests.
    #[error("the request already has an Authorization header")]
    AuthorizationPresent,

    /// The session given had already ended; nothing was changed.
    #[error("the session ended at {expires_at}, before it was inserted")]
    AlreadyExpired {
        /// Its end.
        expires_at: chrono::DateTime<chrono::Utc>,
    },

    /// A limit of the manager was reached; nothing was lost and nobody was prompted.
    #[error("{limit}")]
    Overloaded {
        /// Which.
        limit: Limit,
    },

    /// The service under the layer failed.
    #[error("the call failed")]
    Inner(#[source] E),
}

/// A limit of the [`SessionManager`](crate::SessionManager) that was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Limit {
    /// [`max_users`](crate::SessionManagerBuilder::max_users), with every one of them in use.
    #[error("the limit of {0} users at once is reached")]
    Users(usize),
    /// [`max_waiters`](crate::SessionManagerBuilder::max_waiters).
    #[error("the limit of {0} calls waiting for a login is reached")]
    Waiters(usize),
    /// [`max_waiters_per_user`](crate::SessionManagerBuilder::max_waiters_per_user).
    #[error("the limit of {0} calls of one user waiting for a login is reached")]
    WaitersOfUser(usize),
    /// [`max_requests`](crate::SessionManagerBuilder::max_requests).
    #[error("the limit of {0} users who are asked to log in at once is reached")]
    Requests(usize),
}

fn describe(origin: &Option<Origin>) -> String {
    match origin {
        Some(origin) => format!("{origin}: it is not allowed (SessionLayer::allow_origin)"),
        None => "a URL without a scheme and a host, or with a user name in it".to_owned(),
    }
}

impl Error {
    /// The same error as one of a layer over a service whose error is `E`.
    pub fn widen<E>(self) -> Error<E> {
        self.map_inner(|never| match never {})
    }
}

impl<E> Error<E> {
    /// Changes the inner service's error.
    pub fn map_inner<F>(self, map: impl FnOnce(E) -> F) -> Error<F> {
        match self {
            Self::ReauthRequired(signal) => Error::ReauthRequired(signal),
            Self::Declined(declined) => Error::Declined(declined),
            Self::LifeTooShort { life, wanted } => Error::LifeTooShort { life, wanted },
            Self::Store(error) => Error::Store(error),
            Self::UserRequired => Error::UserRequired,
            Self::UserConflict { bound, other } => Error::UserConflict { bound, other },
            Self::OriginNotAllowed { origin } => Error::OriginNotAllowed { origin },
            Self::AuthorizationPresent => Error::AuthorizationPresent,
            Self::AlreadyExpired { expires_at } => Error::AlreadyExpired { expires_at },
            Self::Overloaded { limit } => Error::Overloaded { limit },
            Self::Inner(error) => Error::Inner(map(error)),
        }
    }

    pub(crate) fn with_trace_id(self, trace_id: Option<&str>) -> Self {
        match self {
            Self::ReauthRequired(signal) => signal.with_trace_id(trace_id).into(),
            other => other,
        }
    }

    /// The error in the form that tower's own middleware passes on, for a layer over a service
    /// whose error is a box already (`tower::timeout`, `tower::buffer`): a box is no
    /// [`std::error::Error`] itself, so `Error<BoxError>` is none either.
    ///
    /// ```
    /// use moojo_session::{Error, ReauthRequired};
    ///
    /// type BoxError = Box<dyn std::error::Error + Send + Sync>;
    /// let error: Error<BoxError> = Error::Inner("no route to host".into());
    /// let boxed: BoxError = error.into_boxed();
    /// assert_eq!(boxed.source().unwrap().to_string(), "no route to host");
    /// ```
    pub fn into_boxed(self) -> Box<dyn StdError + Send + Sync>
    where
        E: Into<Box<dyn StdError + Send + Sync>>,
    {
        Box::new(self.map_inner(|error| Boxed(error.into())))
    }
}

/// A boxed error as an [`std::error::Error`].
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
struct Boxed(Box<dyn StdError + Send + Sync>);

impl<E> From<StoreError> for Error<E> {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl<E> From<Declined> for Error<E> {
    fn from(declined: Declined) -> Self {
        Self::Declined(declined)
    }
}

impl<E> From<ReauthRequired> for Error<E> {
    fn from(signal: ReauthRequired) -> Self {
        Self::ReauthRequired(signal)
    }
}
