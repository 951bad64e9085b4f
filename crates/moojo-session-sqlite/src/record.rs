//! Sessions and logins as the file has them, with what is secret in it in the clear.

use moojo_session::{Challenge, ExposedChallenge, Session, StoreError, UserId};
use serde_json::{from_str, to_writer};
use zeroize::Zeroizing;

/// The login's record as JSON, which is overwritten when it is dropped.
pub(crate) fn challenge(challenge: &Challenge) -> Result<Zeroizing<String>, StoreError> {
    let texts = challenge.user().as_str().len() + challenge.expose_address().len();
    // A character may be escaped, and there is more than the texts. It is made in its final room:
    // growing would leave copies that nobody overwrites.
    let room = 512 + 2 * texts;
    let mut json = Zeroizing::new(Vec::with_capacity(room));
    let written = to_writer(&mut *json, &ExposedChallenge::from(challenge));
    debug_assert_eq!(json.capacity(), room, "the text has left a copy");
    written
        .ok()
        .and_then(|()| String::from_utf8(std::mem::take(&mut *json)).ok())
        .map(Zeroizing::new)
        .ok_or_else(|| StoreError::refused("the login cannot be written as JSON"))
}

/// The session in a record, which has to be this user's (rule 1).
pub(crate) fn read_session(body: &[u8], user: &UserId) -> Result<Session, StoreError> {
    let session = Session::from_exposed_bytes(body).map_err(StoreError::corrupt)?;
    if session.user() == user {
        return Ok(session);
    }
    Err(StoreError::corrupt("another user's session stands in the user's place"))
}

/// The login in a record, which has to be this user's (rule 1).
pub(crate) fn read_challenge(body: &str, user: &UserId) -> Result<Challenge, StoreError> {
    // serde's message can hold values, so it is not passed on (rule 13).
    let record: ExposedChallenge =
        from_str(body).map_err(|_| StoreError::corrupt("a login that is not as it was written"))?;
    let challenge = Challenge::try_from(record)?;
    if challenge.user() == user {
        return Ok(challenge);
    }
    Err(StoreError::corrupt("another user's login stands in the user's place"))
}

#[cfg(test)]
mod tests {
    use chrono::Utc;
    use moojo_session::AccessToken;

    use super::*;

    #[test]
    fn the_largest_record_has_room() {
        let user = UserId::new("\"".repeat(256)).unwrap();
        let now = Utc::now();
        let opened = Challenge::open(user.clone(), "\"".repeat(100), now, now, now);
        assert_eq!(read_challenge(&challenge(&opened).unwrap(), &user).unwrap(), opened);
    }

    #[test]
    fn rule_1_a_record_of_another_user_is_corrupt() {
        let (alice, bob) = (UserId::new("alice").unwrap(), UserId::new("bob").unwrap());
        let saved = Session::builder(alice, AccessToken::new("6c0350a0").unwrap())
            .expires_at(Utc::now())
            .build()
            .unwrap();
        let error = read_session(&saved.to_exposed_bytes(), &bob).unwrap_err();
        assert_eq!(error.kind(), moojo_session::StoreErrorKind::Corrupt);
    }
}
