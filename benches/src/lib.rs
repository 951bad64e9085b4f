//! What the session layer costs a request, beside the ways in which others do the same.
//!
//! All [subjects](subject) get the same requests for the same sequence of users, and all are polled
//! by hand: every service here is ready at once, so that no runtime is measured. What is measured
//! and how is described in `docs/performance.md`.

pub mod exchange;
pub mod login;
pub mod memory;
pub mod report;
pub mod stores;
pub mod subject;
pub mod workload;
