use triomphe::Arc;
use zeroize::Zeroizing;

use super::{InvalidSession, Record, Session, SessionBuilder, SessionId};
use crate::secret::AccessToken;
use crate::user::UserId;

/// What a session is made of, wherever that stands. The token was checked.
pub(super) struct Parts<'a> {
    pub(super) user: UserId,
    pub(super) id: SessionId,
    pub(super) issued_nanos: i64,
    pub(super) expires_nanos: i64,
    pub(super) token: &'a str,
    pub(super) public_user_id: Option<&'a str>,
    pub(super) public_key: Option<&'a str>,
}

impl Parts<'_> {
    pub(super) fn into_session(self) -> Result<Session, InvalidSession> {
        if self.issued_nanos > self.expires_nanos {
            return Err(InvalidSession::EndsBeforeIssued);
        }
        let (id_len, id_text) = text("public_user_id", self.public_user_id)?;
        let (_, key_text) = text("public_key", self.public_key)?;
        // Made in its final size: nothing is copied again.
        let bytes = [AccessToken::SCHEME, self.token, id_text, key_text].concat().into_bytes();
        Ok(Session(Arc::new(Record {
            authorization_len: u16::try_from(AccessToken::SCHEME.len() + self.token.len())
                .expect("a token has some thousand bytes at most"),
            bytes: Zeroizing::new(bytes.into_boxed_slice()),
            user: self.user,
            id: self.id,
            issued_nanos: self.issued_nanos,
            expires_nanos: self.expires_nanos,
            public_user_id_len: id_len,
            has_public_user_id: self.public_user_id.is_some(),
            has_public_key: self.public_key.is_some(),
        })))
    }
}

fn text<'a>(field: &'static str, text: Option<&'a str>) -> Result<(u16, &'a str), InvalidSession> {
    let text = text.unwrap_or_default();
    match u16::try_from(text.len()) {
        Ok(len) if text.len() <= SessionBuilder::MAX_TEXT_BYTES => Ok((len, text)),
        _ => Err(InvalidSession::TextTooLong { field, bytes: text.len() }),
    }
}
