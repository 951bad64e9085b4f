//! Silent renewal: a session without the person, where there is a way.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::Inner;
use super::slot::{Slot, SlotRef};
use crate::reauth::{ReauthReason, Reauthenticate};
use crate::session::Session;

/// How the manager renews, if it can.
pub(super) struct Renewal {
    pub(super) hook: Arc<dyn Reauthenticate>,
    pub(super) timeout: Duration,
    /// How long a user is left alone after it could not help, at first and at most.
    pub(super) pause: (Duration, Duration),
}

impl Inner {
    /// Tries it, unless somebody does already or it was of no help a moment ago. What it gives is
    /// saved.
    pub(super) async fn renew(
        self: &Arc<Self>,
        slot: &SlotRef,
        reason: ReauthReason,
    ) -> Option<Session> {
        let renewal = self.renewal.as_ref()?;
        let attempt = Attempt::begin(slot, self.moment())?;
        let session = self.ask_hook(renewal, slot, reason).await;
        if session.is_none() {
            attempt.failed(self.moment(), renewal.pause);
        }
        session
    }

    async fn ask_hook(
        self: &Arc<Self>,
        renewal: &Renewal,
        slot: &SlotRef,
        reason: ReauthReason,
    ) -> Option<Session> {
        let user = slot.user().clone();
        let hook = Arc::clone(&renewal.hook);
        // A task: if it panics, the person is asked. It goes with the set.
        let mut task = JoinSet::new();
        task.spawn(async move { hook.reauthenticate(&user, reason).await });
        let answer = tokio::time::timeout(renewal.timeout, task.join_next()).await;
        let user = slot.user();
        let session = match answer {
            Ok(Some(Ok(Ok(session)))) => session?,
            Ok(Some(Ok(Err(error)))) => {
                tracing::warn!(%user, %error, "silent renewal failed");
                return None;
            }
            Ok(Some(Err(_)) | None) => {
                tracing::error!(%user, "silent renewal panicked");
                return None;
            }
            Err(_) => {
                tracing::warn!(%user, "silent renewal took too long");
                return None;
            }
        };
        if session.user() != user {
            tracing::error!(%user, "silent renewal gave the session of another user");
            return None;
        }
        match self.insert(session.clone()).await {
            Ok(()) => Some(session),
            Err(error) => {
                tracing::warn!(%user, %error, "the renewed session could not be saved");
                None
            }
        }
    }
}

/// One attempt at a time for each user, noted in the slot, whatever becomes of the future.
struct Attempt<'a>(&'a Slot);

impl<'a> Attempt<'a> {
    fn begin(slot: &'a Slot, now: u64) -> Option<Self> {
        slot.lock().begin_renewal(now).then_some(Self(slot))
    }

    fn failed(&self, now: u64, (first, most): (Duration, Duration)) {
        self.0.lock().renewal_failed(now, first, most);
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        self.0.lock().end_renewal();
    }
}
