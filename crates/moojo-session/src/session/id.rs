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
        // By hand: every load of a store reads one.
        let digits: &[u8; 32] = text.as_bytes().try_into().map_err(|_| InvalidSessionId)?;
        let mut bytes = [0; 16];
        for (byte, pair) in bytes.iter_mut().zip(digits.as_chunks::<2>().0) {
            let [high, low] = pair.map(digit);
            *byte = high.ok_or(InvalidSessionId)? << 4 | low.ok_or(InvalidSessionId)?;
        }
        Ok(Self(bytes))
    }
}

fn digit(character: u8) -> Option<u8> {
    match character {
        b'0'..=b'9' => Some(character - b'0'),
        b'a'..=b'f' => Some(character - b'a' + 10),
        b'A'..=b'F' => Some(character - b'A' + 10),
        _ => None,
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
        let large = u128::MAX - 0x1234_5678_9abc_def0;
        let id = SessionId::from_bytes(large.to_be_bytes());
        assert_eq!(format!("{large:032X}").parse(), Ok(id), "capitals are read");
        for bad in [&"g".repeat(32), &"\u{e9}".repeat(16)] {
            assert_eq!(bad.parse::<SessionId>(), Err(InvalidSessionId));
        }
        for bad in ["", "ff", "+00000000000000000000000000000ff", &"0".repeat(33)] {
            assert_eq!(bad.parse::<SessionId>(), Err(InvalidSessionId));
        }
    }
}
