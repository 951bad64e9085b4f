use std::fmt;
use std::str::FromStr;

/// The id of one login: 128 random bits.
///
/// It tells a user's logins apart, so that a refusal removes the session that was refused and no
/// other. It grants nothing and may be logged. Its text form is 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId([u8; 16]);

impl SessionId {
    /// A new id from the operating system's random bytes.
    ///
    /// # Panics
    /// If the operating system has none.
    pub fn random() -> Self {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
        Self(bytes)
    }

    /// An id that a store kept.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The id for a store to keep.
    pub fn to_bytes(self) -> [u8; 16] {
        self.0
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionId({self})")
    }
}

impl FromStr for SessionId {
    type Err = InvalidSessionId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() != 32 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(InvalidSessionId);
        }
        let number = u128::from_str_radix(text, 16).map_err(|_| InvalidSessionId)?;
        Ok(Self(number.to_be_bytes()))
    }
}

/// The text is not the 32 hexadecimal digits of a [`SessionId`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a session id is 32 hexadecimal digits")]
pub struct InvalidSessionId;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_back() {
        let id = SessionId::random();
        assert_eq!(id.to_string().parse(), Ok(id));
        let small = SessionId::from_bytes([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255]);
        assert_eq!(small.to_string(), "000000000000000000000000000000ff");
        for bad in ["", "ff", "+00000000000000000000000000000ff", &"0".repeat(33)] {
            assert_eq!(bad.parse::<SessionId>(), Err(InvalidSessionId));
        }
    }
}
