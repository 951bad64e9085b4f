//! Times as Redis takes them: milliseconds from now, by its own clock.

use std::time::Duration;

use chrono::{DateTime, Utc};

/// Redis adds these to a time since 1970 and refuses what does not fit into 63 bits.
const MAX: u128 = 1 << 52;

/// How long a key has to live until `end`, or `None` if that is over. It is rounded up: nothing goes
/// early, and who reads looks at the end itself.
pub(crate) fn left(end: DateTime<Utc>, now: DateTime<Utc>) -> Option<u64> {
    let left = (end - now).to_std().ok().filter(|left| !left.is_zero())?;
    Some(of(left))
}

/// At least 1: Redis has no life of 0.
pub(crate) fn of(time: Duration) -> u64 {
    let millis = time.as_nanos().div_ceil(1_000_000);
    u64::try_from(millis.clamp(1, MAX)).expect("it is at most MAX")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_goes_early() {
        assert_eq!(of(Duration::ZERO), 1);
        assert_eq!(of(Duration::from_nanos(1_000_001)), 2);
        assert_eq!(of(Duration::MAX), 1 << 52);
        let now = Utc::now();
        assert_eq!(left(now, now), None);
        assert_eq!(left(DateTime::<Utc>::MIN_UTC, now), None);
        assert_eq!(left(now + Duration::from_nanos(1), now), Some(1));
        assert!(left(DateTime::<Utc>::MAX_UTC, now).is_some());
    }
}
