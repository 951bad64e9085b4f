//! What a slot knows of the notices before its session ends.

use super::Locked;
use crate::session::SessionId;

/// What the feed said of the user.
#[derive(Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heard {
    #[default]
    Nothing,
    Saved(SessionId),
    Removed,
}

impl Locked<'_> {
    /// The feed has told of a change. It is remembered while something is going on.
    pub(in crate::manager) fn heard(&mut self, current: Option<SessionId>) {
        if let Some(busy) = &mut self.state.busy {
            busy.heard = current.map_or(Heard::Removed, Heard::Saved);
        }
    }

    /// Whether the feed's last word is of the session with this id.
    pub(in crate::manager) fn has_heard_of(&self, id: SessionId) -> bool {
        let busy = self.state.busy.as_ref();
        busy.is_some_and(|busy| busy.heard == Heard::Saved(id))
    }

    /// Whether the session with this id, which was saved while something else happened, may be the
    /// user's still.
    pub(in crate::manager) fn may_have_stayed(&mut self, id: SessionId) -> bool {
        let busy = self.busy();
        match busy.heard {
            Heard::Nothing => !busy.revoked,
            heard => heard == Heard::Saved(id),
        }
    }

    /// Remembers a session of which no notice is given, in case the feed comes to it.
    pub(in crate::manager) fn put_by(&mut self, session: (SessionId, i64)) {
        self.busy().put_by = Some(session);
    }

    /// The session with this id, if it was put by, and its end.
    pub(in crate::manager) fn take_put_by(&mut self, id: SessionId) -> Option<(SessionId, i64)> {
        self.state.busy.as_mut()?.put_by.take_if(|session| session.0 == id)
    }

    pub(in crate::manager) fn forget_put_by(&mut self, is_gone: impl FnOnce(SessionId) -> bool) {
        if let Some(busy) = &mut self.state.busy {
            busy.put_by.take_if(|session| is_gone(session.0));
        }
    }
}
