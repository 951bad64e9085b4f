use chrono::{DateTime, Utc};

use crate::user::UserId;

/// The person was asked to log in and will not, for now. Every call that waited for it ends with
/// this, and so does every call that would wait, until the time is over or the user logs in all the
/// same.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("user {user} {reason}, and is not asked again before {until}")]
pub struct Declined {
    user: UserId,
    reason: DeclineReason,
    until: DateTime<Utc>,
}

/// Why nobody is asked any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum DeclineReason {
    /// The person said so.
    #[error("does not want to log in now")]
    NotNow,
    /// The person does not answer.
    #[error("does not answer")]
    NoAnswer,
    /// No code can be sent to this person: there is no number, or it may not get codes.
    #[error("cannot be asked")]
    Unreachable,
}

impl Declined {
    pub(crate) fn new(user: UserId, reason: DeclineReason, until: DateTime<Utc>) -> Self {
        Self { user, reason, until }
    }

    /// Who was asked.
    pub fn user(&self) -> &UserId {
        &self.user
    }

    /// Why not.
    pub fn reason(&self) -> DeclineReason {
        self.reason
    }

    /// When the person may be asked again.
    pub fn until(&self) -> DateTime<Utc> {
        self.until
    }
}
