//! Sessions and logins as the file has them: JSON, with what is secret in it in the clear.

use moojo_session::{Challenge, ExposedChallenge, ExposedSession, Session, StoreError, UserId};
use serde_json::{from_str, to_writer};
use zeroize::Zeroizing;

/// The session's record, which is overwritten when it is dropped.
pub(crate) fn session(session: &Session) -> Result<Zeroizing<String>, StoreError> {
    let texts = [
        session.user().as_str(),
        session.access_token().expose_secret(),
        session.public_user_id().unwrap_or_default(),
        session.public_key().unwrap_or_default(),
    ]
    .map(str::len);
    let json = Json::with_room_for(&texts);
    json.write(|to| to_writer(to, &ExposedSession::from(session)), "the session")
}

/// The login's record, which is overwritten when it is dropped.
pub(crate) fn challenge(challenge: &Challenge) -> Result<Zeroizing<String>, StoreError> {
    let texts = [challenge.user().as_str().len(), challenge.expose_address().len()];
    let json = Json::with_room_for(&texts);
    json.write(|to| to_writer(to, &ExposedChallenge::from(challenge)), "the login")
}

/// The session in a record, which has to be this user's (rule 1).
pub(crate) fn read_session(body: &str, user: &UserId) -> Result<Session, StoreError> {
    // serde's message can hold values, so it is not passed on (rule 13).
    let record: ExposedSession = from_str(body)
        .map_err(|_| StoreError::corrupt("a session that is not as it was written"))?;
    let session = Session::try_from(record)?;
    if session.user() == user {
        return Ok(session);
    }
    Err(StoreError::corrupt("another user's session stands in the user's place"))
}

/// The login in a record, which has to be this user's (rule 1).
pub(crate) fn read_challenge(body: &str, user: &UserId) -> Result<Challenge, StoreError> {
    let record: ExposedChallenge =
        from_str(body).map_err(|_| StoreError::corrupt("a login that is not as it was written"))?;
    let challenge = Challenge::try_from(record)?;
    if challenge.user() == user {
        return Ok(challenge);
    }
    Err(StoreError::corrupt("another user's login stands in the user's place"))
}

/// Text that is made in its final room: growing would leave copies that nobody overwrites.
struct Json(Zeroizing<Vec<u8>>);

impl Json {
    fn with_room_for(texts: &[usize]) -> Self {
        // A character may be escaped, and there is more than the texts.
        let room = 512 + 2 * texts.iter().sum::<usize>();
        Self(Zeroizing::new(Vec::with_capacity(room)))
    }

    fn write(
        mut self,
        write: impl FnOnce(&mut Vec<u8>) -> serde_json::Result<()>,
        what: &str,
    ) -> Result<Zeroizing<String>, StoreError> {
        let room = self.0.capacity();
        let written = write(&mut self.0);
        debug_assert_eq!(self.0.capacity(), room, "the text has left a copy");
        written
            .ok()
            .and_then(|()| String::from_utf8(std::mem::take(&mut *self.0)).ok())
            .map(Zeroizing::new)
            .ok_or_else(|| StoreError::refused(format!("{what} cannot be written as JSON")))
    }
}

#[cfg(test)]
mod tests {
    use chrono::Utc;
    use moojo_session::AccessToken;

    use super::*;

    #[test]
    fn the_largest_records_have_room() {
        let user = UserId::new("\"".repeat(256)).unwrap();
        let token = AccessToken::new("\\".repeat(8000)).unwrap_or(AccessToken::new("x").unwrap());
        let saved = Session::builder(user.clone(), token)
            .expires_at(Utc::now())
            .public_user_id("\"".repeat(4096))
            .public_key("\\".repeat(4096))
            .build()
            .unwrap();
        assert_eq!(read_session(&session(&saved).unwrap(), &user).unwrap(), saved);
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
        let error = read_session(&session(&saved).unwrap(), &bob).unwrap_err();
        assert_eq!(error.kind(), moojo_session::StoreErrorKind::Corrupt);
    }
}
