use std::fmt;

use chrono::{DateTime, Utc};

use super::state::Snapshot;
use crate::reauth::{Purpose, ReauthReason};
use crate::user::UserId;

/// A user who has to log in again, as it was when it was looked at.
#[derive(Clone, PartialEq, Eq)]
pub struct ReauthRequest(pub(super) Snapshot);

impl ReauthRequest {
    /// Who has to log in.
    pub fn user(&self) -> &UserId {
        &self.0.user
    }

    /// Why, as the first call found it.
    pub fn reason(&self) -> ReauthReason {
        self.0.reason
    }

    /// Since when, by the manager's clock.
    pub fn since(&self) -> DateTime<Utc> {
        self.0.since
    }

    /// How many calls wait for it.
    pub fn waiting(&self) -> usize {
        self.0.waiting
    }

    /// What for: the purposes of the calls that wait, at most eight different ones.
    pub fn purposes(&self) -> &[Purpose] {
        &self.0.purposes
    }

    /// How often it was handed out, this time included if it is claimed.
    pub fn handed_out(&self) -> u32 {
        self.0.handed_out
    }

    pub(super) fn needed_end(&self) -> Option<i64> {
        self.0.needed_end
    }
}

impl fmt::Debug for ReauthRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReauthRequest")
            .field("user", self.user())
            .field("reason", &self.reason())
            .field("since", &self.since())
            .field("waiting", &self.waiting())
            .field("purposes", &self.purposes())
            .field("handed_out", &self.handed_out())
            .finish()
    }
}
