//! What the log says of a store that does not do what it is asked, and of a server that refuses tokens:
//! whoever set it up has to see that.

use std::time::Duration;

use crate::error::Error;
use crate::shown::{Chain, OncePerMinute};
use crate::store::{StoreError, StoreErrorKind, StoreLog};
use crate::sync::Mutex;
use crate::user::UserId;

/// A log for each kind of call: permissions differ, and one that works says nothing of another.
#[derive(Debug)]
pub(super) struct Trouble {
    load: StoreLog,
    save: StoreLog,
    remove: StoreLog,
    acquire: StoreLog,
    release: StoreLog,
    decline: StoreLog,
    clear: StoreLog,
    put_aside: Mutex<OncePerMinute>,
    refused: Mutex<Refused>,
}

/// Tokens that the server has refused, and of which no line has told yet.
#[derive(Debug, Default)]
struct Refused {
    count: u64,
    line: OncePerMinute,
}

/// What the store was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    Load,
    Save,
    Remove,
}

/// What the store of leases was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LeaseCall {
    Acquire,
    Release,
    Decline,
    Clear,
}

impl Trouble {
    pub(super) fn new() -> Self {
        Self {
            load: StoreLog::new("load"),
            save: StoreLog::new("save"),
            remove: StoreLog::new("remove"),
            acquire: StoreLog::new("acquire a lease"),
            release: StoreLog::new("release a lease"),
            decline: StoreLog::new("decline"),
            clear: StoreLog::new("clear a lease"),
            put_aside: Mutex::default(),
            refused: Mutex::default(),
        }
    }

    pub(super) fn note<T>(&self, call: Call, outcome: &Result<T, StoreError>) {
        match call {
            // The breaker tells of loads that fail because the store is away.
            Call::Load if is_away(outcome) => {}
            Call::Load => self.load.note(outcome),
            Call::Save => self.save.note(outcome),
            Call::Remove => self.remove.note(outcome),
        }
    }

    /// No caller gets a lease's error.
    pub(super) fn note_lease<T>(&self, call: LeaseCall, outcome: &Result<T, StoreError>) {
        let log = match call {
            LeaseCall::Acquire => &self.acquire,
            LeaseCall::Release => &self.release,
            LeaseCall::Decline => &self.decline,
            LeaseCall::Clear => &self.clear,
        };
        match outcome {
            Ok(_) => log.works(),
            Err(error) => log.fails(error),
        }
    }

    /// A user is not asked to log in, as it could not be found out whether that is needed. The store's
    /// log is silent on time-outs, and no log tells of the manager's limits: so this is a warning
    /// whatever the reason, at most one a minute.
    pub(super) fn note_put_aside(&self, user: &UserId, error: &Error, now: Duration) {
        let is_due = self.put_aside.lock().lets_through(now);
        let error = Chain(error);
        if is_due {
            tracing::warn!(%user, %error, "a login request is put aside");
        } else {
            tracing::debug!(%user, %error, "a login request is put aside");
        }
    }

    /// A token is refused now and then. When nearly all are, it is for another reason, and everybody who
    /// makes a call is logged out: somebody should look at that before they are asked to log in.
    pub(super) fn note_refused(&self, user: &UserId, now: Duration) {
        let count = {
            let mut refused = self.refused.lock();
            refused.count += 1;
            refused.line.lets_through(now).then(|| std::mem::take(&mut refused.count))
        };
        if let Some(count) = count {
            tracing::warn!(
                %user, count,
                "the server refused tokens before their end; if it is many users', the API key may be \
                 missing, or what is refused"
            );
        }
    }
}

fn is_away<T>(outcome: &Result<T, StoreError>) -> bool {
    outcome.as_ref().is_err_and(|error| error.kind() == StoreErrorKind::Unavailable)
}
