//! What a live session takes of memory, and which part of it takes how much.

use std::hint::black_box;

use moojo_session::{AccessToken, MemoryStore, Session, SessionManager, SessionStore, UserHandle};
use tokio::runtime::Runtime;

use crate::login::{log_all_in, runtime, session, user_id};
use crate::workload::Users;

/// Counts the bytes that a piece of code has allocated and not freed at its end. The counter is
/// given by the program, which decides about its allocator.
pub type Count = fn(&mut dyn FnMut()) -> i64;

/// Bytes, as they were asked for from the allocator.
#[derive(Debug, Clone, Copy)]
pub struct Shares {
    /// How many sessions there were.
    pub sessions: usize,
    /// All that a manager over a memory store holds with these sessions in it.
    pub all: i64,
    /// A manager and a store without any session.
    pub empty: i64,
    /// The tokens, as finished header values that are wiped at their end.
    pub tokens: i64,
    /// The records that the tokens are in, with id, times and the two public texts.
    pub records: i64,
    /// What the store adds to that: moka's entries, its table and its timers.
    pub store: i64,
    /// The manager's slots.
    pub slots: i64,
    /// The table by which they are found.
    pub table: i64,
}

impl Shares {
    /// Counts for a process with these users logged in. Each part is also made by itself.
    pub fn of(users: &Users, count: Count) -> Self {
        let runtime = runtime();
        let all = keep(count, || log_all_in(users, &runtime)).1;
        let empty = keep(count, || SessionManager::new(MemoryStore::new())).1;
        let tokens = each(users, count, |user| {
            AccessToken::new(users.token(user)).expect("hexadecimal digits are legal")
        });
        let mut sessions = Vec::with_capacity(users.count());
        let with_records = count(&mut || {
            sessions.extend((0..users.count()).map(|user| session(users, user)));
        });
        let store = store(&sessions, &runtime, count);
        drop(sessions);
        let (slots, table) = slots_and_table(users, count);
        Self {
            sessions: users.count(),
            all,
            empty,
            tokens,
            records: with_records - tokens,
            store,
            slots,
            table,
        }
    }

    /// The bytes of a share for each session.
    pub fn per_session(&self, share: i64) -> f64 {
        share as f64 / self.sessions as f64
    }
}

/// Runs `make` and counts what its result holds, which is given back to be dropped later.
fn keep<T>(count: Count, make: impl Fn() -> T) -> (T, i64) {
    let mut kept = None;
    let bytes = count(&mut || kept = Some(make()));
    (kept.expect("the counter runs what it counts"), bytes)
}

/// Counts what one thing for each user takes.
fn each<T>(users: &Users, count: Count, make: impl Fn(usize) -> T) -> i64 {
    let mut all = Vec::with_capacity(users.count());
    let bytes = count(&mut || all.extend((0..users.count()).map(&make)));
    black_box(all);
    bytes
}

fn store(sessions: &[Session], runtime: &Runtime, count: Count) -> i64 {
    let empty = keep(count, MemoryStore::new).1;
    let save_all = || {
        let store = MemoryStore::new();
        runtime.block_on(async {
            for session in sessions {
                store.save(session).await.expect("the store is in memory");
            }
        });
        store
    };
    keep(count, save_all).1 - empty
}

fn slots_and_table(users: &Users, count: Count) -> (i64, i64) {
    let manager = SessionManager::new(MemoryStore::new());
    let mut handles: Vec<UserHandle> = Vec::with_capacity(users.count());
    let mut slot = i64::MAX;
    let mut both = 0;
    for user in 0..users.count() {
        let bytes = count(&mut || handles.push(manager.handle(&user_id(users, user))));
        both += bytes;
        // Where the table did not grow meanwhile, it was the slot alone.
        slot = if bytes > 0 { slot.min(bytes) } else { slot };
    }
    let slots = slot * users.count() as i64;
    black_box(handles);
    (slots, both - slots)
}
