use moojo_session::{Challenge, UserId};

use super::LoginFlow;
use super::error::LoginError;

impl LoginFlow {
    /// The user's login under way, if a code may be in the person's hands that can still be tried.
    ///
    /// # Errors
    /// [`LoginError::Challenges`].
    pub async fn pending(&self, user: &UserId) -> Result<Option<Challenge>, LoginError> {
        let flow = &self.shared;
        let found = flow.challenges.load(user, flow.clock.now()).await?;
        let open = |challenge: &Challenge| {
            challenge.code_may_be_out() && challenge.attempts() < flow.policy.attempts_per_code
        };
        Ok(found.filter(open))
    }
}
