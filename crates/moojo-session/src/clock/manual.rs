use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::Mutex;
use tokio::sync::watch;

use super::{Clock, Sleep};

/// A clock that stands still until it is moved. Clones share the time.
///
/// [`Clock::sleep`] on it ends when the clock has been moved far enough, or when that much time
/// has passed on tokio's timer, whichever comes first: nobody waits for ever on a clock that a
/// test forgot to move.
///
/// ```
/// use std::time::Duration;
/// use moojo_session::{Clock, ManualClock};
///
/// let clock = ManualClock::new("2025-02-16T13:12:52.555Z".parse()?);
/// clock.advance(Duration::from_secs(7200));
/// assert_eq!(clock.now().to_rfc3339(), "2025-02-16T15:12:52.555+00:00");
/// # Ok::<(), chrono::ParseError>(())
/// ```
#[derive(Debug, Clone)]
pub struct ManualClock(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    wall: Mutex<DateTime<Utc>>,
    monotonic: watch::Sender<Duration>,
}

impl ManualClock {
    /// A clock whose wall time is `now`.
    pub fn new(now: DateTime<Utc>) -> Self {
        let monotonic = watch::Sender::new(Duration::from_secs(1));
        Self(Arc::new(Shared { wall: Mutex::new(now), monotonic }))
    }

    /// Lets `duration` pass, on the wall clock and on the steady one.
    ///
    /// # Panics
    /// If the wall time would leave chrono's range.
    pub fn advance(&self, duration: Duration) {
        *self.0.wall.lock() += duration;
        self.0.monotonic.send_modify(|now| *now += duration);
    }

    /// Sets the wall clock, forwards or backwards, as an operator or a time server would. The
    /// steady clock does not notice.
    pub fn set_wall(&self, now: DateTime<Utc>) {
        *self.0.wall.lock() = now;
    }

    /// Moves the wall clock alone by `delta`, which may be negative.
    ///
    /// # Panics
    /// If the wall time would leave chrono's range.
    pub fn jump_wall(&self, delta: TimeDelta) {
        *self.0.wall.lock() += delta;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> DateTime<Utc> {
        *self.0.wall.lock()
    }

    fn monotonic(&self) -> Duration {
        *self.0.monotonic.borrow()
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        let clock = self.clone();
        let until = self.monotonic().saturating_add(duration);
        Box::pin(async move {
            let mut monotonic = clock.0.monotonic.subscribe();
            // Over when the clock was moved far enough or when tokio's timer says so. The third
            // outcome, a closed channel, cannot be: `clock` holds its sender.
            let _ = tokio::time::timeout(duration, monotonic.wait_for(|now| *now >= until)).await;
        })
    }
}
