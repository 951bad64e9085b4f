//! What the tests of the queue and of calls that wait share.

use std::time::Duration;

use moojo_session::{Claim, Error, Purpose, ReauthQueue, Session, SessionManager, UserId, Wait};
use tokio::task::JoinHandle;

pub const MINUTE: Duration = Duration::from_secs(60);
/// The defaults of the manager.
pub const LEASE: Duration = MINUTE;
pub const LIFE: Duration = Duration::from_secs(15 * 60);

pub fn purpose(text: &str) -> Purpose {
    Purpose::new(text).unwrap()
}

pub type Waiting = JoinHandle<Result<Session, Error>>;

/// A call that waits for an hour.
pub fn wait(
    sessions: &SessionManager,
    user: &UserId,
    purpose: impl Into<Option<Purpose>>,
) -> Waiting {
    let (sessions, user) = (sessions.clone(), user.clone());
    let wait = Wait::up_to(60 * MINUTE).purpose(purpose);
    tokio::spawn(async move { sessions.wait_with(&user, &wait).await })
}

/// Has the user in the queue, with no call that waits.
pub async fn want(sessions: &SessionManager, user: &UserId) {
    assert!(matches!(sessions.get(user).await, Err(Error::ReauthRequired(_))));
}

/// The claim that there has to be now.
pub async fn claim(queue: &ReauthQueue) -> Claim {
    queue.try_next().await.expect("there is an open request")
}

/// A worker that takes the next request and ends with its claim.
pub fn next(queue: &ReauthQueue) -> JoinHandle<Claim> {
    let queue = queue.clone();
    tokio::spawn(async move { queue.next().await })
}

pub async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("it comes to an end")
}
