//! How long to wait before another attempt.

use std::time::Duration;

/// Pauses that double up to a limit, each somewhere between nothing and all of it, so that the
/// processes that lost one server do not come back all at once.
#[derive(Debug)]
pub(crate) struct Backoff(Duration);

impl Backoff {
    const FIRST: Duration = Duration::from_millis(50);
    /// Also how long a connection has to work before the next one is made as quickly as the first.
    pub(crate) const LONGEST: Duration = Duration::from_secs(1);

    pub(crate) fn new() -> Self {
        Self(Self::FIRST)
    }

    pub(crate) fn reset(&mut self) {
        *self = Self::new();
    }

    pub(crate) fn next_pause(&mut self) -> Duration {
        let pause = self.0.mul_f64(fastrand::f64());
        self.0 = (self.0 * 2).min(Self::LONGEST);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_stay_bounded() {
        let mut backoff = Backoff::new();
        for _ in 0..100 {
            assert!(backoff.next_pause() <= Backoff::LONGEST);
        }
        assert_eq!(backoff.0, Backoff::LONGEST);
        backoff.reset();
        assert!(backoff.next_pause() <= Backoff::FIRST);
    }
}
