//! Time: the wall clock that tokens end by, and a steady clock that nobody can turn back.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

#[cfg(feature = "test-util")]
mod manual;
#[cfg(any(target_os = "linux", target_os = "android"))]
mod tick;
#[cfg(feature = "test-util")]
pub use manual::ManualClock;

/// Both clocks of a [`Clock`], in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockReading {
    /// The wall clock, since the Unix epoch. A time that does not fit (after the year 2262) is
    /// `i64::MAX`, by which every session has ended.
    pub unix_nanos: i64,
    /// The steady clock, since whatever moment it counts from.
    pub monotonic_nanos: u64,
}

/// A future that ends when a time has passed; what [`Clock::sleep`] gives.
pub type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Where a [`SessionManager`](crate::SessionManager) and its stores take the time from.
///
/// A session has ended as soon as either clock says so: the wall clock may be set back, and the
/// steady one knows nothing of the time before the process started.
///
/// [`SystemClock`] is the default. `ManualClock` (feature `test-util`) is moved by tests.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// The wall clock.
    fn now(&self) -> DateTime<Utc>;

    /// The time since some fixed moment. It never goes back, and it goes on while the machine is
    /// suspended where the platform can tell.
    fn monotonic(&self) -> Duration;

    /// Both clocks, as they are read for every request. What they say may be some milliseconds old,
    /// and is never ahead.
    fn read(&self) -> ClockReading {
        ClockReading {
            unix_nanos: self.now().timestamp_nanos_opt().unwrap_or(i64::MAX),
            monotonic_nanos: nanos(self.monotonic()),
        }
    }

    /// A future that ends when `duration` has passed. Dropping it cancels it.
    ///
    /// # Panics
    /// The default panics outside of a tokio runtime with its timer enabled.
    fn sleep(&self, duration: Duration) -> Sleep {
        Box::pin(tokio::time::sleep(duration))
    }
}

impl<C: Clock + ?Sized> Clock for Arc<C> {
    fn now(&self) -> DateTime<Utc> {
        (**self).now()
    }

    fn monotonic(&self) -> Duration {
        (**self).monotonic()
    }

    fn read(&self) -> ClockReading {
        (**self).read()
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        (**self).sleep(duration)
    }
}

/// The clocks of the operating system.
///
/// On Linux and Android the steady clock is `CLOCK_BOOTTIME`, which counts the time in suspend.
/// Elsewhere it is [`std::time::Instant`], which on some platforms stands still meanwhile.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }

    fn monotonic(&self) -> Duration {
        boot_time()
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn read(&self) -> ClockReading {
        tick::read()
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn boot_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or_default(),
        u32::try_from(time.tv_nsec).unwrap_or_default(),
    )
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn boot_time() -> Duration {
    use std::sync::LazyLock;
    use std::time::Instant;
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    START.elapsed()
}

/// A time span in nanoseconds, or the longest that there is.
pub(crate) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
