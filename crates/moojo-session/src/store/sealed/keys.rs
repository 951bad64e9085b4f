use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::place::Place;
use crate::secret::SEALED;
use crate::store::StoreError;

const NONCE_BYTES: usize = 24;

/// A key that secrets are sealed with: 32 secret bytes, and a name that stands in clear beside what
/// they sealed, so that the key is found again.
///
/// The caller brings the bytes, from a key management service or a secret file; they are overwritten
/// when the last clone goes. `Debug` shows the name alone.
#[derive(Clone)]
pub struct SealingKey {
    name: Arc<str>,
    ciphers: Arc<Ciphers>,
}

/// Each wipes its key.
struct Ciphers {
    seal: XChaCha20Poly1305,
    hash: Hmac<Sha256>,
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
        let seal = XChaCha20Poly1305::new(bytes.into());
        let hash = keyed(&derived(bytes));
        Ok(Self { name: name.into(), ciphers: Arc::new(Ciphers { seal, hash }) })
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

/// A key of its own to hash with: no two uses share one.
fn derived(bytes: &[u8; 32]) -> Zeroizing<[u8; 32]> {
    let mut hash = keyed(bytes);
    hash.update(b"moojo-session: hash key v1");
    Zeroizing::new(hash.finalize().into_bytes().into())
}

fn keyed(key: &[u8; 32]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("it takes keys of any length")
}

/// The key that seals, and older ones that open what they sealed once.
#[derive(Debug, Clone)]
pub struct KeyRing {
    current: SealingKey,
    old: Vec<SealingKey>,
}

/// Why a sealed secret does not open.
#[derive(Debug, thiserror::Error)]
enum DoesNotOpen {
    #[error("what is in the store is plain, and has to be sealed")]
    Plain,
    #[error("what is in the store was sealed with the key {0:?}, which is not in the ring")]
    UnknownKey(String),
    #[error(
        "what is sealed in the store was sealed with other bytes than those of the key {0:?}, or was \
         changed, or is another user's, tenant's or login's"
    )]
    Refused(String),
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

    /// `secret`, sealed with the current key for this place.
    pub(super) fn seal(&self, secret: &str, place: &Place) -> Result<String, StoreError> {
        let key = &self.current;
        let mut sealed = vec![0; NONCE_BYTES];
        getrandom::fill(&mut sealed).map_err(StoreError::unavailable)?;
        let bound = place.bound_to(key.name());
        let payload = Payload { msg: secret.as_bytes(), aad: &bound };
        let nonce = XNonce::try_from(sealed.as_slice()).expect("24 bytes");
        // It fails for messages of gigabytes alone.
        let encrypted = key.ciphers.seal.encrypt(&nonce, payload);
        sealed.extend(encrypted.map_err(|_| StoreError::refused("it is too long to be sealed"))?);
        Ok(format!("{SEALED}{}.{}", key.name(), URL_SAFE_NO_PAD.encode(sealed)))
    }

    /// The secret that was sealed for this place.
    pub(super) fn open(&self, sealed: &str, place: &Place) -> Result<String, StoreError> {
        self.opened(sealed, place).map_err(StoreError::corrupt)
    }

    fn opened(&self, sealed: &str, place: &Place) -> Result<String, DoesNotOpen> {
        let (name, text) = parts(sealed).ok_or(DoesNotOpen::Plain)?;
        let key = std::iter::once(&self.current).chain(&self.old).find(|key| key.name() == name);
        let key = key.ok_or_else(|| DoesNotOpen::UnknownKey(name.to_owned()))?;
        let refused = || DoesNotOpen::Refused(name.to_owned());
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| refused())?;
        let (nonce, encrypted) = bytes.split_at_checked(NONCE_BYTES).ok_or_else(refused)?;
        let nonce = XNonce::try_from(nonce).map_err(|_| refused())?;
        let payload = Payload { msg: encrypted, aad: &place.bound_to(name) };
        let opened = key.ciphers.seal.decrypt(&nonce, payload).map_err(|_| refused())?;
        String::from_utf8(opened).map_err(|error| {
            drop(Zeroizing::new(error.into_bytes()));
            refused()
        })
    }

    /// A name for this place, always the same, that tells nothing of it to who has not the current
    /// key.
    pub(super) fn hash(&self, place: &Place) -> String {
        let mut hash = self.current.ciphers.hash.clone();
        hash.update(&place.bound_to(self.current.name()));
        let hash = hash.finalize().into_bytes();
        // 128 bits are enough to tell places apart.
        format!("hashed.v1.{}", URL_SAFE_NO_PAD.encode(&hash[..16]))
    }

    /// Whether it was sealed with the current key.
    pub(super) fn is_current(&self, sealed: &str) -> bool {
        parts(sealed).is_some_and(|(name, _)| name == self.current.name())
    }
}

/// The key's name, and what was sealed.
fn parts(sealed: &str) -> Option<(&str, &str)> {
    sealed.strip_prefix(SEALED)?.split_once('.')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::StoreErrorKind;

    fn ring() -> KeyRing {
        KeyRing::new(SealingKey::new("one", &[1; 32]).unwrap())
    }

    fn place(parts: &[&str]) -> Place {
        let parts: Vec<_> = parts.iter().map(|part| part.as_bytes()).collect();
        Place::new("test v1", &parts)
    }

    fn refused(opened: Result<String, StoreError>) -> String {
        let error = opened.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Corrupt);
        std::error::Error::source(&error).unwrap().to_string()
    }

    #[test]
    fn what_was_sealed_opens_and_shows_nothing() {
        let here = place(&["acme", "alice"]);
        let sealed = ring().seal("planted-token", &here).unwrap();
        assert!(sealed.starts_with("sealed.v1.one.") && !sealed.contains("planted"));
        assert_eq!(ring().open(&sealed, &here).unwrap(), "planted-token");
        assert_ne!(ring().seal("planted-token", &here).unwrap(), sealed, "a nonce of its own");
    }

    #[test]
    fn rule_1_it_opens_in_no_other_place() {
        let sealed = ring().seal("planted-token", &place(&["ab", "c"])).unwrap();
        for other in [&["a", "bc"][..], &["ab"], &["ab", "c", ""], &["ab", "d"], &[]] {
            assert!(refused(ring().open(&sealed, &place(other))).contains("another user's"));
        }
        let other_kind = Place::new("test v2", &[b"ab", b"c"]);
        refused(ring().open(&sealed, &other_kind));
        assert!(ring().open(&sealed, &place(&["ab", "c"])).is_ok());
    }

    #[test]
    fn what_was_changed_does_not_open() {
        let sealed = ring().seal("planted-token", &place(&[])).unwrap();
        for at in "sealed.v1.one.".len()..sealed.len() {
            let mut bytes = sealed.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            refused(ring().open(std::str::from_utf8(&bytes).unwrap(), &place(&[])));
        }
        for end in ["", "AAAA", "not_base64!"] {
            refused(ring().open(&format!("sealed.v1.one.{end}"), &place(&[])));
        }
    }

    #[test]
    fn errors_name_the_key_and_no_secret() {
        let other = KeyRing::new(SealingKey::new("two", &[2; 32]).unwrap());
        let sealed = ring().seal("planted-token", &place(&[])).unwrap();
        let refusal = refused(other.open(&sealed, &place(&[])));
        assert!(refusal.contains("\"one\", which is not in the ring"), "{refusal}");
        let same_name = KeyRing::new(SealingKey::new("one", &[2; 32]).unwrap());
        refused(same_name.open(&sealed, &place(&[])));
        let refusal = refused(ring().open("planted-token", &place(&[])));
        assert!(refusal.contains("plain") && !refusal.contains("planted"), "{refusal}");
        let both = other.clone().with_old(SealingKey::new("one", &[1; 32]).unwrap());
        assert!(both.open(&sealed, &place(&[])).is_ok());
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
