use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use chrono::{DateTime, Utc};
use futures_core::Stream;

use crate::broadcast::Subscription;
use crate::reauth::{Declined, ReauthRequired};
use crate::session::SessionId;
use crate::user::UserId;

/// What happened to a user's session in this process.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event {
    /// A session was inserted through this manager.
    Saved {
        /// Whose.
        user: UserId,
        /// Which.
        id: SessionId,
        /// When it ends.
        expires_at: DateTime<Utc>,
    },
    /// A session was found to have ended. It is noticed when somebody asks for it.
    Expired {
        /// Whose.
        user: UserId,
        /// Which.
        id: SessionId,
    },
    /// The server refused a session, and it was removed.
    Rejected {
        /// Whose.
        user: UserId,
        /// Which.
        id: SessionId,
    },
    /// The user's session was revoked through this manager.
    Revoked {
        /// Whose.
        user: UserId,
    },
    /// The user has to log in again. Given once; the next one comes after another session of the
    /// user was seen and has gone.
    ReauthRequired(ReauthRequired),
    /// The person will not log in for now.
    Declined(Declined),
    /// This reader was too slow, and that many events are lost to it.
    Lagged(u64),
}

/// The events of a manager from the moment of [`SessionManager::events`](crate::SessionManager::events) on.
///
/// A slow reader holds nobody up: it loses the oldest events and is told so by
/// [`Event::Lagged`]. It ends when the manager goes.
#[must_use]
pub struct EventStream(Subscription<Event>);

impl EventStream {
    pub(super) fn new(sender: &tokio::sync::broadcast::Sender<Event>) -> Self {
        Self(Subscription::new(sender, Event::Lagged))
    }

    /// The next event, or `None` at the end. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Event> {
        std::future::poll_fn(|cx| Pin::new(&mut self.0).poll_next(cx)).await
    }
}

impl Stream for EventStream {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        Pin::new(&mut self.0).poll_next(cx)
    }
}

impl fmt::Debug for EventStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EventStream")
    }
}
