use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;

use crate::session::SessionId;
use crate::user::UserId;

/// What happened to a session in a store, by whichever process.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// The user's session is now the one with this id.
    Saved {
        /// Whose.
        user: UserId,
        /// Which.
        id: SessionId,
    },
    /// The user has no session any more.
    Removed {
        /// Whose.
        user: UserId,
    },
    /// Changes were lost here: whatever was known before is in doubt.
    Lagged,
    /// The feed has lost its backend: changes are being lost from here on, until it says
    /// [`Lagged`](Self::Lagged).
    Disconnected,
}

/// The change feed of a store: a stream of [`Change`]s.
///
/// Changes of one user come in the order in which they happened, or a later one stands for the
/// earlier. A feed that loses changes says [`Change::Lagged`]. It ends when the store goes.
///
/// A feed over a network begins with [`Change::Disconnected`], unless it hears from the start. It
/// notices within seconds that its backend no longer sends, even if the connection stays open, and
/// says [`Change::Disconnected`] again. It connects by itself, and says [`Change::Lagged`] each time
/// that it begins to hear.
#[must_use]
pub struct ChangeStream {
    changes: Option<Pin<Box<dyn Stream<Item = Change> + Send>>>,
    late: bool,
}

impl ChangeStream {
    /// The feed of a store that has none. It ends at once.
    pub fn none() -> Self {
        Self { changes: None, late: false }
    }

    /// A feed of what `changes` gives.
    pub fn new(changes: impl Stream<Item = Change> + Send + 'static) -> Self {
        Self { changes: Some(Box::pin(changes)), late: false }
    }

    /// The same feed, which tells late of what other processes change, as one does that looks for it
    /// from time to time. A manager [remembers](crate::SessionManagerBuilder::remember_misses) of no
    /// user that there is no session then: she may have logged in elsewhere a moment ago.
    pub fn late(mut self) -> Self {
        self.late = true;
        self
    }

    pub(crate) fn is_none(&self) -> bool {
        self.changes.is_none()
    }

    pub(crate) fn is_late(&self) -> bool {
        self.late
    }

    /// The next change, or `None` at the end of the feed. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Change> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }
}

impl Stream for ChangeStream {
    type Item = Change;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Change>> {
        match &mut self.changes {
            Some(changes) => changes.as_mut().poll_next(cx),
            None => Poll::Ready(None),
        }
    }
}

impl fmt::Debug for ChangeStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChangeStream")
    }
}
