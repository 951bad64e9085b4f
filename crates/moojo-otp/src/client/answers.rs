//! What Moojo answers with.

use std::fmt;

use chrono::{DateTime, Utc};
use http::header::DATE;
use moojo_session::{AccessToken, Session, SessionBuilder, UserId};
use serde_json::Value;

use super::call::Success;
use super::time;
use crate::answer::{date_header, trace_id};
use crate::error::{Malformation, MoojoError};

/// Moojo took the order to send an SMS.
#[derive(Clone, PartialEq, Eq)]
pub struct CodeSent {
    verification_id: Option<String>,
    trace_id: Option<String>,
}

impl CodeSent {
    /// Moojo's id of the code, if the answer had one. No call takes it.
    pub fn verification_id(&self) -> Option<&str> {
        self.verification_id.as_deref()
    }

    /// Moojo's trace id of the call.
    pub fn trace_id(&self) -> Option<&str> {
        self.trace_id.as_deref()
    }

    pub(super) fn read(success: &Success) -> Result<Self, MoojoError> {
        let id = success.json.get("data").and_then(|data| data.get("verificationId"));
        Ok(Self {
            verification_id: id.and_then(Value::as_str).map(str::to_owned),
            trace_id: trace_id(&success.json).map(str::to_owned),
        })
    }
}

impl fmt::Debug for CodeSent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CodeSent").field("trace_id", &self.trace_id).finish_non_exhaustive()
    }
}

/// A login: what [`Authentication::into_session`] makes a session of.
#[derive(Clone)]
pub struct Authentication {
    token: AccessToken,
    expires_at: DateTime<Utc>,
    issued_at: DateTime<Utc>,
    public_user_id: Option<String>,
    public_key: Option<String>,
    trace_id: Option<String>,
}

impl Authentication {
    /// The user's token.
    pub fn token(&self) -> &AccessToken {
        &self.token
    }

    /// When the token ends, **by the clock of this machine**. It is the end as Moojo gave it, unless
    /// the answer's `Date` header shows a skew between the two clocks, which is corrected for. That
    /// header has whole seconds, and the answer took some time: a corrected end is early by that
    /// much rather than late. If Moojo gave no end, it is two hours from the request.
    pub fn expires_at(&self) -> DateTime<Utc> {
        self.expires_at
    }

    /// When the request was made, by the clock of this machine: the token is no older.
    pub fn issued_at(&self) -> DateTime<Utc> {
        self.issued_at
    }

    /// Moojo's `publicUserId`.
    pub fn public_user_id(&self) -> Option<&str> {
        self.public_user_id.as_deref()
    }

    /// Moojo's `publicKey`.
    pub fn public_key(&self) -> Option<&str> {
        self.public_key.as_deref()
    }

    /// Moojo's trace id of the call.
    pub fn trace_id(&self) -> Option<&str> {
        self.trace_id.as_deref()
    }

    /// Makes it the session of `user`, with a new id. A public user id or key longer than
    /// [`SessionBuilder::MAX_TEXT_BYTES`] is left out: it is no reason to lose a login.
    pub fn into_session(self, user: UserId) -> Session {
        let mut session = Session::builder(user, self.token)
            .issued_at(self.issued_at.min(self.expires_at))
            .expires_at(self.expires_at);
        if let Some(id) = self.public_user_id.filter(|text| fits(text)) {
            session = session.public_user_id(id);
        }
        if let Some(key) = self.public_key.filter(|text| fits(text)) {
            session = session.public_key(key);
        }
        session.build().expect("`read_data` has checked the times, and the texts fit")
    }

    /// Reads an answer that arrived at `now`.
    pub(super) fn read(mut success: Success, now: DateTime<Utc>) -> Result<Self, MoojoError> {
        let data = success.json.get_mut("data").map(Value::take).unwrap_or_default();
        Self::read_data(data, &success, now).map_err(|what| success.malformed(what))
    }

    fn read_data(
        mut data: Value,
        success: &Success,
        now: DateTime<Utc>,
    ) -> Result<Self, Malformation> {
        if !data.is_object() {
            return Err(Malformation::Missing { field: "data" });
        }
        // Taken out rather than copied: the token's constructor overwrites it.
        let token = text(&mut data, "token").ok_or(Malformation::Missing { field: "token" })?;
        let token = AccessToken::new(token).map_err(Malformation::UnusableToken)?;

        let server_end = match data.get("expiresAtIso8601") {
            None | Some(Value::Null) => None,
            Some(Value::String(end)) => Some(time::read_end(end)?),
            Some(_) => return Err(Malformation::BadExpiry),
        };
        let date = date_header(&success.headers, &DATE);
        let issued_at = success.sent_at;
        let expires_at =
            time::local_end(server_end, date, issued_at, now).ok_or(Malformation::BadExpiry)?;
        if expires_at <= now {
            return Err(Malformation::AlreadyExpired);
        }
        // What a session can hold; the local clock may be out of it too.
        if expires_at.timestamp_nanos_opt().is_none() || issued_at.timestamp_nanos_opt().is_none() {
            return Err(Malformation::BadExpiry);
        }
        Ok(Self {
            token,
            expires_at,
            issued_at,
            public_user_id: text(&mut data, "publicUserId"),
            public_key: text(&mut data, "publicKey"),
            trace_id: trace_id(&success.json).map(str::to_owned),
        })
    }
}

impl fmt::Debug for Authentication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authentication")
            .field("expires_at", &self.expires_at)
            .field("issued_at", &self.issued_at)
            .field("trace_id", &self.trace_id)
            .finish_non_exhaustive()
    }
}

fn text(data: &mut Value, field: &str) -> Option<String> {
    match data.get_mut(field)?.take() {
        Value::String(text) => Some(text),
        _ => None,
    }
}

/// Whether a session takes the text.
fn fits(text: &str) -> bool {
    text.len() <= SessionBuilder::MAX_TEXT_BYTES
}
