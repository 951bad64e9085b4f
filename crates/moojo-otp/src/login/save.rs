//! Putting a session into the store, where nothing may get lost: somebody has typed a code for it.

use std::sync::Arc;
use std::time::Duration;

use moojo_session::{Arrived, Chain, Error, Session, StoreErrorKind};

use super::Inner;
use super::error::LoginError;

/// How often it is tried, and the first of the pauses in between, which double.
const ATTEMPTS: u32 = 4;
const PAUSE: Duration = Duration::from_millis(200);

impl Inner {
    /// Gives the session that the user has from now on: this one, or another that was issued later
    /// and came while the store was away.
    pub(super) async fn save(&self, session: &Session) -> Result<Session, LoginError> {
        let arrival = self.sessions.arrival(session.clone());
        let mut attempts = 0;
        loop {
            attempts += 1;
            let saved = match attempts {
                1 => arrival.save().await,
                _ => arrival.save_again().await,
            };
            let source = match saved {
                Ok(Arrived::Overtaken(later)) => {
                    tracing::debug!(user = %later.user(), id = %later.id(), "logged in meanwhile");
                    return Ok(later);
                }
                Ok(Arrived::Revoked) => {
                    tracing::debug!(user = %session.user(), "revoked during a login");
                    return Err(LoginError::Revoked);
                }
                Ok(_) => {
                    tracing::debug!(user = %session.user(), id = %session.id(), "logged in");
                    return Ok(session.clone());
                }
                Err(error) => error,
            };
            if attempts == ATTEMPTS || !may_pass(&source) {
                let error = Chain(&source);
                tracing::debug!(user = %session.user(), %error, "a login was not saved");
                return Err(LoginError::NotSaved { arrival: Arc::new(arrival), source });
            }
            self.clock.sleep(PAUSE * 2_u32.pow(attempts - 1)).await;
        }
    }
}

/// Whether trying again may help.
fn may_pass(error: &Error) -> bool {
    match error {
        Error::Store(error) => {
            matches!(error.kind(), StoreErrorKind::Unavailable | StoreErrorKind::TimedOut)
        }
        Error::Overloaded { .. } => true,
        _ => false,
    }
}
