//! How a session and a challenge are written.

use std::io;

use chrono::Utc;
use moojo_session::{
    Challenge, ExposedChallenge, ExposedSession, Revision, Session, SessionId, StoreError, UserId,
};
use serde::Serialize;
use zeroize::Zeroizing;

/// The length of a session's id, which stands before its record for scripts to compare.
const ID_LEN: usize = 32;
/// The length of a challenge's revision, which stands before its record.
const REVISION_LEN: usize = 16;

pub(crate) fn of_session(session: &Session) -> Result<Zeroizing<Vec<u8>>, StoreError> {
    written(&session.id().to_string(), &ExposedSession::from(session))
}

/// The session in a record, if it is `user`'s (rule 1) and has not ended.
pub(crate) fn session(record: &[u8], user: &UserId) -> Result<Option<Session>, StoreError> {
    let session = any_session(record)?;
    if session.user() != user {
        return Err(StoreError::corrupt("the session is another user's"));
    }
    Ok(Some(session).filter(|session| !session.has_expired_at(Utc::now())))
}

/// The session in a record, whoever's.
pub(crate) fn any_session(record: &[u8]) -> Result<Session, StoreError> {
    let (id, json) = parts(record, ID_LEN)?;
    let exposed: ExposedSession = serde_json::from_slice(json).map_err(unreadable)?;
    let session = Session::try_from(exposed)?;
    let id: SessionId = id.parse().map_err(StoreError::corrupt)?;
    if session.id() != id {
        return Err(StoreError::corrupt("the session has two ids"));
    }
    Ok(session)
}

pub(crate) fn of_challenge(challenge: &Challenge) -> Result<Zeroizing<Vec<u8>>, StoreError> {
    written(&revision_text(challenge.revision()), &ExposedChallenge::from(challenge))
}

pub(crate) fn challenge(record: &[u8], user: &UserId) -> Result<Challenge, StoreError> {
    let (revision, json) = parts(record, REVISION_LEN)?;
    let exposed: ExposedChallenge = serde_json::from_slice(json).map_err(unreadable)?;
    let challenge = Challenge::try_from(exposed)?;
    if challenge.user() != user {
        return Err(StoreError::corrupt("the challenge is another user's"));
    }
    if revision_text(challenge.revision()) != revision {
        return Err(StoreError::corrupt("the challenge has two revisions"));
    }
    Ok(challenge)
}

/// A revision as scripts compare it.
pub(crate) fn revision_text(revision: Revision) -> String {
    format!("{revision:016x}")
}

/// `head` and the record, in a buffer of the final size: one that grew would leave copies behind.
fn written(head: &str, record: &impl Serialize) -> Result<Zeroizing<Vec<u8>>, StoreError> {
    let mut len = Length(head.len());
    serde_json::to_writer(&mut len, record).map_err(unreadable)?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(len.0));
    bytes.extend_from_slice(head.as_bytes());
    serde_json::to_writer(&mut *bytes, record).map_err(unreadable)?;
    Ok(bytes)
}

fn parts(record: &[u8], at: usize) -> Result<(&str, &[u8]), StoreError> {
    let parts = record.split_at_checked(at);
    let (head, json) = parts.ok_or_else(|| StoreError::corrupt("the record is too short"))?;
    Ok((std::str::from_utf8(head).map_err(StoreError::corrupt)?, json))
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

    #[test]
    fn rule_1_a_record_of_another_user_is_corrupt() {
        let alice = login("alice");
        let record = of_session(&alice).unwrap();
        assert_eq!(session(&record, alice.user()).unwrap(), Some(alice));
        let error = session(&record, &UserId::new("bob").unwrap()).unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Corrupt);
    }

    #[test]
    fn a_damaged_record_is_corrupt_wherever_it_ends() {
        let alice = login("alice");
        let record = of_session(&alice).unwrap();
        for end in 0..record.len() {
            let error = session(&record[..end], alice.user()).unwrap_err();
            assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{end}");
        }
        let other = [login("alice").id().to_string().as_bytes(), &record[ID_LEN..]].concat();
        assert!(session(&other, alice.user()).is_err(), "two ids");
    }

    #[test]
    fn rule_13_an_unreadable_record_is_not_quoted() {
        let json = r#"{"user":"a","id":"1","token":"t","issued_at":"planted","expires_at":"x"}"#;
        let record = format!("{}{json}", "0".repeat(32));
        let error = session(record.as_bytes(), &UserId::new("a").unwrap()).unwrap_err();
        let shown = format!("{error} {error:?} {}", error.source().unwrap());
        assert!(!shown.contains("planted"), "{shown}");
    }

    #[test]
    fn the_buffer_does_not_grow() {
        let record = of_session(&login("alice")).unwrap();
        assert_eq!(record.len(), record.capacity());
    }
}
