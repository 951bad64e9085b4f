//! A session as bytes, for a store to keep. A store reads one with each load, in less time than it
//! takes to read JSON.

use zeroize::Zeroizing;

use super::parts::Parts;
use super::{InvalidSession, Session, SessionId};
use crate::secret::{self, InvalidSecret};
use crate::user::{InvalidUserId, UserId};

const VERSION: u8 = 1;
/// Everything before the texts.
const HEAD_LEN: usize = 1 + 16 + 2 * 8 + 5 * 2;
/// The length of a text that there is not: no text is so long.
const NONE: u16 = u16::MAX;

impl Session {
    /// Where the session's id stands in [`Session::to_exposed_bytes`], whatever its version: 16 bytes
    /// that a backend can compare without reading the rest.
    pub const EXPOSED_ID: std::ops::Range<usize> = 1..17;

    /// The session with its **token in the clear**, as bytes for a store to keep.
    ///
    /// They are a secret: whoever reads them can act as the user. They are overwritten when they are
    /// dropped.
    ///
    /// | bytes | what |
    /// |---|---|
    /// | 1 | the version of the form: 1 |
    /// | 16 | the session's id, there in every version |
    /// | 8, 8 | when it was issued and when it ends, in nanoseconds since 1970 |
    /// | 5 × 2 | the lengths of what follows; `ff ff` for one that there is not |
    /// | the rest | user, token, public user id, public key, and what a later version may add |
    ///
    /// Numbers are big-endian, texts UTF-8.
    ///
    /// ```
    /// use moojo_session::{AccessToken, Session, UserId};
    ///
    /// let session = Session::builder(UserId::new("alice")?, AccessToken::new("6c0350a00925")?)
    ///     .expires_at("2025-02-16T15:12:52.555Z".parse()?)
    ///     .build()?;
    /// let record = session.to_exposed_bytes();
    /// assert_eq!(record[Session::EXPOSED_ID], session.id().to_bytes());
    /// assert_eq!(Session::from_exposed_bytes(&record)?, session);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn to_exposed_bytes(&self) -> Zeroizing<Vec<u8>> {
        let token = self.token();
        let texts =
            [Some(self.user().as_str()), Some(token), self.public_user_id(), self.public_key()];
        let len = HEAD_LEN + texts.iter().flatten().map(|text| text.len()).sum::<usize>();
        // One that grew would leave copies behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(len));
        bytes.push(VERSION);
        bytes.extend_from_slice(&self.id().to_bytes());
        bytes.extend_from_slice(&self.0.issued_nanos.to_be_bytes());
        bytes.extend_from_slice(&self.0.expires_nanos.to_be_bytes());
        for text in texts.iter().chain([&None]) {
            let len = text.map_or(NONE, |text| {
                u16::try_from(text.len())
                    .expect("a text of a session has some thousand bytes at most")
            });
            bytes.extend_from_slice(&len.to_be_bytes());
        }
        for text in texts.iter().flatten() {
            bytes.extend_from_slice(text.as_bytes());
        }
        bytes
    }

    /// The session that [`Session::to_exposed_bytes`] wrote, of this version of the library or of
    /// another that keeps to the same form. Whose it is, the caller has to compare.
    ///
    /// # Errors
    /// [`InvalidExposed`] if it is not all there or a part is not what a session can hold. It shows
    /// nothing of the record but its version.
    pub fn from_exposed_bytes(record: &[u8]) -> Result<Self, InvalidExposed> {
        let mut rest = Rest(record);
        match rest.array()? {
            [VERSION] => {}
            [version] => return Err(InvalidExposed::Version { version }),
        }
        let id = SessionId::from_bytes(rest.array()?);
        let [issued_nanos, expires_nanos] = [rest.array()?, rest.array()?].map(i64::from_be_bytes);
        let mut lengths = [NONE; 5];
        for length in &mut lengths {
            *length = u16::from_be_bytes(rest.array()?);
        }
        let lengths = lengths.map(|length| (length != NONE).then_some(usize::from(length)));
        let [user, token, public_user_id, public_key, later] = lengths;
        let all = [user, token, public_user_id, public_key].into_iter().flatten().sum();
        let mut texts = Texts(rest.text(all)?);
        // What a later version adds is passed over, but is there.
        if rest.0.len() != later.unwrap_or(0) {
            return Err(InvalidExposed::Length);
        }
        let [user, token] = [texts.next(user)?, texts.next(token)?];
        let [public_user_id, public_key] = [texts.next(public_user_id)?, texts.next(public_key)?];
        let token = token.unwrap_or_default();
        secret::check_kept(token)?;
        let parts = Parts {
            user: UserId::new(user.unwrap_or_default())?,
            id,
            issued_nanos,
            expires_nanos,
            token,
            public_user_id,
            public_key,
        };
        Ok(parts.into_session()?)
    }
}

/// What of a record is not read yet.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], InvalidExposed> {
        let (array, rest) = self.0.split_first_chunk().ok_or(InvalidExposed::Length)?;
        self.0 = rest;
        Ok(*array)
    }

    fn text(&mut self, length: usize) -> Result<&'a str, InvalidExposed> {
        let (text, rest) = self.0.split_at_checked(length).ok_or(InvalidExposed::Length)?;
        self.0 = rest;
        // Where it is not text, is not told: that would be a word about a secret.
        std::str::from_utf8(text).map_err(|_| InvalidExposed::NotText)
    }
}

/// What of the texts is not taken apart yet.
struct Texts<'a>(&'a str);

impl<'a> Texts<'a> {
    fn next(&mut self, length: Option<usize>) -> Result<Option<&'a str>, InvalidExposed> {
        let Some(length) = length else { return Ok(None) };
        // One that ends within a character is no text.
        let (text, rest) = self.0.split_at_checked(length).ok_or(InvalidExposed::NotText)?;
        self.0 = rest;
        Ok(Some(text))
    }
}

/// Why bytes are not those of a session. Nothing of them is shown but their version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidExposed {
    /// They are of a form that this version of the library does not know.
    #[error("the record has the form {version}, and {VERSION} is known")]
    Version {
        /// Their first byte.
        version: u8,
    },
    /// They end too early or too late.
    #[error("the record is cut off, or more stands behind it")]
    Length,
    /// A text in them is not UTF-8.
    #[error("a text of the record is not UTF-8")]
    NotText,
    /// The user's id in them is none.
    #[error("the user of the record: {0}")]
    User(#[from] InvalidUserId),
    /// The token in them is none.
    #[error("the token of the record: {0}")]
    Token(#[from] InvalidSecret),
    /// The parts do not make a session.
    #[error(transparent)]
    Session(#[from] InvalidSession),
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::secret::AccessToken;

    fn session(public: Option<&str>) -> Session {
        let user = UserId::new("Ålice").unwrap();
        let builder = Session::builder(user, AccessToken::new("planted").unwrap())
            .expires_at("2025-02-16T15:12:52.555123456Z".parse().unwrap());
        match public {
            Some(text) => builder.public_user_id(text).public_key("0x02é").build().unwrap(),
            None => builder.build().unwrap(),
        }
    }

    fn assert_same(a: &Session, b: &Session) {
        assert_eq!(a, b);
        assert_eq!(a.issued_at(), b.issued_at());
        assert_eq!(a.expires_at(), b.expires_at());
        assert_eq!(a.authorization(), b.authorization());
        assert_eq!(a.public_user_id(), b.public_user_id());
        assert_eq!(a.public_key(), b.public_key());
    }

    #[test]
    fn everything_comes_back() {
        for session in [session(None), session(Some("")), session(Some("a6e8"))] {
            let bytes = session.to_exposed_bytes();
            assert_eq!(bytes.len(), bytes.capacity(), "it did not grow");
            assert_eq!(bytes[Session::EXPOSED_ID], session.id().to_bytes());
            assert_same(&Session::from_exposed_bytes(&bytes).unwrap(), &session);
        }
    }

    /// What is in the stores stays readable: this is the form, byte by byte.
    #[test]
    fn the_form_does_not_change() {
        let mut bytes = vec![1];
        bytes.extend([7; 16]);
        bytes.extend(1_739_700_000_000_000_000_i64.to_be_bytes());
        bytes.extend(1_739_707_200_000_000_000_i64.to_be_bytes());
        bytes.extend([0, 5, 0, 4, 0xff, 0xff, 0, 3, 0xff, 0xff]);
        bytes.extend(b"alice6c03key");
        let session = Session::from_exposed_bytes(&bytes).unwrap();
        assert_eq!(session.user().as_str(), "alice");
        assert_eq!(session.id().to_bytes(), [7; 16]);
        assert_eq!(session.access_token().expose_secret(), "6c03");
        assert_eq!(session.issued_at().to_rfc3339(), "2025-02-16T10:00:00+00:00");
        assert_eq!(session.expires_at() - session.issued_at(), TimeDelta::hours(2));
        assert_eq!((session.public_user_id(), session.public_key()), (None, Some("key")));
        assert_eq!(*session.to_exposed_bytes(), bytes);
    }

    #[test]
    fn what_a_later_version_adds_is_passed_over() {
        let session = session(None);
        let mut bytes = session.to_exposed_bytes().to_vec();
        bytes[HEAD_LEN - 2..HEAD_LEN].copy_from_slice(&[0, 3]);
        bytes.extend(b"\xff\x00\x01");
        assert_same(&Session::from_exposed_bytes(&bytes).unwrap(), &session);
        bytes.pop();
        assert_eq!(Session::from_exposed_bytes(&bytes), Err(InvalidExposed::Length));
    }

    #[test]
    fn a_damaged_record_is_none() {
        let bytes = session(Some("a6e8")).to_exposed_bytes();
        for end in 0..bytes.len() {
            let cut = Session::from_exposed_bytes(&bytes[..end]);
            assert_eq!(cut, Err(InvalidExposed::Length), "cut off at {end}");
        }
        let longer = [&bytes[..], b"x"].concat();
        assert_eq!(Session::from_exposed_bytes(&longer), Err(InvalidExposed::Length));
        let with = |at: usize, new: &[u8]| {
            let mut bytes = bytes.to_vec();
            bytes[at..at + new.len()].copy_from_slice(new);
            Session::from_exposed_bytes(&bytes).unwrap_err()
        };
        assert_eq!(with(0, b"{"), InvalidExposed::Version { version: b'{' });
        assert_eq!(with(17, &[0x7f; 8]), InvalidExposed::Session(InvalidSession::EndsBeforeIssued));
        // The user has 6 bytes.
        assert_eq!(with(HEAD_LEN, &[0xff]), InvalidExposed::NotText);
        let control = InvalidUserId::ControlCharacter { at: 2 };
        assert_eq!(with(HEAD_LEN + 2, b"\n"), InvalidExposed::User(control));
        assert!(matches!(with(HEAD_LEN + 8, b" "), InvalidExposed::Token(_)));
        // No token, and one byte more of the public user id.
        assert!(matches!(with(HEAD_LEN - 8, &[0xff, 0xff]), InvalidExposed::Length));
    }

    /// Any byte may be any other one: that ends in a session or an error, and shows nothing.
    #[test]
    fn rule_13_no_damage_shows_the_token() {
        let bytes = session(Some("a6e8")).to_exposed_bytes();
        for at in 0..bytes.len() {
            for byte in 0..=u8::MAX {
                let mut bytes = bytes.to_vec();
                bytes[at] = byte;
                if let Err(error) = Session::from_exposed_bytes(&bytes) {
                    assert!(!format!("{error} {error:?}").contains("plant"), "{error:?}");
                }
            }
        }
    }

    /// A token that was sealed is longer than any other.
    #[test]
    fn the_longest_tokens_come_back() {
        let token = "x".repeat(InvalidSecret::MAX_BYTES / 2 * 3);
        let mut bytes = session(None).to_exposed_bytes().to_vec();
        let at = HEAD_LEN + 6;
        bytes.splice(at.., token.bytes());
        bytes[HEAD_LEN - 8..HEAD_LEN - 6].copy_from_slice(&12_000_u16.to_be_bytes());
        let session = Session::from_exposed_bytes(&bytes).unwrap();
        assert_eq!(*session.to_exposed_bytes(), bytes);
    }
}
