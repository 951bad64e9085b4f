use moojo_session::{Challenge, UserId};

use super::LoginFlow;
use super::error::LoginError;
use super::machine::State;

impl LoginFlow {
    /// The user's login under way, if a code may be in the person's hands that can still be tried.
    ///
    /// # Errors
    /// [`LoginError::Challenges`].
    pub async fn pending(&self, user: &UserId) -> Result<Option<Challenge>, LoginError> {
        let flow = &self.shared;
        let found = flow.challenges.load(user).await?;
        let state = State::of(found.as_ref(), flow.clock.now(), &flow.policy);
        Ok(found.filter(|_| state.code_can_be_tried()))
    }
}
