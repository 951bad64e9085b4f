//! Times as the database takes them.

use std::time::Duration;

use chrono::TimeDelta;

/// The longest time that anything is kept for: any sum of it and a time of ours is one that
/// PostgreSQL can hold.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// Microseconds, bounded by a hundred years.
pub(crate) fn micros(time: Duration) -> i64 {
    i64::try_from(time.min(LONGEST).as_micros()).unwrap_or(i64::MAX)
}

/// The same of a time that may lie behind, which is none.
pub(crate) fn micros_left(time: TimeDelta) -> i64 {
    time.to_std().map_or(0, micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_bounded() {
        assert_eq!(micros(Duration::from_millis(2)), 2000);
        assert_eq!(micros(Duration::MAX), micros(LONGEST));
        assert_eq!(micros_left(TimeDelta::MIN), 0);
        assert_eq!(micros_left(TimeDelta::seconds(1)), 1_000_000);
        assert_eq!(micros_left(TimeDelta::MAX), micros(LONGEST));
    }
}
