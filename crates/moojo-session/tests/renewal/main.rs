//! Silent renewal, and sessions that have to be good for long enough.

#[path = "../common/mod.rs"]
mod common;
mod long_enough;
mod no_help;
mod races;
mod revoked;
mod shared;
mod unsaved;
mod waiting;

use std::time::Duration;

use chrono::TimeDelta;
use common::session;
use moojo_session::{Clock, Error, ManualClock, ReauthReason, Session, UserId};

const MINUTE: Duration = Duration::from_secs(60);

fn reason(result: Result<Session, Error>) -> ReauthReason {
    match result {
        Err(Error::ReauthRequired(signal)) => signal.reason(),
        other => panic!("no signal: {other:?}"),
    }
}

/// A session that lives for so long still, of those that live two hours.
fn ending_in(user: &UserId, left: Duration, clock: &ManualClock) -> Session {
    session(user, "old", clock.now() + TimeDelta::from_std(left).unwrap())
}
