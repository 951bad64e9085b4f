use std::fmt;

use chrono::{DateTime, Utc};

use crate::reauth::{Purpose, ReauthReason};
use crate::user::UserId;

/// A user who has to log in again, as it was when it was looked at.
#[derive(Clone, PartialEq, Eq)]
pub struct ReauthRequest {
    pub(super) user: UserId,
    pub(super) reason: ReauthReason,
    pub(super) since: DateTime<Utc>,
    /// The wall clock's nanoseconds at which a session has to live still. `None`: any will do.
    pub(super) needed_end: Option<i64>,
    pub(super) waiting: usize,
    pub(super) purposes: Vec<Purpose>,
    pub(super) handed_out: u32,
}

impl ReauthRequest {
    /// Who has to log in.
    pub fn user(&self) -> &UserId {
        &self.user
    }

    /// Why, as the first call found it.
    pub fn reason(&self) -> ReauthReason {
        self.reason
    }

    /// Since when, by the manager's clock.
    pub fn since(&self) -> DateTime<Utc> {
        self.since
    }

    /// How many calls wait for it.
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// What for: the purposes of the calls that wait, at most eight different ones. None if the calls
    /// name none.
    pub fn purposes(&self) -> &[Purpose] {
        &self.purposes
    }

    /// How often it was handed out, this time included if it is claimed.
    pub fn handed_out(&self) -> u32 {
        self.handed_out
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
