//! Putting a session into the store, where nothing may get lost: somebody has typed a code for it.

use std::time::Duration;

use moojo_session::{Chain, Error, Session, StoreErrorKind};

use super::Inner;
use super::error::LoginError;

/// How often it is tried, and the first of the pauses in between, which double.
const ATTEMPTS: u32 = 4;
const PAUSE: Duration = Duration::from_millis(200);

impl Inner {
    pub(super) async fn save(&self, session: &Session) -> Result<(), LoginError> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            let source = match self.sessions.insert(session.clone()).await {
                Ok(()) => {
                    tracing::debug!(user = %session.user(), id = %session.id(), "logged in");
                    return Ok(());
                }
                Err(error) => error,
            };
            if attempts == ATTEMPTS || !may_pass(&source) {
                let error = Chain(&source);
                tracing::debug!(user = %session.user(), %error, "a login was not saved");
                return Err(LoginError::NotSaved { session: session.clone(), source });
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
