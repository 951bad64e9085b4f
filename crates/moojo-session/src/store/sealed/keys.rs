use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use zeroize::Zeroizing;

use crate::secret::AccessToken;
use crate::session::Session;
use crate::store::StoreError;

const NONCE_BYTES: usize = 24;

/// A key that tokens are sealed with: 32 secret bytes, and a name that stands in clear beside what
/// they sealed, so that the key is found again.
///
/// The caller brings the bytes, from a key management service or a secret file; they are overwritten
/// when the last clone goes. `Debug` shows the name alone.
#[derive(Clone)]
pub struct SealingKey {
    name: Arc<str>,
    // The cipher wipes its key.
    cipher: Arc<XChaCha20Poly1305>,
}

/// A name that no [`SealingKey`] can have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the name of a sealing key is 1 to 32 letters, digits, '-' or '_'")]
pub struct InvalidKeyName;

impl SealingKey {
    /// A key of these bytes, of which the caller wipes its own copy.
    ///
    /// # Errors
    /// [`InvalidKeyName`], unless the name is 1 to 32 ASCII letters, digits, `-` or `_`.
    pub fn new(name: &str, bytes: &[u8; 32]) -> Result<Self, InvalidKeyName> {
        let legal = |c: u8| c.is_ascii_alphanumeric() || c == b'-' || c == b'_';
        if name.is_empty() || name.len() > 32 || !name.bytes().all(legal) {
            return Err(InvalidKeyName);
        }
        Ok(Self { name: name.into(), cipher: Arc::new(XChaCha20Poly1305::new(bytes.into())) })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealingKey").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The key that seals, and older ones that open what they sealed once.
#[derive(Debug, Clone)]
pub struct KeyRing {
    current: SealingKey,
    old: Vec<SealingKey>,
}

/// Why a sealed token does not open.
#[derive(Debug, thiserror::Error)]
enum DoesNotOpen {
    #[error("the token in the store is not a sealed one")]
    NotSealed,
    #[error("the token was sealed with the key {0:?}, which is not in the ring")]
    UnknownKey(String),
    #[error("the sealed token was changed, or is another user's, tenant's or session's")]
    Refused,
}

impl KeyRing {
    /// A ring of one key.
    pub fn new(current: SealingKey) -> Self {
        Self { current, old: Vec::new() }
    }

    /// Opens what was sealed with this key, too.
    #[must_use]
    pub fn with_old(mut self, key: SealingKey) -> Self {
        self.old.push(key);
        self
    }

    /// The session with its token sealed.
    pub(super) fn seal(&self, session: &Session, tenant: &str) -> Result<Session, StoreError> {
        let key = &self.current;
        let mut sealed = vec![0; NONCE_BYTES];
        getrandom::fill(&mut sealed).map_err(StoreError::unavailable)?;
        let bound = bound_to(session, tenant, key.name());
        let token = session.access_token();
        let payload = Payload { msg: token.expose_secret().as_bytes(), aad: &bound };
        let nonce = XNonce::try_from(sealed.as_slice()).expect("24 bytes");
        // It fails for messages of gigabytes alone.
        let encrypted = key.cipher.encrypt(&nonce, payload);
        sealed.extend(encrypted.map_err(|_| StoreError::refused("the token is too long"))?);
        let text =
            format!("{}{}.{}", AccessToken::SEALED, key.name(), URL_SAFE_NO_PAD.encode(sealed));
        let token = AccessToken::kept(text).map_err(StoreError::refused)?;
        session.with_token(token).map_err(StoreError::refused)
    }

    /// The session with its token opened.
    pub(super) fn open(&self, sealed: &Session, tenant: &str) -> Result<Session, StoreError> {
        let token = self.opened(sealed, tenant).map_err(StoreError::corrupt)?;
        let token = AccessToken::kept(token).map_err(StoreError::corrupt)?;
        sealed.with_token(token).map_err(StoreError::corrupt)
    }

    fn opened(&self, sealed: &Session, tenant: &str) -> Result<String, DoesNotOpen> {
        let token = sealed.access_token();
        let (name, text) = parts(&token).ok_or(DoesNotOpen::NotSealed)?;
        let key = std::iter::once(&self.current).chain(&self.old).find(|key| key.name() == name);
        let key = key.ok_or_else(|| DoesNotOpen::UnknownKey(name.to_owned()))?;
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| DoesNotOpen::Refused)?;
        let (nonce, encrypted) = bytes.split_at_checked(NONCE_BYTES).ok_or(DoesNotOpen::Refused)?;
        let nonce = XNonce::try_from(nonce).map_err(|_| DoesNotOpen::Refused)?;
        let bound = bound_to(sealed, tenant, name);
        let payload = Payload { msg: encrypted, aad: &bound };
        let opened = key.cipher.decrypt(&nonce, payload).map_err(|_| DoesNotOpen::Refused)?;
        String::from_utf8(opened).map_err(|error| {
            drop(Zeroizing::new(error.into_bytes()));
            DoesNotOpen::Refused
        })
    }

    /// Whether the token is sealed with the current key.
    pub(super) fn is_current(&self, sealed: &Session) -> bool {
        parts(&sealed.access_token()).is_some_and(|(name, _)| name == self.current.name())
    }
}

/// Whether a store holds this token in clear.
pub(super) fn is_in_clear(session: &Session) -> bool {
    parts(&session.access_token()).is_none()
}

/// The key's name, and what was sealed.
fn parts(token: &AccessToken) -> Option<(&str, &str)> {
    token.expose_secret().strip_prefix(AccessToken::SEALED)?.split_once('.')
}

/// What a token is sealed for: it opens in no other place. Each part has its length before it, so
/// that no two lists of parts read alike.
fn bound_to(session: &Session, tenant: &str, key: &str) -> Vec<u8> {
    let mut bound = b"moojo-session sealed token v1".to_vec();
    let [issued, ends] = session.nanos().map(i64::to_be_bytes);
    let parts: [&[u8]; 6] = [
        key.as_bytes(),
        tenant.as_bytes(),
        session.user().as_str().as_bytes(),
        &session.id().to_bytes(),
        &issued,
        &ends,
    ];
    for part in parts {
        bound.extend((part.len() as u64).to_be_bytes());
        bound.extend(part);
    }
    bound
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::SessionId;
    use crate::store::StoreErrorKind;
    use crate::user::UserId;

    fn ring() -> KeyRing {
        KeyRing::new(SealingKey::new("one", &[1; 32]).unwrap())
    }

    fn session(user: &str) -> Session {
        let token = AccessToken::new("planted-token").unwrap();
        Session::builder(UserId::new(user).unwrap(), token)
            .expires_at("2025-02-16T15:12:52.555Z".parse().unwrap())
            .issued_at("2025-02-16T13:12:52.555Z".parse().unwrap())
            .public_key("0x0288")
            .build()
            .unwrap()
    }

    fn refused(opened: Result<Session, StoreError>) -> String {
        let error = opened.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Corrupt);
        std::error::Error::source(&error).unwrap().to_string()
    }

    #[test]
    fn what_was_sealed_opens_and_shows_nothing() {
        let session = session("alice");
        let sealed = ring().seal(&session, "acme").unwrap();
        let text = sealed.access_token().expose_secret().to_owned();
        assert!(text.starts_with("sealed.v1.one.") && !text.contains("planted"));
        let opened = ring().open(&sealed, "acme").unwrap();
        assert_eq!(opened, session);
        assert_eq!(opened.authorization(), "Bearer planted-token");
        assert_eq!(opened.public_key(), Some("0x0288"));
        let again = ring().seal(&session, "acme").unwrap();
        assert_ne!(again.access_token().expose_secret(), text, "a nonce of its own");
    }

    #[test]
    fn rule_1_it_opens_for_no_other_user_tenant_session_or_time() {
        let alices = session("alice");
        let token = ring().seal(&alices, "acme").unwrap().access_token();
        let copied =
            |session: Session| ring().open(&session.with_token(token.clone()).unwrap(), "acme");
        assert!(copied(alices.clone()).is_ok());
        assert!(refused(copied(session("bob"))).contains("another user's"));
        let builder = || {
            Session::builder(alices.user().clone(), token.clone())
                .id(alices.id())
                .issued_at(alices.issued_at())
                .expires_at(alices.expires_at())
        };
        assert!(ring().open(&builder().build().unwrap(), "acme").is_ok());
        refused(ring().open(&builder().build().unwrap(), "acm"));
        refused(ring().open(&builder().id(SessionId::random()).build().unwrap(), "acme"));
        let longer = alices.expires_at() + chrono::TimeDelta::hours(1);
        refused(ring().open(&builder().expires_at(longer).build().unwrap(), "acme"));
    }

    #[test]
    fn what_was_changed_does_not_open() {
        let session = session("alice");
        let sealed = ring().seal(&session, "").unwrap();
        let text = sealed.access_token().expose_secret().to_owned();
        for at in "sealed.v1.one.".len()..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let token = AccessToken::kept(String::from_utf8(bytes).unwrap()).unwrap();
            refused(ring().open(&sealed.with_token(token).unwrap(), ""));
        }
        for end in ["", "AAAA", "not_base64!"] {
            let token = AccessToken::new(format!("sealed.v1.one.{end}")).unwrap();
            refused(ring().open(&sealed.with_token(token).unwrap(), ""));
        }
    }

    #[test]
    fn errors_name_the_key_and_no_token() {
        let other = KeyRing::new(SealingKey::new("two", &[2; 32]).unwrap());
        let sealed = ring().seal(&session("alice"), "").unwrap();
        let refusal = refused(other.open(&sealed, ""));
        assert!(refusal.contains("\"one\", which is not in the ring"), "{refusal}");
        let same_name = KeyRing::new(SealingKey::new("one", &[2; 32]).unwrap());
        refused(same_name.open(&sealed, ""));
        let refusal = refused(ring().open(&session("alice"), ""));
        assert!(refusal.contains("not a sealed one") && !refusal.contains("planted"));
        let both = other.clone().with_old(SealingKey::new("one", &[1; 32]).unwrap());
        assert!(both.open(&sealed, "").is_ok());
        assert!(!both.is_current(&sealed) && ring().is_current(&sealed));
        assert!(!format!("{both:?}").contains('2'), "rule 13");
    }

    #[test]
    fn names_are_short_and_plain() {
        for bad in ["", "a.b", "a b", "ä", &"x".repeat(33)] {
            assert_eq!(SealingKey::new(bad, &[0; 32]).unwrap_err(), InvalidKeyName);
        }
    }
}
