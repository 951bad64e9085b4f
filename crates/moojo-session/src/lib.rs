//! Sessions of many users for tower stacks.
mod clock;

#[cfg(feature = "test-util")]
pub use clock::ManualClock;
pub use clock::{Clock, Sleep, SystemClock};
