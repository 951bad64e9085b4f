//! Silent renewal that meets revocations and logins.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use moojo_session::model::Mutex;
use moojo_session::{
    Error, ReauthReason, Reauthenticate, Session, SessionManager, UserId, async_trait,
};
use shuttle::future::{JoinHandle, spawn, yield_now};

use crate::world::{World, alice, choose, explore, some_turns};

/// Gives what the model has put there.
#[derive(Debug, Clone, Default)]
struct Hook {
    gives: Arc<Mutex<Vec<Session>>>,
    calls: Arc<AtomicUsize>,
}

#[async_trait]
impl Reauthenticate for Hook {
    async fn reauthenticate(
        &self,
        _: &UserId,
        _: ReauthReason,
    ) -> Result<Option<Session>, Box<dyn std::error::Error + Send + Sync>> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        some_turns().await;
        Ok(self.gives.lock().pop())
    }
}

fn with_hook(world: &World, gives: usize) -> (SessionManager, Hook) {
    let hook = Hook::default();
    hook.gives.lock().extend((0..gives).map(|_| world.session()));
    (world.builder().reauthenticate(hook.clone()).build(), hook)
}

/// Calls now and then, which renew if they can.
fn calls(sessions: &SessionManager) -> JoinHandle<()> {
    let sessions = sessions.clone();
    spawn(async move {
        for _ in 0..6 {
            if choose(2) == 0 {
                some_turns().await;
            }
            match choose(2) {
                0 => drop(sessions.get(&alice()).await),
                // Longer than she is logged in for.
                _ => drop(sessions.ensure_valid_for(&alice(), SHORT).await),
            }
        }
    })
}

const SHORT: Duration = Duration::from_secs(60);

/// Until what goes on without any caller has come to an end.
async fn rest() {
    for _ in 0..1500 {
        yield_now().await;
    }
}

#[test]
fn a_revocation_stands_whatever_is_renewed_meanwhile() {
    explore(async || {
        let world = World::with_turns(12);
        if choose(2) == 0 {
            world.store.put(&world.ending(SHORT));
        }
        let (sessions, _) = with_hook(&world, 9);
        let calls = [(); 2].map(|()| calls(&sessions));
        some_turns().await;
        for _ in 0..choose(3) {
            sessions.revoke(&alice()).await.unwrap();
            some_turns().await;
            sessions.insert(world.ending(SHORT)).await.unwrap();
            some_turns().await;
        }
        sessions.revoke(&alice()).await.unwrap();
        for one in calls {
            one.await.unwrap();
        }
        rest().await;
        assert_eq!(world.store.current(), None, "logged in by nobody");
        let outcome = sessions.get(&alice()).await;
        let Err(Error::ReauthRequired(signal)) = outcome else { panic!("{outcome:?}") };
        assert_eq!(signal.reason(), ReauthReason::Revoked);
    });
}

#[test]
fn rule_7_calls_that_need_a_session_at_once_are_one_renewal_and_no_request() {
    explore(async || {
        let world = World::new();
        let (sessions, hook) = with_hook(&world, 1);
        for one in [(); 3].map(|()| calls(&sessions)) {
            one.await.unwrap();
        }
        assert_eq!(hook.calls.load(Ordering::Relaxed), 1);
        assert!(sessions.reauth_queue().is_empty());
        assert_eq!(sessions.get(&alice()).await.ok(), world.store.current());
    });
}
