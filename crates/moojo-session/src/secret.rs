//! Secrets: the user's token and the caller's API key.
//!
//! Both are kept in the one form in which they are used, a sensitive [`HeaderValue`]. Its bytes
//! stand in memory once, are shared by every clone, and are overwritten when the last clone goes.

use std::fmt;

use bytes::Bytes;
use http::HeaderValue;
use zeroize::{Zeroize, Zeroizing};

/// How a sealed secret begins; its key's name follows, then a dot and what was sealed.
pub(crate) const SEALED: &str = "sealed.v1.";

/// A person's bearer token.
///
/// `Debug` shows nothing of it. Clones share one copy of the bytes, which is overwritten when the
/// last of them goes; so does the `String` given to [`AccessToken::new`].
#[derive(Clone)]
pub struct AccessToken(HeaderValue);

impl AccessToken {
    pub(crate) const SCHEME: &str = "Bearer ";

    /// Checks a token and takes it over.
    ///
    /// # Errors
    /// [`InvalidSecret`] if it is empty, longer than [`InvalidSecret::MAX_BYTES`] or cannot stand
    /// in an `Authorization` header.
    pub fn new(token: impl Into<String>) -> Result<Self, InvalidSecret> {
        header_value("access token", Self::SCHEME, token.into()).map(Self)
    }

    /// One that a store kept, which may have been sealed and is longer then.
    #[cfg(any(feature = "sealed", feature = "serde"))]
    pub(crate) fn kept(token: String) -> Result<Self, InvalidSecret> {
        checked("access token", Self::SCHEME, token, MAX_KEPT_BYTES).map(Self)
    }

    /// The finished value of the `Authorization` header, `Bearer <token>`, marked sensitive.
    pub fn authorization(&self) -> &HeaderValue {
        &self.0
    }

    /// The token itself.
    pub fn expose_secret(&self) -> &str {
        expose(&self.0, Self::SCHEME)
    }

    pub(crate) fn from_authorization(value: HeaderValue) -> Self {
        Self(value)
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessToken(***)")
    }
}

/// The caller's own key for Moojo's API, sent as `x-api-key`.
///
/// `Debug` shows nothing of it. Clones share one copy of the bytes, which is overwritten when the
/// last of them goes.
#[derive(Clone)]
pub struct ApiKey(HeaderValue);

impl ApiKey {
    /// Checks a key and takes it over.
    ///
    /// # Errors
    /// [`InvalidSecret`] if it is empty, longer than [`InvalidSecret::MAX_BYTES`] or cannot stand
    /// in a header.
    pub fn new(key: impl Into<String>) -> Result<Self, InvalidSecret> {
        header_value("api key", "", key.into()).map(Self)
    }

    /// The finished value of the header, marked sensitive.
    pub fn header_value(&self) -> &HeaderValue {
        &self.0
    }

    /// The key itself.
    pub fn expose_secret(&self) -> &str {
        expose(&self.0, "")
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(***)")
    }
}

/// Why a text is no token or key. It says where the fault is and shows nothing of the secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidSecret {
    /// It has no characters.
    #[error("the {what} is empty")]
    Empty {
        /// Which secret: "access token" or "api key".
        what: &'static str,
    },
    /// It is longer than [`InvalidSecret::MAX_BYTES`].
    #[error("the {what} has {bytes} bytes, more than the {} allowed", InvalidSecret::MAX_BYTES)]
    TooLong {
        /// Which secret.
        what: &'static str,
        /// Its length.
        bytes: usize,
    },
    /// It has a character that is not allowed in the header: a control character or white space
    /// (a stray line feed from a file, most often).
    #[error("the {what} has white space or a control character at byte {at}")]
    IllegalCharacter {
        /// Which secret.
        what: &'static str,
        /// The byte position of the first one.
        at: usize,
    },
}

impl InvalidSecret {
    /// The longest token or key, in bytes: what common servers accept in one header line.
    pub const MAX_BYTES: usize = 8000;
}

/// The one owner of a secret's bytes.
struct Wiped(Zeroizing<Box<[u8]>>);

impl AsRef<[u8]> for Wiped {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// The longest token, sealed, takes less.
const MAX_KEPT_BYTES: usize = InvalidSecret::MAX_BYTES / 2 * 3;

/// Whether it is a token that a store can have kept: see [`AccessToken::kept`].
pub(crate) fn check_kept(token: &str) -> Result<(), InvalidSecret> {
    check("access token", token, MAX_KEPT_BYTES)
}

fn header_value(
    what: &'static str,
    prefix: &str,
    secret: String,
) -> Result<HeaderValue, InvalidSecret> {
    checked(what, prefix, secret, InvalidSecret::MAX_BYTES)
}

fn checked(
    what: &'static str,
    prefix: &str,
    mut secret: String,
    max_bytes: usize,
) -> Result<HeaderValue, InvalidSecret> {
    let value = check(what, &secret, max_bytes).map(|()| {
        let mut bytes = Vec::with_capacity(prefix.len() + secret.len());
        bytes.extend_from_slice(prefix.as_bytes());
        bytes.extend_from_slice(secret.as_bytes());
        // Exactly full, so that this only forgets the capacity: nothing is copied.
        let owner = Wiped(Zeroizing::new(bytes.into_boxed_slice()));
        let mut value = HeaderValue::from_maybe_shared(Bytes::from_owner(owner))
            .expect("checked: no control characters");
        value.set_sensitive(true);
        value
    });
    secret.zeroize();
    value
}

fn check(what: &'static str, secret: &str, max_bytes: usize) -> Result<(), InvalidSecret> {
    if secret.is_empty() {
        return Err(InvalidSecret::Empty { what });
    }
    if secret.len() > max_bytes {
        return Err(InvalidSecret::TooLong { what, bytes: secret.len() });
    }
    let is_illegal = |byte: u8| byte.is_ascii_control() || byte == b' ';
    // Nearly always all are legal, which is found out many at a time where it does not end early.
    if !secret.bytes().fold(false, |found, byte| found | is_illegal(byte)) {
        return Ok(());
    }
    let at = secret.bytes().position(is_illegal).unwrap_or_default();
    Err(InvalidSecret::IllegalCharacter { what, at })
}

fn expose<'a>(value: &'a HeaderValue, prefix: &str) -> &'a str {
    std::str::from_utf8(&value.as_bytes()[prefix.len()..]).expect("made of two strings")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_a_sensitive_bearer_header() {
        let token = AccessToken::new("6c0350a0").unwrap();
        assert_eq!(token.authorization(), "Bearer 6c0350a0");
        assert!(token.authorization().is_sensitive());
        assert_eq!(token.expose_secret(), "6c0350a0");
    }

    #[test]
    fn clones_share_the_bytes() {
        let token = AccessToken::new("6c0350a0").unwrap();
        let clone = token.clone();
        assert_eq!(token.authorization().as_bytes().as_ptr(), clone.0.as_bytes().as_ptr());
    }

    #[test]
    fn rule_13_bad_secrets_are_named_not_shown() {
        let error = ApiKey::new("planted-key\n").unwrap_err();
        assert_eq!(
            error.to_string(),
            "the api key has white space or a control character at byte 11"
        );
        assert!(!format!("{error:?}").contains("planted"));
        assert_eq!(AccessToken::new("").unwrap_err().to_string(), "the access token is empty");
        assert!(AccessToken::new("two words").is_err());
        assert!(AccessToken::new("x".repeat(8001)).is_err());
    }

    #[test]
    fn rule_13_debug_shows_nothing() {
        assert_eq!(format!("{:?}", AccessToken::new("planted").unwrap()), "AccessToken(***)");
        assert_eq!(format!("{:?}", ApiKey::new("planted").unwrap()), "ApiKey(***)");
    }
}
