//! Users who are logged in to a manager of ours.

use chrono::{TimeDelta, Utc};
use moojo_session::{AccessToken, MemoryStore, Session, SessionManager, UserId};
use tokio::runtime::{Builder, Runtime};

use crate::workload::Users;

/// A runtime for [`log_all_in`].
pub fn runtime() -> Runtime {
    Builder::new_current_thread().enable_time().build().expect("a runtime with a timer")
}

/// A manager over a memory store in which each of these users has a session.
pub fn log_all_in(users: &Users, runtime: &Runtime) -> SessionManager {
    let manager = SessionManager::new(MemoryStore::new());
    runtime.block_on(async {
        for user in 0..users.count() {
            manager.insert(session(users, user)).await.expect("the store is in memory");
            if user % 64 == 0 {
                // For the task that follows the store's changes: else its feed overflows.
                tokio::task::yield_now().await;
            }
        }
        tokio::task::yield_now().await;
        // Should it have overflowed all the same, they are loaded anew here.
        for user in 0..users.count() {
            manager.get(&user_id(users, user)).await.expect("the store is in memory");
        }
    });
    manager
}

/// A user's id in memory of its own.
pub fn user_id(users: &Users, user: usize) -> UserId {
    UserId::new(users.id(user)).expect("the ids are legal")
}

/// A session as Moojo documents it: with the token a `publicUserId` of 36 characters and a
/// `publicKey` of 68.
pub fn session(users: &Users, user: usize) -> Session {
    let token = AccessToken::new(users.token(user)).expect("hexadecimal digits are legal");
    Session::builder(user_id(users, user), token)
        .expires_at(Utc::now() + TimeDelta::hours(2))
        .public_user_id("a6e8f837-2f6b-478c-a007-82989d000000")
        .public_key(format!("0x02{}", users.token(user)))
        .build()
        .expect("all that is needed is there")
}
