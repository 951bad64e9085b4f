//! A hook that does what a test says, and managers with one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use chrono::TimeDelta;
use moojo_session::{
    Clock, ManualClock, ReauthReason, Reauthenticate, Session, SessionManager,
    SessionManagerBuilder, SessionStore, UserId, async_trait,
};
use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore};

use super::{TestStore, fresh, session, start};

/// What the hook does when it is called.
#[derive(Debug, Clone)]
pub enum Does {
    /// Gives a session of the user that lives for this long.
    Renews(TimeDelta),
    Nothing,
    Fails,
    Panics,
    Hangs,
    /// Gives this, once.
    Gives(Session),
    GivesThatOf(UserId),
}

#[derive(Debug, Clone)]
pub struct Hook(pub Arc<HookState>);

#[derive(Debug)]
pub struct HookState {
    pub clock: ManualClock,
    does: Mutex<Does>,
    calls: AtomicUsize,
    pub reasons: Mutex<Vec<ReauthReason>>,
    pub arrived: Notify,
    /// A call goes on with a permit.
    pub gate: Semaphore,
}

impl HookState {
    fn next(&self) -> Does {
        let mut does = self.does.lock();
        match &*does {
            Does::Gives(_) => std::mem::replace(&mut *does, Does::Nothing),
            other => other.clone(),
        }
    }
}

impl Hook {
    pub fn new(clock: &ManualClock, does: Does) -> Self {
        Self(Arc::new(HookState {
            clock: clock.clone(),
            does: Mutex::new(does),
            calls: AtomicUsize::new(0),
            reasons: Mutex::default(),
            arrived: Notify::new(),
            gate: Semaphore::new(1_000_000),
        }))
    }

    pub fn calls(&self) -> usize {
        self.0.calls.load(Ordering::SeqCst)
    }

    pub fn does(&self, does: Does) {
        *self.0.does.lock() = does;
    }

    pub fn shut(&self) {
        self.0.gate.forget_permits(1_000_000);
    }

    pub fn open(&self) {
        self.0.gate.add_permits(1_000_000);
    }
}

#[async_trait]
impl Reauthenticate for Hook {
    async fn reauthenticate(
        &self,
        user: &UserId,
        reason: ReauthReason,
    ) -> Result<Option<Session>, Box<dyn std::error::Error + Send + Sync>> {
        let state = &self.0;
        let count = state.calls.fetch_add(1, Ordering::SeqCst);
        state.reasons.lock().push(reason);
        state.arrived.notify_one();
        state.gate.acquire().await?.forget();
        match state.next() {
            Does::Renews(life) => {
                let ends = state.clock.now() + life;
                Ok(Some(session(user, &format!("renewed-{count}"), ends)))
            }
            Does::Nothing => Ok(None),
            Does::Fails => Err("no way".into()),
            Does::Panics => panic!("the hook panics"),
            Does::Hangs => std::future::pending().await,
            Does::Gives(session) => Ok(Some(session)),
            Does::GivesThatOf(other) => Ok(Some(fresh(&other, "of-another", &state.clock))),
        }
    }
}

pub fn two_hours() -> Does {
    Does::Renews(TimeDelta::hours(2))
}

/// A manager with a hook.
pub fn with_hook(does: Does) -> (SessionManager, TestStore, ManualClock, Hook) {
    let clock = ManualClock::new(start());
    let (store, hook) = (TestStore::new(&clock), Hook::new(&clock, does));
    (builder(&store, &clock, &hook).build(), store, clock, hook)
}

pub fn builder<S: SessionStore + Clone>(
    store: &S,
    clock: &ManualClock,
    hook: &Hook,
) -> SessionManagerBuilder {
    SessionManager::builder(store.clone()).clock(clock.clone()).reauthenticate(hook.clone())
}
