//! One user of whom the process has seen something lately.
//!
//! Everything that decides (was it removed while it was being loaded? did it arrive while somebody
//! was about to wait?) happens under the slot's one small lock, which is never held across an
//! `await`. Requests share it: they take the token out and go.

use std::sync::atomic::{AtomicU32, Ordering};

use http::HeaderValue;

use crate::session::{Session, SessionId};
use crate::sync::RwLock;
use crate::user::UserId;

mod locked;

use locked::Busy;
pub(super) use locked::{Load, Loaded, Locked, Renewing};

/// Both clocks in nanoseconds, with the expiry margin already added.
#[derive(Clone, Copy)]
pub(crate) struct Now {
    pub(crate) wall: i64,
    pub(crate) steady: u64,
}

impl Now {
    /// The steady clock in whole seconds. It wraps after 136 years.
    pub(super) fn seconds(self) -> u32 {
        (self.steady / 1_000_000_000) as u32
    }
}

/// A shared pointer to a slot. It counts no weak references, which would be 8 bytes more a user.
pub(crate) type SlotRef = triomphe::Arc<Slot>;

/// What every request needs stands first and together, beside the count of references: to fetch it
/// from memory is most of what a request costs when there are many users.
#[repr(C)]
pub(crate) struct Slot {
    user: UserId,
    state: RwLock<State>,
}

#[repr(C)]
struct State {
    live: Option<Live>,
    /// The epoch of the change feed in which `live` was known to be the truth.
    confirmed: u32,
    /// When the slot was last used, in seconds of the steady clock.
    touched: AtomicU32,
    /// What is going on. `None` most of the time: a live session and nobody busy with it.
    busy: Option<Box<Busy>>,
}

/// The session last seen. What a request needs of it stands here a second time, so that it need not
/// look into the record, which is elsewhere.
#[repr(C)]
struct Live {
    authorization: HeaderValue,
    id: SessionId,
    wall_end: i64,
    steady_end: u64,
    session: Session,
}

impl State {
    /// The session, if it is live by both clocks and no change was missed since it was confirmed.
    fn good(&self, now: Now, epoch: u32) -> Option<&Live> {
        self.live.as_ref().filter(|live| self.confirmed == epoch && !live.is_over(now))
    }

    fn touch(&self, now: Now) {
        let seconds = now.seconds();
        if self.touched.load(Ordering::Relaxed) != seconds {
            self.touched.store(seconds, Ordering::Relaxed);
        }
    }
}

impl Live {
    /// Whether its time is over, by either clock.
    fn is_over(&self, now: Now) -> bool {
        now.steady >= self.steady_end || now.wall >= self.wall_end
    }
}

/// What a request is sent with, and what has to be known should that be refused.
pub(crate) struct Pass {
    pub(crate) authorization: HeaderValue,
    pub(crate) user: UserId,
    pub(crate) id: SessionId,
}

impl Pass {
    pub(crate) fn of(session: &Session) -> Self {
        let authorization = session.authorization();
        Self { authorization, user: session.user().clone(), id: session.id() }
    }
}

impl Slot {
    pub(super) fn new(user: UserId, touched: u32) -> Self {
        let touched = AtomicU32::new(touched);
        Self { user, state: RwLock::new(State { live: None, confirmed: 0, touched, busy: None }) }
    }

    pub(crate) fn user(&self) -> &UserId {
        &self.user
    }

    /// The session, if it is live by both clocks and no change was missed since.
    pub(super) fn live(&self, now: Now, epoch: u32) -> Option<Session> {
        let state = self.state.read();
        state.touch(now);
        Some(state.good(now, epoch)?.session.clone())
    }

    /// The session, if it is live by both clocks, though changes may have been missed since.
    pub(super) fn last_known(&self, now: Now) -> Option<Session> {
        let state = self.state.read();
        Some(state.live.as_ref().filter(|live| !live.is_over(now))?.session.clone())
    }

    /// As [`Slot::live`], just what a request needs.
    #[inline]
    pub(super) fn pass(&self, now: Now, epoch: u32) -> Option<Pass> {
        let state = self.state.read();
        state.touch(now);
        let Live { authorization, id, .. } = state.good(now, epoch)?;
        let authorization = authorization.clone();
        Some(Pass { authorization, user: self.user.clone(), id: *id })
    }

    pub(super) fn touched(&self) -> u32 {
        self.state.read().touched.load(Ordering::Relaxed)
    }

    pub(super) fn lock(&self) -> Locked<'_> {
        Locked { user: &self.user, state: self.state.write() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::AccessToken;

    #[test]
    fn a_slot_takes_128_bytes_with_its_count() {
        assert_eq!(size_of::<Slot>() + size_of::<usize>(), 128);
    }

    #[test]
    fn rule_1_another_users_session_finds_no_way_into_the_slot() {
        let [alice, bob] = ["alice", "bob"].map(|name| UserId::new(name).unwrap());
        let ends = chrono::DateTime::from_timestamp_nanos(1_000);
        let session = |user: &UserId| {
            let token = AccessToken::new(format!("token-of-{user}")).unwrap();
            Session::builder(user.clone(), token).expires_at(ends).build().unwrap()
        };
        let slot = Slot::new(alice.clone(), 0);
        let now = Now { wall: 0, steady: 0 };
        slot.lock().saved(0, session(&bob), 1_000, 0);
        assert!(slot.pass(now, 0).is_none());
        slot.lock().loaded(session(&bob), 1_000, 0);
        assert!(slot.live(now, 0).is_none());
        slot.lock().loaded(session(&alice), 1_000, 0);
        assert_eq!(slot.pass(now, 0).unwrap().authorization, "Bearer token-of-alice");
    }
}
