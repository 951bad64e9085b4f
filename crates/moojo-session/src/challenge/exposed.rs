use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::record::{Challenge, ChallengeState};
use crate::session::SessionId;
use crate::store::StoreError;
use crate::user::UserId;

/// A challenge with the person's **phone number in the clear**, for a store to write and to read
/// back. `Debug` does not show it.
///
/// ```
/// use moojo_session::{Challenge, ExposedChallenge, UserId};
///
/// let at = |text: &str| text.parse::<chrono::DateTime<chrono::Utc>>();
/// let challenge = Challenge::open(
///     UserId::new("alice")?,
///     "+15559876543",
///     at("2025-02-16T13:12:52Z")?,
///     at("2025-02-16T13:13:22Z")?,
///     at("2025-02-16T13:22:52Z")?,
/// );
/// let record = serde_json::to_vec(&ExposedChallenge::from(&challenge))?;
/// let back: ExposedChallenge = serde_json::from_slice(&record)?;
/// assert_eq!(Challenge::try_from(back)?, challenge);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Serialize, Deserialize)]
pub struct ExposedChallenge {
    user: String,
    revision: u64,
    address: String,
    state: State,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    session: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    earlier: Option<u32>,
    attempts: u32,
    sent_at: DateTime<Utc>,
    resend_at: DateTime<Utc>,
    lapses_at: DateTime<Utc>,
}

/// How [`ChallengeState`] is written. `session` stands beside it.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Sending,
    Sent,
    Refused,
    Unknown,
    Redeemed,
}

impl fmt::Debug for ExposedChallenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExposedChallenge")
            .field("user", &self.user)
            .field("revision", &self.revision)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

impl From<&Challenge> for ExposedChallenge {
    fn from(challenge: &Challenge) -> Self {
        let (state, session) = match challenge.state {
            ChallengeState::Sending => (State::Sending, None),
            ChallengeState::Sent => (State::Sent, None),
            ChallengeState::Refused => (State::Refused, None),
            ChallengeState::Unknown => (State::Unknown, None),
            ChallengeState::Redeemed(session) => (State::Redeemed, Some(session.to_string())),
        };
        Self {
            user: challenge.user.to_string(),
            revision: challenge.revision,
            address: challenge.address.clone(),
            state,
            session,
            earlier: challenge.earlier,
            attempts: challenge.attempts,
            sent_at: challenge.sent_at,
            resend_at: challenge.resend_at,
            lapses_at: challenge.lapses_at,
        }
    }
}

impl TryFrom<ExposedChallenge> for Challenge {
    type Error = StoreError;

    /// # Errors
    /// A [`StoreError`] of the kind `Corrupt` if a field is not what a challenge can hold.
    fn try_from(record: ExposedChallenge) -> Result<Self, Self::Error> {
        let state = match (record.state, record.session) {
            (State::Sending, None) => ChallengeState::Sending,
            (State::Sent, None) => ChallengeState::Sent,
            (State::Refused, None) => ChallengeState::Refused,
            (State::Unknown, None) => ChallengeState::Unknown,
            (State::Redeemed, Some(session)) => {
                let session: SessionId = session.parse().map_err(StoreError::corrupt)?;
                ChallengeState::Redeemed(session)
            }
            _ => return Err(StoreError::corrupt("`state` and `session` do not go together")),
        };
        Ok(Self {
            user: UserId::new(record.user).map_err(StoreError::corrupt)?,
            revision: record.revision,
            address: record.address,
            state,
            earlier: record.earlier,
            attempts: record.attempts,
            sent_at: record.sent_at,
            resend_at: record.resend_at,
            lapses_at: record.lapses_at,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_is_read_back() {
        let at = "2025-02-16T13:12:52.123456789Z".parse().unwrap();
        let opened = Challenge::open(UserId::new("alice").unwrap(), "+15559876543", at, at, at);
        for challenge in [
            opened.clone(),
            opened.sent(),
            opened.unknown(),
            opened.refused(at),
            opened.sent().attempted().resend(at, at, at),
            opened.sent().redeemed(SessionId::random()),
        ] {
            let text = serde_json::to_string(&ExposedChallenge::from(&challenge)).unwrap();
            let back: ExposedChallenge = serde_json::from_str(&text).unwrap();
            assert!(!format!("{back:?}").contains("5559876"), "rule 13");
            assert_eq!(Challenge::try_from(back).unwrap(), challenge);
        }
    }

    #[test]
    fn what_does_not_go_together_is_corrupt() {
        let at = "2025-02-16T13:12:52Z".parse().unwrap();
        let opened = Challenge::open(UserId::new("alice").unwrap(), "+1", at, at, at);
        let record = ExposedChallenge::from(&opened);
        let record = ExposedChallenge { state: State::Redeemed, ..record };
        let error = Challenge::try_from(record).unwrap_err();
        assert_eq!(error.kind(), crate::store::StoreErrorKind::Corrupt);
    }
}
