//! The locks, the atomics and the tasks that decide who comes first.
//!
//! With `--cfg shuttle` it is shuttle that schedules them, for the model checks of `scripts/model`.
//! tokio's channels are what they are in both: what happens inside of them is one step to shuttle.

#[cfg(not(shuttle))]
pub(crate) use parking_lot::{Mutex, RwLock, RwLockWriteGuard};
#[cfg(not(shuttle))]
pub(crate) use std::sync::atomic::{AtomicU32, AtomicUsize};
#[cfg(not(shuttle))]
pub(crate) use tokio::spawn;
#[cfg(not(shuttle))]
pub(crate) use tokio::task::JoinHandle;
#[cfg(not(shuttle))]
pub(crate) use tokio::time::{sleep, timeout};

#[cfg(shuttle)]
pub(crate) use crate::model::{Mutex, RwLock, RwLockWriteGuard, sleep, spawn, timeout};
#[cfg(shuttle)]
pub(crate) use shuttle::future::JoinHandle;
#[cfg(shuttle)]
pub(crate) use shuttle::sync::atomic::{AtomicU32, AtomicUsize};
