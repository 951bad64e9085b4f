//! What a person proves who they are with.

use std::fmt;
use std::str::FromStr;

mod text;

use text::{Fault, SecretText};

/// The code from an SMS, as the person typed it.
///
/// Neither its length nor its alphabet is documented: anything of 1 to 32 visible ASCII characters
/// is taken, and each that is verified costs a try. If yours are digits, look at that first, so that a
/// word typed by mistake costs none. `Debug` shows nothing of it, and its bytes are overwritten when
/// it goes.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct VerificationCode(SecretText);

impl VerificationCode {
    /// The longest code, in bytes.
    pub const MAX_BYTES: usize = 32;

    /// Takes a code, without the white space that comes along when one is pasted.
    ///
    /// # Errors
    /// [`InvalidCode`] if nothing is left, more than [`VerificationCode::MAX_BYTES`] are, or one is
    /// no visible ASCII character.
    pub fn new(code: &str) -> Result<Self, InvalidCode> {
        Ok(Self(SecretText::read(code, Self::MAX_BYTES)?))
    }

    /// The code itself.
    pub fn expose_secret(&self) -> &str {
        self.0.expose()
    }
}

impl FromStr for VerificationCode {
    type Err = InvalidCode;

    fn from_str(code: &str) -> Result<Self, Self::Err> {
        Self::new(code)
    }
}

impl fmt::Debug for VerificationCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VerificationCode(***)")
    }
}

/// Why a text is no [`VerificationCode`]. It shows nothing of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidCode {
    /// It has no characters but white space.
    #[error("the verification code is empty")]
    Empty,
    /// It is longer than [`VerificationCode::MAX_BYTES`].
    #[error("the verification code is longer than {} bytes", VerificationCode::MAX_BYTES)]
    TooLong,
    /// It has white space in it, a control character or a character outside of ASCII.
    #[error("the verification code has a character that no code has")]
    IllegalCharacter,
}

impl From<Fault> for InvalidCode {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Empty => Self::Empty,
            Fault::TooLong => Self::TooLong,
            Fault::IllegalCharacter => Self::IllegalCharacter,
        }
    }
}

/// A JWT of Firebase, by which Moojo takes over a login that was made there.
///
/// Opaque: Moojo's documented example is not even of a JWT's form, so only what cannot be sent is
/// refused. `Debug` shows nothing of it, and its bytes are overwritten when it goes.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct FirebaseJwt(SecretText);

impl FirebaseJwt {
    /// The longest JWT, in bytes.
    pub const MAX_BYTES: usize = 16 * 1024;

    /// Takes a JWT, without white space around it.
    ///
    /// # Errors
    /// [`InvalidJwt`] if nothing is left, more than [`FirebaseJwt::MAX_BYTES`] are, or one is no
    /// visible ASCII character.
    pub fn new(jwt: &str) -> Result<Self, InvalidJwt> {
        Ok(Self(SecretText::read(jwt, Self::MAX_BYTES)?))
    }

    /// The JWT itself.
    pub fn expose_secret(&self) -> &str {
        self.0.expose()
    }
}

impl fmt::Debug for FirebaseJwt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FirebaseJwt(***)")
    }
}

/// Why a text is no [`FirebaseJwt`]. It shows nothing of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidJwt {
    /// It has no characters but white space.
    #[error("the JWT is empty")]
    Empty,
    /// It is longer than [`FirebaseJwt::MAX_BYTES`].
    #[error("the JWT is longer than {} bytes", FirebaseJwt::MAX_BYTES)]
    TooLong,
    /// It has white space in it, a control character or a character outside of ASCII.
    #[error("the JWT has a character that no JWT has")]
    IllegalCharacter,
}

impl From<Fault> for InvalidJwt {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Empty => Self::Empty,
            Fault::TooLong => Self::TooLong,
            Fault::IllegalCharacter => Self::IllegalCharacter,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pasted_code_loses_its_white_space() {
        for pasted in ["133575", " 133575\r\n", "\u{a0}133575\t"] {
            assert_eq!(VerificationCode::new(pasted).unwrap().expose_secret(), "133575");
        }
    }

    #[test]
    fn what_is_no_code_is_refused() {
        assert_eq!(VerificationCode::new(" \n"), Err(InvalidCode::Empty));
        assert_eq!(VerificationCode::new(&"1".repeat(33)), Err(InvalidCode::TooLong));
        for bad in ["133 575", "13\u{0}75", "１３３５７５", "13\"\u{7f}"] {
            assert_eq!(VerificationCode::new(bad), Err(InvalidCode::IllegalCharacter));
        }
        assert!(VerificationCode::new(&"~".repeat(32)).is_ok());
    }

    #[test]
    fn a_jwt_needs_no_dots() {
        assert!(FirebaseJwt::new("eyJhbGciOiJSUzI1NiIsImtpZCI6").is_ok());
        assert_eq!(FirebaseJwt::new(""), Err(InvalidJwt::Empty));
        assert_eq!(FirebaseJwt::new("a b"), Err(InvalidJwt::IllegalCharacter));
        assert_eq!(FirebaseJwt::new(&"a".repeat(16 * 1024 + 1)), Err(InvalidJwt::TooLong));
    }

    #[test]
    fn rule_13_debug_shows_nothing() {
        assert_eq!(format!("{:?}", VerificationCode::new("133575")), "Ok(VerificationCode(***))");
        assert_eq!(format!("{:?}", FirebaseJwt::new("eyJh")), "Ok(FirebaseJwt(***))");
    }
}
