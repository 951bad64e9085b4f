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
    let mut since = None;
    loop {
        let outcome = work();
        let is_busy = outcome.as_ref().is_err_and(Failure::is_busy);
        if !is_busy || since.get_or_insert_with(Instant::now).elapsed() >= patience {
            return outcome;
        }
        std::thread::sleep(Duration::from_micros(fastrand::u64(200..3000)));
    }
}
