//! What a call of a shared store costs, beside the client that the store is made of.
//!
//! The server (or the file) is the same for both, and so are the records: the raw client does the
//! least that gets their bytes. All are measured in turns, in many short rounds of one run, so that
//! what disturbs the machine disturbs all alike and falls out of the ratios.

pub mod contest;
pub mod feed;
pub mod postgres;
pub mod records;
pub mod redis;
pub mod sqlite;
pub mod turns;

use std::time::Duration;

use moojo_session::SessionStore;
use tokio::runtime::{Builder, Runtime};

use records::People;

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Sessions in each store.
    pub users: usize,
    /// How often each entrant has its turn.
    pub rounds: usize,
    /// How long a turn is.
    pub turn: Duration,
}

impl Plan {
    /// Enough for figures.
    pub const FULL: Self = Self { users: 100_000, rounds: 15, turn: Duration::from_millis(250) };

    /// Enough to see that everything works.
    pub const SMALL: Self = Self { users: 300, rounds: 1, turn: Duration::from_millis(10) };
}

/// Calls under way at once.
pub const IN_FLIGHT: [usize; 3] = [1, 64, 256];

/// The runtime that all calls of a measurement are made on.
pub fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

/// What one engine came to.
#[derive(Debug)]
pub struct Figures {
    /// Loads: for each number of calls in flight, the raw client first.
    pub loads: Vec<contest::Result>,
    /// Saves, with what each of them waits for.
    pub saves: Vec<contest::Result>,
    /// Bytes that a session takes, and what else a login leaves for a while.
    pub bytes: Bytes,
}

/// What the records of one user take in an engine.
#[derive(Debug, Clone, Copy)]
pub struct Bytes {
    /// A session that was saved once.
    pub session: f64,
    /// The same after all users have logged in once more.
    pub session_renewed: f64,
    /// A login under way: until its code lapses.
    pub login: f64,
    /// A count of what was sent to a number: until its window is over.
    pub quota: f64,
}

/// A turn of loads through a store.
fn load(
    runtime: &Runtime,
    in_flight: usize,
    time: Duration,
    store: &(impl SessionStore + Clone),
    people: &People,
) -> turns::Turn {
    turns::tasks(runtime, in_flight, time, |mut calls| {
        let (store, people) = (store.clone(), people.clone());
        async move {
            for pick in &mut calls {
                let session = store.load(people.id(pick)).await.expect("it is loaded");
                assert!(session.is_some(), "there is one");
            }
            calls
        }
    })
}

/// A turn of saves through a store.
fn save(
    runtime: &Runtime,
    in_flight: usize,
    time: Duration,
    store: &(impl SessionStore + Clone),
    people: &People,
) -> turns::Turn {
    turns::tasks(runtime, in_flight, time, |mut calls| {
        let (store, people) = (store.clone(), people.clone());
        async move {
            for pick in &mut calls {
                store.save(&people.session(pick)).await.expect("it is saved");
            }
            calls
        }
    })
}
