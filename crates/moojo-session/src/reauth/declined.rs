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

impl DeclineReason {
    /// A number for a store to keep. Those of future reasons will be others.
    pub fn to_number(self) -> u8 {
        match self {
            Self::NotNow => 1,
            Self::NoAnswer => 2,
            Self::Unreachable => 3,
        }
    }

    /// The reason with this number. `None` if it is of a later version.
    pub fn from_number(number: u8) -> Option<Self> {
        [Self::NotNow, Self::NoAnswer, Self::Unreachable]
            .into_iter()
            .find(|reason| reason.to_number() == number)
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_read_back() {
        for number in 0..=u8::MAX {
            let reason = DeclineReason::from_number(number);
            assert_eq!(reason.map(DeclineReason::to_number), reason.map(|_| number));
        }
        assert_eq!(DeclineReason::from_number(3), Some(DeclineReason::Unreachable));
        assert_eq!(DeclineReason::from_number(0), None);
    }
}
