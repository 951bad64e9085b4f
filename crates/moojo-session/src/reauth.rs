//! The signal that a person has to log in again.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::user::UserId;

mod declined;
mod purpose;
mod renew;

pub use declined::{DeclineReason, Declined};
pub use purpose::{InvalidPurpose, Purpose};
pub use renew::Reauthenticate;

/// The user has to log in again: there is no token that could be sent for them.
///
/// It is only ever raised when that is certain. A store that does not answer, or a network that is
/// down, gives another error.
///
/// Middleware between the layer and you may have boxed the error; [`ReauthRequired::find`] finds
/// the signal in any chain of sources.
#[derive(Clone)]
pub struct ReauthRequired(Arc<Signal>);

struct Signal {
    user: UserId,
    reason: ReauthReason,
    at: DateTime<Utc>,
    trace_id: Option<Box<str>>,
    waited: Option<Duration>,
}

/// Why a user has to log in again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ReauthReason {
    /// There is no session of this user, and none is known to have been there.
    Missing,
    /// The session has ended, or will within the expiry margin.
    Expired,
    /// The server refused the token although its time was not over.
    Rejected,
    /// The session was revoked through the manager.
    Revoked,
    /// There is a live session, which ends too soon for what is planned; see
    /// [`SessionManager::ensure_valid_for`](crate::SessionManager::ensure_valid_for).
    ExpiresTooSoon,
}

impl ReauthRequired {
    pub(crate) fn new(user: UserId, reason: ReauthReason, at: DateTime<Utc>) -> Self {
        Self(Arc::new(Signal { user, reason, at, trace_id: None, waited: None }))
    }

    pub(crate) fn with_trace_id(self, trace_id: Option<&str>) -> Self {
        let trace_id = trace_id.map(Box::from);
        self.change(|signal| signal.trace_id = trace_id)
    }

    pub(crate) fn with_waited(self, waited: Duration) -> Self {
        self.change(|signal| signal.waited = Some(waited))
    }

    fn change(self, change: impl FnOnce(&mut Signal)) -> Self {
        let Signal { user, reason, at, trace_id, waited } = &*self.0;
        let (user, trace_id) = (user.clone(), trace_id.clone());
        let mut signal = Signal { user, reason: *reason, at: *at, trace_id, waited: *waited };
        change(&mut signal);
        Self(Arc::new(signal))
    }

    /// Who has to log in.
    pub fn user(&self) -> &UserId {
        &self.0.user
    }

    /// Why.
    pub fn reason(&self) -> ReauthReason {
        self.0.reason
    }

    /// When it was noticed, by the manager's clock.
    pub fn at(&self) -> DateTime<Utc> {
        self.0.at
    }

    /// The trace id of the answer that refused the token, where the
    /// [classifier](crate::SessionLayer::classifier) found one. The default one looks for none: it
    /// sees the head of an answer, and Moojo documents its trace id in the body.
    pub fn trace_id(&self) -> Option<&str> {
        self.0.trace_id.as_deref()
    }

    /// How long the call had waited for a login when its deadline came; `None` if it did not wait.
    pub fn waited(&self) -> Option<Duration> {
        self.0.waited
    }

    /// The signal in `error` or in any of its sources, however often it was boxed on the way.
    ///
    /// ```
    /// use moojo_session::{MemoryStore, ReauthReason, ReauthRequired, SessionManager, UserId};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let sessions = SessionManager::new(MemoryStore::new());
    /// let error = sessions.get(&UserId::new("alice")?).await.unwrap_err();
    ///
    /// let boxed: Box<dyn std::error::Error + Send + Sync> = Box::new(std::io::Error::other(error));
    /// let signal = ReauthRequired::find(&*boxed).expect("alice has never logged in");
    /// assert_eq!(signal.reason(), ReauthReason::Missing);
    /// # Ok(())
    /// # }
    /// ```
    pub fn find<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(signal) = as_signal(error) {
                return Some(signal);
            }
            next = error.source();
        }
        None
    }
}

/// `io::Error` hides the error it carries: its `source` is already that error's source.
fn as_signal<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a ReauthRequired> {
    if let Some(io) = error.downcast_ref::<std::io::Error>() {
        return io.get_ref().and_then(|inner| ReauthRequired::find(inner));
    }
    error.downcast_ref()
}

impl Error for ReauthRequired {}

impl fmt::Display for ReauthRequired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = match self.reason() {
            ReauthReason::Missing => "there is no session",
            ReauthReason::Expired => "the session has ended",
            ReauthReason::Rejected => "the server refused the token",
            ReauthReason::Revoked => "the session was revoked",
            ReauthReason::ExpiresTooSoon => "the session ends too soon",
        };
        write!(f, "user {} has to log in: {why}", self.user())
    }
}

impl fmt::Debug for ReauthRequired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReauthRequired")
            .field("user", self.user())
            .field("reason", &self.reason())
            .field("at", &self.at())
            .field("trace_id", &self.trace_id())
            .field("waited", &self.waited())
            .finish()
    }
}
