//! Moments as they are computed and written.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};

/// The moment `duration` after `at`, or the last one there is.
pub(crate) fn after(at: DateTime<Utc>, duration: Duration) -> DateTime<Utc> {
    shift(at, TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX))
}

/// The moment `delta` away from `at`, or the last one there is on that side.
pub(crate) fn shift(at: DateTime<Utc>, delta: TimeDelta) -> DateTime<Utc> {
    at.checked_add_signed(delta).unwrap_or(if delta < TimeDelta::zero() {
        DateTime::<Utc>::MIN_UTC
    } else {
        DateTime::<Utc>::MAX_UTC
    })
}

/// Documented by its example: UTC with milliseconds.
pub(crate) fn iso8601(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// RFC 9110 §5.6.7, the form that senders must use.
pub(crate) fn http_date(at: DateTime<Utc>) -> String {
    at.format("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_in_the_documentation_and_the_rfc() {
        let at = "2025-02-16T15:12:52.555Z".parse().expect("a literal time");
        assert_eq!(iso8601(at), "2025-02-16T15:12:52.555Z");
        assert_eq!(http_date(at), "Sun, 16 Feb 2025 15:12:52 GMT");
    }

    #[test]
    fn the_ends_of_time_are_no_panic() {
        let last = after(DateTime::<Utc>::MAX_UTC, Duration::MAX);
        let first = shift(DateTime::<Utc>::MIN_UTC, TimeDelta::MIN);
        for at in [first, last] {
            assert!(!iso8601(at).is_empty());
            assert!(http_date(at).ends_with("GMT"));
        }
    }
}
