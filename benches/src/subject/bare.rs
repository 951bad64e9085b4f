//! The inner service alone, with the very request that a subject gets: what is subtracted.

use moojo_session::UserId;

use super::Call;
use crate::exchange::{Inner, exchange, request};
use crate::login::user_id;
use crate::workload::Users;

/// The users' ids as the caller has them: with each request one of them is cloned into the
/// extensions.
pub(super) fn ids(users: &Users) -> Vec<UserId> {
    (0..users.count()).map(|user| user_id(users, user)).collect()
}

/// No layer at all; requests carry one of these.
pub(super) struct Bare<U> {
    bindings: Vec<U>,
}

impl<U> Bare<U> {
    pub(super) fn new(bindings: Vec<U>) -> Self {
        Self { bindings }
    }
}

impl<U: Clone + Send + Sync + 'static> Call for Bare<U> {
    fn call(&mut self, user: usize) {
        exchange(&mut Inner, request(self.bindings[user].clone()));
    }
}
