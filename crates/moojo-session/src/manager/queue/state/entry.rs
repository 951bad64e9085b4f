use chrono::{DateTime, Utc};
use tokio::sync::oneshot;

use super::super::request::ReauthRequest;
use super::{Came, Generation, Moment};
use crate::reauth::{Declined, Purpose, ReauthReason};
use crate::user::UserId;

/// Different purposes that are told of one request; those beyond are just counted among the calls.
pub(super) const MAX_PURPOSES: usize = 8;

/// The request of one user.
pub(super) struct Entry {
    pub(super) generation: Generation,
    pub(super) reason: ReauthReason,
    pub(super) since: DateTime<Utc>,
    /// The wall clock's nanoseconds at which a session has to live still. `None`: any will do.
    pub(super) needed_end: Option<i64>,
    pub(super) waiting: usize,
    /// What the calls that wait are for, and how many of them for each.
    pub(super) purposes: Vec<(Purpose, usize)>,
    /// When it is given up if nobody waits for it.
    pub(super) lapses: Moment,
    pub(super) handed_out: u32,
    pub(super) status: Status,
    /// The last time that the person declined: for those who have waited for that generation, or an
    /// earlier one.
    pub(super) declined: Option<(Generation, Declined)>,
    /// When time by itself changes it next.
    pub(super) timer: Moment,
}

pub(super) enum Status {
    Open,
    /// Somebody takes care of it. The sender goes when that is over.
    Claimed {
        claim: u64,
        _alive: oneshot::Sender<()>,
    },
    /// Not to be handed out yet.
    Held,
    /// Nobody is asked before then.
    Declined {
        until: Moment,
    },
}

impl Entry {
    pub(super) fn is_declined(&self) -> bool {
        matches!(self.status, Status::Declined { .. })
    }

    pub(super) fn is_claimed_by(&self, claim: u64) -> bool {
        matches!(self.status, Status::Claimed { claim: by, .. } if by == claim)
    }

    /// If the person has logged in since it was opened, no other login would be better.
    pub(super) fn is_answered_by(&self, came: Came) -> bool {
        self.needed_end.is_none_or(|needed| needed <= came.end) || self.since <= came.issued
    }

    /// Whether it is open and no call waits for it.
    pub(super) fn is_unawaited(&self) -> bool {
        self.waiting == 0 && matches!(self.status, Status::Open)
    }

    /// Whether nobody waits for it, and nobody has asked for the session for long.
    pub(super) fn is_unwanted(&self, now: Moment) -> bool {
        self.waiting == 0 && self.lapses <= now
    }

    /// Notes what one more call is for, if there is room for it.
    pub(super) fn tell(&mut self, purpose: &Purpose) -> bool {
        let known = self.purposes.iter_mut().find(|(other, _)| other == purpose);
        if let Some((_, calls)) = known {
            *calls += 1;
        } else if self.purposes.len() < MAX_PURPOSES {
            self.purposes.push((purpose.clone(), 1));
        } else {
            return false;
        }
        true
    }

    pub(super) fn untell(&mut self, purpose: &Purpose) {
        if let Some((_, calls)) = self.purposes.iter_mut().find(|(other, _)| other == purpose) {
            *calls -= 1;
        }
        self.purposes.retain(|(_, calls)| *calls > 0);
    }

    pub(super) fn snapshot(&self, user: &UserId) -> ReauthRequest {
        ReauthRequest {
            user: user.clone(),
            reason: self.reason,
            since: self.since,
            needed_end: self.needed_end,
            waiting: self.waiting,
            purposes: self.purposes.iter().map(|(purpose, _)| purpose.clone()).collect(),
            handed_out: self.handed_out,
        }
    }
}
