//! The clocks of the system, read once for each tick of the kernel's coarse clock.
//!
//! The coarse clock costs a quarter of a real one and moves every few milliseconds. While it stands
//! still, what was read of the real ones is good enough. It moves on when the machine wakes up from
//! suspend, too.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use parking_lot::Mutex;
use rustix::time::{ClockId, Timespec, clock_gettime};

use super::ClockReading;

/// The tick in which the other two were read. It is written last.
static TICK: AtomicI64 = AtomicI64::new(i64::MIN);
static UNIX_NANOS: AtomicI64 = AtomicI64::new(0);
static MONOTONIC_NANOS: AtomicU64 = AtomicU64::new(0);
static WRITER: Mutex<()> = Mutex::new(());

pub(super) fn read() -> ClockReading {
    let tick = nanos(clock_gettime(ClockId::MonotonicCoarse));
    if TICK.load(Ordering::Acquire) == tick {
        // Another thread may be writing those of a later tick, which are as good.
        return ClockReading {
            unix_nanos: UNIX_NANOS.load(Ordering::Relaxed),
            monotonic_nanos: MONOTONIC_NANOS.load(Ordering::Relaxed),
        };
    }
    // The clocks are read under the lock, so that nothing older takes the place of a newer reading.
    let writer = WRITER.try_lock();
    let reading = ClockReading {
        unix_nanos: nanos(clock_gettime(ClockId::Realtime)),
        monotonic_nanos: u64::try_from(nanos(clock_gettime(ClockId::Boottime))).unwrap_or(0),
    };
    if writer.is_some() {
        UNIX_NANOS.store(reading.unix_nanos, Ordering::Relaxed);
        MONOTONIC_NANOS.store(reading.monotonic_nanos, Ordering::Relaxed);
        TICK.store(tick, Ordering::Release);
    }
    reading
}

fn nanos(time: Timespec) -> i64 {
    time.tv_sec.saturating_mul(1_000_000_000).saturating_add(time.tv_nsec)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock, SystemClock};

    fn real() -> ClockReading {
        let steady = u64::try_from(SystemClock.monotonic().as_nanos()).unwrap();
        let unix_nanos = SystemClock.now().timestamp_nanos_opt().unwrap();
        ClockReading { unix_nanos, monotonic_nanos: steady }
    }

    fn next_tick() {
        let tick = || nanos(clock_gettime(ClockId::MonotonicCoarse));
        let now = tick();
        while tick() == now {
            std::hint::spin_loop();
        }
    }

    #[test]
    fn rule_4_it_is_never_ahead_and_catches_up_at_each_tick() {
        let check = || {
            for _ in 0..20 {
                let before = real();
                next_tick();
                let read = read();
                let after = real();
                assert!(before.unix_nanos <= read.unix_nanos);
                assert!(read.unix_nanos <= after.unix_nanos);
                assert!(before.monotonic_nanos <= read.monotonic_nanos);
                assert!(read.monotonic_nanos <= after.monotonic_nanos);
            }
        };
        std::thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(check))));
    }
}
