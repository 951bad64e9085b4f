use std::hash::{Hash, Hasher};

use zeroize::Zeroizing;

/// A secret that is sent as it was typed: visible ASCII characters, whose bytes are overwritten
/// when it goes. Without `Debug`, so that nobody derives one that shows it.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct SecretText(Zeroizing<Box<str>>);

/// Why a text is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    Empty,
    TooLong,
    IllegalCharacter,
}

impl SecretText {
    /// Takes a text, without the white space that comes along when one is pasted.
    pub(super) fn read(text: &str, max_bytes: usize) -> Result<Self, Fault> {
        let text = text.trim();
        if text.is_empty() {
            return Err(Fault::Empty);
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Fault::IllegalCharacter);
        }
        if text.len() > max_bytes {
            return Err(Fault::TooLong);
        }
        Ok(Self(Zeroizing::new(text.into())))
    }

    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

impl Hash for SecretText {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}
