use std::fmt;

use ecow::EcoString;

use crate::text::{self, Fault};

/// What a call is for, in a word or two, such as the name of an agent's tool: told to the person who
/// is asked to log in for it. It has 1 to 64 bytes without control characters.
///
/// In a request's extensions it goes with the call; see also [`Wait::purpose`](crate::Wait::purpose).
///
/// ```
/// use moojo_session::Purpose;
///
/// let mut request = http::Request::post("https://api.moojo.id/user/vault/list-credentials").body(())?;
/// request.extensions_mut().insert(Purpose::new("calendar search")?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Purpose(EcoString);

impl Purpose {
    /// The longest purpose, in bytes.
    pub const MAX_BYTES: usize = 64;

    /// Checks `purpose` and takes it as it is: nothing is trimmed or folded.
    ///
    /// # Errors
    /// [`InvalidPurpose`] if it is empty, longer than [`Purpose::MAX_BYTES`] or holds a control
    /// character.
    pub fn new(purpose: impl AsRef<str>) -> Result<Self, InvalidPurpose> {
        let text = text::line(purpose.as_ref(), Self::MAX_BYTES).map_err(|fault| match fault {
            Fault::Empty => InvalidPurpose::Empty,
            Fault::TooLong { bytes } => InvalidPurpose::TooLong { bytes },
            Fault::ControlCharacter { at } => InvalidPurpose::ControlCharacter { at },
        })?;
        Ok(Self(text))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Purpose({:?})", self.as_str())
    }
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a text cannot be a [`Purpose`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidPurpose {
    /// It is empty.
    #[error("the purpose is empty")]
    Empty,
    /// It is longer than [`Purpose::MAX_BYTES`].
    #[error("the purpose has {bytes} bytes, more than the {} allowed", Purpose::MAX_BYTES)]
    TooLong {
        /// Its length in bytes.
        bytes: usize,
    },
    /// It has a control character, which would forge lines where it is shown.
    #[error("the purpose has a control character at byte {at}")]
    ControlCharacter {
        /// The byte position of the first one.
        at: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_purpose_is_short_and_one_line() {
        assert_eq!(Purpose::new("calendar search").unwrap().to_string(), "calendar search");
        assert_eq!(Purpose::new(""), Err(InvalidPurpose::Empty));
        assert_eq!(Purpose::new("x".repeat(65)), Err(InvalidPurpose::TooLong { bytes: 65 }));
        assert_eq!(Purpose::new("a\nb"), Err(InvalidPurpose::ControlCharacter { at: 1 }));
    }
}
