//! Waiting for a lock that somebody else has on the file.

use std::time::{Duration, Instant};

use crate::error::Failure;

/// What `work` gives, which is done again while somebody has the lock, for about as long as `patience`.
///
/// SQLite can wait by itself, and the store's connections are set not to: its pauses grow to 100 ms, in
/// which another busy process would get the lock again and again; and who reads on the calling thread
/// must not wait at all.
pub(crate) fn patiently<T>(
    patience: Duration,
    mut work: impl FnMut() -> Result<T, Failure>,
) -> Result<T, Failure> {
    let begun = Instant::now();
    loop {
        match work() {
            Err(failure) if failure.is_busy() && begun.elapsed() < patience => {
                std::thread::sleep(Duration::from_micros(fastrand::u64(200..3000)));
            }
            outcome => return outcome,
        }
    }
}
