//! Waiting for what another process does: nobody tells us of it, so it is looked at again and again.

use std::time::{Duration, Instant};

/// How long anything may take on the busiest machine. Only a test that fails waits for it.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Between two looks.
pub(crate) const PAUSE: Duration = Duration::from_millis(10);

/// Looks again until it is so.
///
/// # Panics
/// If it is not within [`PATIENCE`].
pub async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    eventually_some(what, async || is_so().await.then_some(())).await;
}

/// Tries again until there is something.
///
/// # Panics
/// If there is nothing within [`PATIENCE`].
pub async fn eventually_some<T>(what: &str, mut attempt: impl AsyncFnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(something) = attempt().await {
            return something;
        }
        assert!(begun.elapsed() < PATIENCE, "it never came: {what}");
        tokio::time::sleep(PAUSE).await;
    }
}

/// As [`eventually`], for who has no runtime. Says whether it came to that.
pub(crate) fn comes_to_be(mut is_so: impl FnMut() -> bool) -> bool {
    let begun = Instant::now();
    while !is_so() {
        if begun.elapsed() > PATIENCE {
            return false;
        }
        std::thread::sleep(PAUSE);
    }
    true
}
