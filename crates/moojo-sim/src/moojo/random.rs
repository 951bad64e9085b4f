use std::fmt::Write;

/// Where codes, tokens and ids come from. Good enough to be unguessable by accident, which is all
/// that a simulator needs: no secret of it protects anything.
pub(super) struct Random(fastrand::Rng);

impl Random {
    pub(super) fn new(seed: Option<u64>) -> Self {
        Self(seed.map_or_else(fastrand::Rng::new, fastrand::Rng::with_seed))
    }

    /// Another generator, which the draws from this one do not move.
    pub(super) fn fork(&mut self) -> Self {
        Self(self.0.fork())
    }

    /// Six digits, as in the documented example. That a code is always that long is an assumption.
    pub(super) fn code(&mut self) -> String {
        format!("{:06}", self.0.u32(0..1_000_000))
    }

    /// `len` hexadecimal characters.
    pub(super) fn hex(&mut self, len: usize) -> String {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        (0..len).map(|_| char::from(DIGITS[self.0.usize(0..16)])).collect()
    }

    /// A random UUID (version 4).
    pub(super) fn uuid(&mut self) -> String {
        let version = (self.0.u128(..) & !(0xf << 76)) | (0x4 << 76);
        let bits = (version & !(0x3 << 62)) | (0x2 << 62);
        let mut text = String::with_capacity(36);
        for (index, byte) in bits.to_be_bytes().into_iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                text.push('-');
            }
            // Writing to a string does not fail.
            let _ = write!(text, "{byte:02x}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::Random;

    #[test]
    fn one_seed_gives_one_sequence() {
        let draw = || {
            let mut random = Random::new(Some(7));
            (random.code(), random.hex(64), random.uuid())
        };
        assert_eq!(draw(), draw());
        assert_ne!(Random::new(Some(7)).hex(64), Random::new(Some(8)).hex(64));
    }

    #[test]
    fn without_a_seed_two_generators_differ() {
        assert_ne!(Random::new(None).hex(64), Random::new(None).hex(64));
    }

    #[test]
    fn a_uuid_is_one_of_version_4() {
        let uuid = Random::new(Some(1)).uuid();
        assert_eq!(uuid.len(), 36);
        assert_eq!(uuid.as_bytes()[14], b'4');
        assert!(matches!(uuid.as_bytes()[19], b'8' | b'9' | b'a' | b'b'));
    }
}
