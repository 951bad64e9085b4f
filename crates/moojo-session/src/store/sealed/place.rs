/// The place that a secret is sealed for: it opens in no other, as the place is the associated data of
/// the cipher (AEAD).
pub(crate) struct Place {
    what: &'static str,
    parts: Vec<u8>,
}

impl Place {
    /// The place of a secret of the kind `what`, which these parts tell from all others.
    pub(super) fn new(what: &'static str, parts: &[&[u8]]) -> Self {
        let mut place = Self { what, parts: Vec::new() };
        parts.iter().for_each(|part| push(&mut place.parts, part));
        place
    }

    /// The associated data of what this key seals here, and what is hashed as the place's name.
    pub(super) fn bound_to(&self, key: &str) -> Vec<u8> {
        let mut bound = self.what.as_bytes().to_vec();
        push(&mut bound, key.as_bytes());
        bound.extend(&self.parts);
        bound
    }
}

/// Each part has its length before it, so that no two lists of parts read alike.
fn push(bytes: &mut Vec<u8>, part: &[u8]) {
    bytes.extend((part.len() as u64).to_be_bytes());
    bytes.extend(part);
}
