//! Who a session belongs to.

use std::fmt;
use std::str::FromStr;

use ecow::EcoString;

use crate::text::{self, Fault};

/// The name by which the embedding application knows a person: 1 to 256 bytes of text without
/// control characters.
///
/// Cloning is cheap: up to 15 bytes are kept inline, longer ones are shared. A user id is no secret
/// and appears in logs and errors: use an opaque id of your own, never a phone number.
///
/// ```
/// use moojo_session::UserId;
///
/// let alice = UserId::new("alice")?;
/// assert_eq!(alice.as_str(), "alice");
/// assert!(UserId::new("").is_err());
/// assert!(UserId::new("alice\n").is_err());
/// # Ok::<(), moojo_session::InvalidUserId>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserId(EcoString);

impl UserId {
    /// The longest user id, in bytes.
    pub const MAX_BYTES: usize = 256;

    /// Checks `id` and takes it as it is: nothing is trimmed or folded.
    ///
    /// # Errors
    /// [`InvalidUserId`] if it is empty, longer than [`UserId::MAX_BYTES`] or holds a control
    /// character.
    pub fn new(id: impl AsRef<str>) -> Result<Self, InvalidUserId> {
        let id = text::line(id.as_ref(), Self::MAX_BYTES).map_err(|fault| match fault {
            Fault::Empty => InvalidUserId::Empty,
            Fault::TooLong { bytes } => InvalidUserId::TooLong { bytes },
            Fault::ControlCharacter { at } => InvalidUserId::ControlCharacter { at },
        })?;
        Ok(Self(id))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UserId({:?})", self.as_str())
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl AsRef<str> for UserId {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl FromStr for UserId {
    type Err = InvalidUserId;

    fn from_str(id: &str) -> Result<Self, Self::Err> {
        Self::new(id)
    }
}

/// Why a text is no [`UserId`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidUserId {
    /// It has no characters.
    #[error("the user id is empty")]
    Empty,
    /// It is longer than [`UserId::MAX_BYTES`].
    #[error("the user id has {bytes} bytes, more than the {} allowed", UserId::MAX_BYTES)]
    TooLong {
        /// Its length in bytes.
        bytes: usize,
    },
    /// It holds a control character.
    #[error("the user id has a control character at byte {at}")]
    ControlCharacter {
        /// The byte position of the first one.
        at: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn length_is_counted_in_bytes() {
        assert!(UserId::new("x".repeat(256)).is_ok());
        assert_eq!(UserId::new("x".repeat(257)), Err(InvalidUserId::TooLong { bytes: 257 }));
        assert_eq!(UserId::new("é".repeat(129)), Err(InvalidUserId::TooLong { bytes: 258 }));
    }

    #[test]
    fn control_characters_are_refused_wherever_they_stand() {
        for (id, at) in [("\0", 0), ("a\nb", 1), ("ab\u{7f}", 2), ("é\u{85}", 2)] {
            assert_eq!(UserId::new(id), Err(InvalidUserId::ControlCharacter { at }));
        }
        assert!(UserId::new("Ålice 你好 🦀").is_ok());
    }
}
