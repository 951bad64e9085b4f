//! Model checks: the races of the manager under thousands of schedules. `scripts/model` runs them.
//!
//! Time stands still unless a model moves it, so a call that nobody wakes waits for ever, which
//! shuttle reports as a deadlock.
#![cfg(shuttle)]

mod lease;
mod load;
mod notices;
mod queue;
mod renew;
mod wait;
mod world;
