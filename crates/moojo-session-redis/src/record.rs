//! How a session and a challenge are read and written.

use std::io;

use chrono::Utc;
use moojo_session::{Challenge, ExposedChallenge, Revision, Session, StoreError, UserId};
use zeroize::Zeroizing;

/// The length of a challenge's revision, which stands before its record.
const REVISION_LEN: usize = 16;

/// The session in a record, if it is `user`'s (rule 1) and has not ended.
pub(crate) fn session(record: &[u8], user: &UserId) -> Result<Option<Session>, StoreError> {
    let session = Session::from_exposed_bytes(record).map_err(StoreError::corrupt)?;
    if session.user() != user {
        return Err(StoreError::corrupt("the session is another user's"));
    }
    Ok(Some(session).filter(|session| !session.has_expired_at(Utc::now())))
}

/// The revision, for scripts to compare, and JSON. The buffer has its final size: one that grew would
/// leave copies behind.
pub(crate) fn of_challenge(challenge: &Challenge) -> Result<Zeroizing<Vec<u8>>, StoreError> {
    let record = ExposedChallenge::from(challenge);
    let mut len = Length(REVISION_LEN);
    serde_json::to_writer(&mut len, &record).map_err(unreadable)?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(len.0));
    bytes.extend_from_slice(revision_text(challenge.revision()).as_bytes());
    serde_json::to_writer(&mut *bytes, &record).map_err(unreadable)?;
    Ok(bytes)
}

pub(crate) fn challenge(record: &[u8], user: &UserId) -> Result<Challenge, StoreError> {
    let parts = record.split_at_checked(REVISION_LEN);
    let (revision, json) = parts.ok_or_else(|| StoreError::corrupt("the record is too short"))?;
    let exposed: ExposedChallenge = serde_json::from_slice(json).map_err(unreadable)?;
    let challenge = Challenge::try_from(exposed)?;
    if challenge.user() != user {
        return Err(StoreError::corrupt("the challenge is another user's"));
    }
    if revision_text(challenge.revision()).as_bytes() != revision {
        return Err(StoreError::corrupt("the challenge has two revisions"));
    }
    Ok(challenge)
}

/// A revision as scripts compare it.
pub(crate) fn revision_text(revision: Revision) -> String {
    format!("{revision:016x}")
}

/// Where a record cannot be read. What serde says quotes it (rule 13).
fn unreadable(error: serde_json::Error) -> StoreError {
    let (kind, column) = (error.classify(), error.column());
    StoreError::corrupt(format!("the record cannot be read: {kind:?} at column {column}"))
}

/// Counts what is written.
struct Length(usize);

impl io::Write for Length {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use chrono::TimeDelta;
    use moojo_session::{AccessToken, StoreErrorKind};

    use super::*;

    fn login(name: &str) -> Session {
        Session::builder(UserId::new(name).unwrap(), AccessToken::new("planted").unwrap())
            .expires_at(Utc::now() + TimeDelta::hours(1))
            .build()
            .unwrap()
    }

    fn challenge_of(name: &str) -> Challenge {
        let (user, now) = (UserId::new(name).unwrap(), Utc::now());
        let (resend_at, end) = (now + TimeDelta::seconds(30), now + TimeDelta::hours(1));
        Challenge::open(user, "+15550001".to_owned(), now, resend_at, end)
    }

    #[test]
    fn rule_1_a_record_of_another_user_is_corrupt() {
        let (alice, bob) = (login("alice"), UserId::new("bob").unwrap());
        let record = alice.to_exposed_bytes();
        assert_eq!(session(&record, alice.user()).unwrap(), Some(alice));
        assert_eq!(session(&record, &bob).unwrap_err().kind(), StoreErrorKind::Corrupt);
        let record = of_challenge(&challenge_of("alice")).unwrap();
        assert_eq!(challenge(&record, &bob).unwrap_err().kind(), StoreErrorKind::Corrupt);
    }

    #[test]
    fn a_damaged_record_is_corrupt_wherever_it_ends() {
        let alice = login("alice");
        let record = alice.to_exposed_bytes();
        for end in 0..record.len() {
            let error = session(&record[..end], alice.user()).unwrap_err();
            assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{end}");
        }
        let record = of_challenge(&challenge_of("alice")).unwrap();
        for end in 0..record.len() {
            let error = challenge(&record[..end], alice.user()).unwrap_err();
            assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{end}");
        }
        let other = [&b"f"[..], &record[1..]].concat();
        assert!(challenge(&other, alice.user()).is_err(), "two revisions");
    }

    #[test]
    fn rule_13_an_unreadable_record_is_not_quoted() {
        let alice = UserId::new("alice").unwrap();
        let record = format!("{}{{\"user\":\"alice\",\"phone\":[\"planted\"]}}", "0".repeat(16));
        for error in [
            challenge(record.as_bytes(), &alice).unwrap_err(),
            session(record.as_bytes(), &alice).unwrap_err(),
        ] {
            let shown = format!("{error} {error:?} {}", error.source().unwrap());
            assert!(!shown.contains("planted"), "{shown}");
        }
    }

    #[test]
    fn the_buffer_does_not_grow() {
        let record = of_challenge(&challenge_of("alice")).unwrap();
        assert_eq!(record.len(), record.capacity());
    }
}
