use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::StoreError;
use crate::secret::AccessToken;
use crate::session::{Session, SessionId};
use crate::user::UserId;

mod text;

/// A session with its **token in the clear**, for a store to write and to read back.
///
/// What is made of it (a JSON text, a database row) is a secret: whoever reads it can act as the
/// user. The token in it is overwritten when it is dropped; `Debug` shows nothing of it.
///
/// ```
/// use moojo_session::{AccessToken, ExposedSession, Session, UserId};
///
/// let session = Session::builder(UserId::new("alice")?, AccessToken::new("6c0350a00925")?)
///     .expires_at("2025-02-16T15:12:52.555Z".parse()?)
///     .build()?;
/// let record = serde_json::to_vec(&ExposedSession::from(&session))?;
/// let back: ExposedSession = serde_json::from_slice(&record)?;
/// assert_eq!(Session::try_from(back)?, session);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Serialize, Deserialize)]
pub struct ExposedSession {
    user: String,
    #[serde(serialize_with = "text::write", deserialize_with = "text::id")]
    id: SessionId,
    token: Zeroizing<String>,
    #[serde(deserialize_with = "text::time")]
    issued_at: DateTime<Utc>,
    #[serde(deserialize_with = "text::time")]
    expires_at: DateTime<Utc>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    public_user_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    public_key: Option<String>,
}

impl fmt::Debug for ExposedSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExposedSession")
            .field("user", &self.user)
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl From<&Session> for ExposedSession {
    fn from(session: &Session) -> Self {
        Self {
            user: session.user().to_string(),
            id: session.id(),
            token: Zeroizing::new(session.access_token().expose_secret().to_owned()),
            issued_at: session.issued_at(),
            expires_at: session.expires_at(),
            public_user_id: session.public_user_id().map(str::to_owned),
            public_key: session.public_key().map(str::to_owned),
        }
    }
}

impl TryFrom<ExposedSession> for Session {
    type Error = StoreError;

    /// # Errors
    /// A [`StoreError`] of the kind `Corrupt` if a field is not what a session can hold.
    fn try_from(mut record: ExposedSession) -> Result<Self, Self::Error> {
        let user = UserId::new(&record.user).map_err(StoreError::corrupt)?;
        let token =
            AccessToken::kept(std::mem::take(&mut *record.token)).map_err(StoreError::corrupt)?;
        let mut session = Session::builder(user, token)
            .id(record.id)
            .issued_at(record.issued_at)
            .expires_at(record.expires_at);
        if let Some(id) = record.public_user_id {
            session = session.public_user_id(id);
        }
        if let Some(key) = record.public_key {
            session = session.public_key(key);
        }
        session.build().map_err(StoreError::corrupt)
    }
}
