//! One login of one user.

use std::fmt;
use std::hash::{Hash, Hasher};

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use http::HeaderValue;
use triomphe::Arc;
use zeroize::Zeroizing;

use crate::secret::{self, AccessToken};
use crate::user::UserId;

mod exposed;
mod id;
mod parts;

use parts::Parts;

pub use exposed::InvalidExposed;
pub use id::{InvalidSessionId, SessionId};

/// One login of one user: the token with its end and with what Moojo said of the user.
///
/// A session is one shared record that never changes. Cloning it counts a reference; no token is
/// copied. Its token stands in memory once, beside what else is known of the login, and is
/// overwritten when the last clone and the last header value of it are gone. Two sessions are equal if they are the same login, by [`SessionId`].
///
/// ```
/// use moojo_session::{AccessToken, Session, UserId};
///
/// let ends = "2025-02-16T15:12:52.555Z".parse()?;
/// let session = Session::builder(UserId::new("alice")?, AccessToken::new("6c0350a00925")?)
///     .expires_at(ends)
///     .public_user_id("a6e8f837-2f6b-478c-a007-82989d000000")
///     .build()?;
/// assert_eq!(session.user().as_str(), "alice");
/// assert_eq!(session.expires_at(), ends);
/// assert!(!format!("{session:?}").contains("6c0350a00925"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Session(Arc<Record>);

struct Record {
    user: UserId,
    id: SessionId,
    issued_nanos: i64,
    expires_nanos: i64,
    /// The finished header value, the public user id and the public key, one after the other:
    /// overwritten when the last reference goes, whether a session holds it or a header value.
    bytes: Zeroizing<Box<[u8]>>,
    authorization_len: u16,
    public_user_id_len: u16,
    has_public_user_id: bool,
    has_public_key: bool,
}

impl Session {
    /// The time for which a token of Moojo is documented to live: two hours.
    pub const DOCUMENTED_LIFE: TimeDelta = TimeDelta::hours(2);

    /// Starts a session of `user` with `token`. Its end must be set.
    pub fn builder(user: UserId, token: AccessToken) -> SessionBuilder {
        SessionBuilder {
            user,
            token,
            id: None,
            issued_at: None,
            expires_at: None,
            public_user_id: None,
            public_key: None,
        }
    }

    /// The user whose token this is.
    pub fn user(&self) -> &UserId {
        &self.0.user
    }

    /// The random id of this login.
    pub fn id(&self) -> SessionId {
        self.0.id
    }

    /// The finished value of the `Authorization` header, marked sensitive. It shares the session's
    /// bytes: no token is copied.
    pub fn authorization(&self) -> HeaderValue {
        let bytes = Bytes::from_owner(AuthorizationOf(self.clone()));
        let mut value = HeaderValue::from_maybe_shared(bytes)
            .expect("it was a header value when the session was made");
        value.set_sensitive(true);
        value
    }

    /// The token, for those who need more than the header. It shares the session's bytes.
    pub fn access_token(&self) -> AccessToken {
        AccessToken::from_authorization(self.authorization())
    }

    /// When Moojo issued the token, as far as known: see [`SessionBuilder::issued_at`].
    pub fn issued_at(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_nanos(self.0.issued_nanos)
    }

    /// When the token ends.
    pub fn expires_at(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_nanos(self.0.expires_nanos)
    }

    /// Moojo's `publicUserId` of the user.
    pub fn public_user_id(&self) -> Option<&str> {
        let (id, _) = self.texts();
        self.0.has_public_user_id.then_some(id)
    }

    /// Moojo's `publicKey` of the user.
    pub fn public_key(&self) -> Option<&str> {
        let (_, key) = self.texts();
        self.0.has_public_key.then_some(key)
    }

    /// Whether the session has ended by a wall clock that shows `now`.
    pub fn has_expired_at(&self, now: DateTime<Utc>) -> bool {
        now >= self.expires_at()
    }

    pub(crate) fn expires_nanos(&self) -> i64 {
        self.0.expires_nanos
    }

    /// When it was issued and when it ends.
    #[cfg(feature = "sealed")]
    pub(crate) fn nanos(&self) -> [i64; 2] {
        [self.0.issued_nanos, self.0.expires_nanos]
    }

    /// The same login with another token.
    #[cfg(feature = "sealed")]
    pub(crate) fn with_token(&self, token: AccessToken) -> Result<Self, InvalidSession> {
        let builder = SessionBuilder {
            user: self.user().clone(),
            token,
            id: Some(self.id()),
            issued_at: Some(self.issued_at()),
            expires_at: Some(self.expires_at()),
            public_user_id: self.public_user_id().map(str::to_owned),
            public_key: self.public_key().map(str::to_owned),
        };
        builder.build()
    }

    /// Whether its token is one that only a `SealedStore` can open.
    pub(crate) fn is_sealed(&self) -> bool {
        self.token().starts_with(secret::SEALED)
    }

    fn token(&self) -> &str {
        let token = &self.0.bytes[AccessToken::SCHEME.len()..usize::from(self.0.authorization_len)];
        std::str::from_utf8(token).expect("made of a string")
    }

    fn texts(&self) -> (&str, &str) {
        let texts = &self.0.bytes[usize::from(self.0.authorization_len)..];
        let texts = std::str::from_utf8(texts).expect("made of two strings");
        texts.split_at(usize::from(self.0.public_user_id_len))
    }
}

/// The owner of a header value's bytes.
struct AuthorizationOf(Session);

impl AsRef<[u8]> for AuthorizationOf {
    fn as_ref(&self) -> &[u8] {
        let Record { bytes, authorization_len, .. } = &*self.0.0;
        &bytes[..usize::from(*authorization_len)]
    }
}

impl PartialEq for Session {
    fn eq(&self, other: &Self) -> bool {
        self.id() == other.id() && self.user() == other.user()
    }
}

impl Eq for Session {}

impl Hash for Session {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id().hash(state);
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("user", self.user())
            .field("id", &self.id())
            .field("issued_at", &self.issued_at())
            .field("expires_at", &self.expires_at())
            .finish_non_exhaustive()
    }
}

/// Builds a [`Session`]; from [`Session::builder`].
#[derive(Debug, Clone)]
#[must_use]
pub struct SessionBuilder {
    user: UserId,
    token: AccessToken,
    id: Option<SessionId>,
    issued_at: Option<DateTime<Utc>>,
    expires_at: Option<DateTime<Utc>>,
    public_user_id: Option<String>,
    public_key: Option<String>,
}

impl SessionBuilder {
    /// The longest public user id or public key, in bytes.
    pub const MAX_TEXT_BYTES: usize = 4096;

    /// When the token ends. Required.
    pub fn expires_at(mut self, at: DateTime<Utc>) -> Self {
        self.expires_at = Some(at);
        self
    }

    /// When Moojo issued the token. Unless set, [`Session::DOCUMENTED_LIFE`] before its end.
    pub fn issued_at(mut self, at: DateTime<Utc>) -> Self {
        self.issued_at = Some(at);
        self
    }

    /// Moojo's `publicUserId`.
    pub fn public_user_id(mut self, id: impl Into<String>) -> Self {
        self.public_user_id = Some(id.into());
        self
    }

    /// Moojo's `publicKey`.
    pub fn public_key(mut self, key: impl Into<String>) -> Self {
        self.public_key = Some(key.into());
        self
    }

    /// The id of a login that is read back from a store. A new login gets a random one.
    pub fn id(mut self, id: SessionId) -> Self {
        self.id = Some(id);
        self
    }

    /// Makes the session.
    ///
    /// # Errors
    /// [`InvalidSession`] if the end is not set, a time is out of range (it must lie between the
    /// years 1678 and 2262), the session would end before it was issued, or a text is longer than
    /// [`SessionBuilder::MAX_TEXT_BYTES`].
    ///
    /// # Panics
    /// If no id was given and the operating system has no random bytes.
    pub fn build(self) -> Result<Session, InvalidSession> {
        let expires_at = self.expires_at.ok_or(InvalidSession::NoEnd)?;
        let expires_nanos = nanos("expires_at", expires_at)?;
        let issued_nanos = match self.issued_at {
            Some(at) => nanos("issued_at", at)?,
            None => nanos("issued_at", expires_at - Session::DOCUMENTED_LIFE)?,
        };
        let parts = Parts {
            user: self.user,
            id: self.id.unwrap_or_else(SessionId::random),
            issued_nanos,
            expires_nanos,
            token: self.token.expose_secret(),
            public_user_id: self.public_user_id.as_deref(),
            public_key: self.public_key.as_deref(),
        };
        parts.into_session()
    }
}

fn nanos(field: &'static str, at: DateTime<Utc>) -> Result<i64, InvalidSession> {
    at.timestamp_nanos_opt().ok_or(InvalidSession::TimeOutOfRange { field })
}

/// Why a [`SessionBuilder`] made no session.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidSession {
    /// `expires_at` was not set.
    #[error("the session has no end: expires_at is required")]
    NoEnd,
    /// A time lies before the year 1678 or after 2262.
    #[error("{field} of the session is out of range (years 1678 to 2262)")]
    TimeOutOfRange {
        /// Which time.
        field: &'static str,
    },
    /// `expires_at` lies before `issued_at`.
    #[error("the session would end before it was issued")]
    EndsBeforeIssued,
    /// A text is longer than [`SessionBuilder::MAX_TEXT_BYTES`].
    #[error(
        "{field} of the session has {bytes} bytes, more than {} allowed",
        SessionBuilder::MAX_TEXT_BYTES
    )]
    TextTooLong {
        /// Which text.
        field: &'static str,
        /// Its length.
        bytes: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn builder() -> SessionBuilder {
        Session::builder(UserId::new("alice").unwrap(), AccessToken::new("planted").unwrap())
            .expires_at("2025-02-16T15:12:52.555123456Z".parse().unwrap())
    }

    #[test]
    fn everything_given_comes_back() {
        let issued = "2025-02-16T15:00:00Z".parse().unwrap();
        let session =
            builder().issued_at(issued).public_user_id("a6e8").public_key("0x02é").build().unwrap();
        assert_eq!(session.public_user_id(), Some("a6e8"));
        assert_eq!(session.public_key(), Some("0x02é"));
        assert_eq!(session.issued_at(), issued);
        assert_eq!(session.expires_at().to_rfc3339(), "2025-02-16T15:12:52.555123456+00:00");
        assert_eq!(session.access_token().expose_secret(), "planted");
        assert_eq!(builder().public_key("k").build().unwrap().public_user_id(), None);
        assert_eq!(builder().public_user_id("").build().unwrap().public_user_id(), Some(""));
    }

    #[test]
    fn what_is_left_out_is_filled_in() {
        let session = builder().build().unwrap();
        assert_eq!(session.expires_at() - session.issued_at(), TimeDelta::hours(2));
        assert_ne!(session.id(), builder().build().unwrap().id());
        assert_ne!(session, builder().build().unwrap());
        assert_eq!(session, builder().id(session.id()).build().unwrap());
    }

    #[test]
    fn bad_input_is_named() {
        let token = AccessToken::new("planted").unwrap();
        let unset = Session::builder(UserId::new("alice").unwrap(), token);
        assert_eq!(unset.build().unwrap_err(), InvalidSession::NoEnd);
        assert_eq!(
            builder().expires_at(DateTime::<Utc>::MAX_UTC).build().unwrap_err(),
            InvalidSession::TimeOutOfRange { field: "expires_at" }
        );
        assert_eq!(
            builder().expires_at(DateTime::<Utc>::MIN_UTC).build().unwrap_err(),
            InvalidSession::TimeOutOfRange { field: "expires_at" }
        );
        assert_eq!(
            builder().issued_at("2026-01-01T00:00:00Z".parse().unwrap()).build().unwrap_err(),
            InvalidSession::EndsBeforeIssued
        );
        assert_eq!(
            builder().public_key("k".repeat(4097)).build().unwrap_err(),
            InvalidSession::TextTooLong { field: "public_key", bytes: 4097 }
        );
    }

    #[test]
    fn the_end_itself_is_past_the_session() {
        let session = builder().build().unwrap();
        assert!(session.has_expired_at(session.expires_at()));
        assert!(!session.has_expired_at(session.expires_at() - TimeDelta::nanoseconds(1)));
    }

    #[test]
    fn rule_13_debug_shows_no_token() {
        assert!(!format!("{:?}", builder().build().unwrap()).contains("planted"));
        assert!(!format!("{:?}", builder()).contains("planted"));
    }
}
