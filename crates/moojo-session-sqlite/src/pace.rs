//! Whether reading is quick enough for a thread that must not wait.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// An account of the time that reads took beyond what is allowed to one.
///
/// A thread that is taken off its processor looks like one that waits for the disk, so that a single
/// slow read says little.
#[derive(Debug)]
pub(crate) struct Pace {
    start: Instant,
    /// Nanoseconds that slow reads took too long, less what quick ones have left over since.
    owed: AtomicU64,
    /// When it is tried again, in nanoseconds since the start; 0 while reads are quick.
    closed_until: AtomicU64,
}

/// A read that has begun.
#[derive(Debug)]
pub(crate) struct Turn {
    pub(crate) begun: Instant,
    /// It finds out whether reads are quick again.
    is_trial: bool,
}

impl Pace {
    /// How long a read may take, on average: what takes longer waits for the disk.
    const ALLOWED: Duration = Duration::from_micros(100);
    /// So much may be owed.
    const MOST: u64 = 50_000_000;
    /// How long nothing is tried.
    const REST: u64 = 1_000_000_000;

    pub(crate) fn new(start: Instant) -> Self {
        Self { start, owed: AtomicU64::new(0), closed_until: AtomicU64::new(0) }
    }

    /// None if reads are slow at present. Once in a while one is tried.
    pub(crate) fn begin(&self, now: Instant) -> Option<Turn> {
        let until = self.closed_until.load(Ordering::Relaxed);
        if until == 0 {
            return Some(Turn { begun: now, is_trial: false });
        }
        let since_start = nanos(now.saturating_duration_since(self.start));
        let next = since_start + Self::REST;
        let is_due = since_start >= until
            && self
                .closed_until
                .compare_exchange(until, next, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        is_due.then_some(Turn { begun: now, is_trial: true })
    }

    /// The read is over.
    pub(crate) fn end(&self, turn: &Turn, now: Instant) {
        let took = now.saturating_duration_since(turn.begun);
        if took > Self::ALLOWED {
            let more = nanos(took - Self::ALLOWED);
            let owed = self.owed.fetch_add(more, Ordering::Relaxed).saturating_add(more);
            if owed >= Self::MOST {
                let since_start = nanos(now.saturating_duration_since(self.start));
                self.closed_until.store(since_start + Self::REST, Ordering::Relaxed);
            }
            return;
        }
        if turn.is_trial {
            self.owed.store(0, Ordering::Relaxed);
            self.closed_until.store(0, Ordering::Relaxed);
        }
        let owed = self.owed.load(Ordering::Relaxed);
        if owed > 0 {
            // Of two at the same time one may pay for both.
            let left_over = nanos(Self::ALLOWED - took);
            self.owed.store(owed.saturating_sub(left_over), Ordering::Relaxed);
        }
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn micros(time: u64) -> Duration {
        Duration::from_micros(time)
    }

    /// The time is since the start.
    fn read(pace: &Pace, at: Duration, takes: Duration) -> bool {
        let Some(turn) = pace.begin(pace.start + at) else { return false };
        pace.end(&turn, pace.start + at + takes);
        true
    }

    #[test]
    fn a_very_slow_read_is_followed_by_none_until_one_is_tried() {
        let pace = Pace::new(Instant::now());
        assert!(read(&pace, micros(0), micros(60_000)));
        assert!(!read(&pace, micros(60_001), micros(5)));
        assert!(!read(&pace, micros(1_059_999), micros(5)));
        let trial = pace.begin(pace.start + micros(1_060_000)).unwrap();
        assert!(pace.begin(pace.start + micros(1_060_000)).is_none(), "one at a time is tried");
        pace.end(&trial, pace.start + micros(1_060_005));
        assert!(read(&pace, micros(1_060_006), micros(5)));
    }

    #[test]
    fn a_trial_that_is_slow_or_never_ends_is_followed_by_another() {
        let pace = Pace::new(Instant::now());
        assert!(read(&pace, micros(0), micros(60_000)));
        assert!(read(&pace, micros(2_000_000), micros(300)));
        assert!(!read(&pace, micros(2_000_400), micros(5)));
        let dropped = pace.begin(pace.start + micros(3_100_000));
        assert!(dropped.is_some_and(|turn| turn.is_trial));
        assert!(!read(&pace, micros(3_200_000), micros(5)));
        assert!(read(&pace, micros(4_200_000), micros(5)));
        assert!(read(&pace, micros(4_200_010), micros(5)));
    }

    #[test]
    fn slow_reads_in_a_row_count_and_those_among_quick_ones_do_not() {
        let pace = Pace::new(Instant::now());
        let mut now = micros(0);
        for _ in 0..100 {
            assert!(read(&pace, now, micros(3_000)), "some are always taken off the processor");
            now += micros(3_000);
            for _ in 0..200 {
                assert!(read(&pace, now, micros(5)));
                now += micros(5);
            }
        }
        let in_a_row = (0..100).take_while(|n| read(&pace, now + micros(n * 1000), micros(1_000)));
        assert_eq!(in_a_row.count(), 56);
    }
}
