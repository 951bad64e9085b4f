//! What the tests share.
#![allow(dead_code, unused_imports, reason = "not every test needs all of it")]

use chrono::{DateTime, TimeDelta, Utc};
use moojo_session::{AccessToken, Change, ChangeStream, Session, UserId};
pub(crate) use moojo_testkit::{PATIENCE, eventually, eventually_some};

pub(crate) fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

pub(crate) fn login(name: &str) -> Session {
    login_until(name, Utc::now() + TimeDelta::hours(2))
}

pub(crate) fn login_until(name: &str, ends: DateTime<Utc>) -> Session {
    let token = AccessToken::new(format!("planted-{name}")).unwrap();
    Session::builder(user(name), token).expires_at(ends).build().unwrap()
}

/// The next change, which has to come.
pub(crate) async fn next(feed: &mut ChangeStream) -> Change {
    let next = tokio::time::timeout(PATIENCE, feed.next()).await;
    next.expect("the feed tells something").expect("the feed goes on")
}

pub(crate) fn saved(session: &Session) -> Change {
    Change::Saved { user: session.user().clone(), id: session.id() }
}

/// Everything that an error shows.
pub(crate) fn shown(error: &(dyn std::error::Error + 'static)) -> String {
    let mut shown = format!("{error:?}");
    let mut next = Some(error);
    while let Some(error) = next {
        shown += &format!("\n{error}\n{error:?}");
        next = error.source();
    }
    shown
}
