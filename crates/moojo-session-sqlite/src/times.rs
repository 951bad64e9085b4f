//! Times as the file has them: nanoseconds since the Unix epoch.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

/// The longest time that anything is kept for: any sum of it and a time of ours is one that a
/// column can hold.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// A moment, or the nearest one that there is.
pub(crate) fn nanos(at: DateTime<Utc>) -> i64 {
    let end = if at.timestamp() < 0 { i64::MIN } else { i64::MAX };
    at.timestamp_nanos_opt().unwrap_or(end)
}

/// A time span, bounded by a hundred years.
pub(crate) fn span(time: Duration) -> i64 {
    i64::try_from(time.min(LONGEST).as_nanos()).unwrap_or(i64::MAX)
}

/// The same of a time that may lie behind, which is none.
pub(crate) fn span_left(time: TimeDelta) -> i64 {
    time.to_std().map_or(0, span)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_bounded() {
        assert_eq!(nanos(DateTime::<Utc>::MAX_UTC), i64::MAX);
        assert_eq!(nanos(DateTime::<Utc>::MIN_UTC), i64::MIN);
        assert_eq!(span(Duration::from_millis(2)), 2_000_000);
        assert_eq!(span(Duration::MAX), span(LONGEST));
        assert_eq!(span_left(TimeDelta::MIN), 0);
        assert_eq!(span_left(TimeDelta::seconds(1)), 1_000_000_000);
        assert!(nanos(Utc::now()).checked_add(span(Duration::MAX)).is_some());
    }
}
