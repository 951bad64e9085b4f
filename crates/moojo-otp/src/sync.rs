//! The lock and the tasks that decide who comes first; with `--cfg shuttle`, those that shuttle
//! schedules for the model checks of `scripts/model`.

#[cfg(not(shuttle))]
pub(crate) use parking_lot::Mutex;
#[cfg(not(shuttle))]
pub(crate) use tokio::spawn;

#[cfg(shuttle)]
pub(crate) use moojo_session::model::{Mutex, spawn};
