use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::{StoreError, StoreErrorKind};
use crate::shown::{Chain, OncePerMinute};

/// Says in the log that something that a store does fails, and that it works again: once each,
/// however often it is tried. For whoever calls a store or writes one with a change feed; the
/// [`SessionManager`](crate::SessionManager) has its own.
///
/// A failure is a warning with the whole [`Chain`] of the error. Another one follows if an outage
/// becomes a [refusal](StoreErrorKind::Refused), or the other way round. There is one such warning a
/// minute at most, also of what fails and works by turns.
///
/// [`note`](Self::note) has a second kind of warning, for [records](StoreErrorKind::Corrupt) that cannot
/// be read: the store works, so it neither begins nor ends a failure. Of these, too, there is one a
/// minute at most.
///
/// ```
/// use moojo_session::{StoreError, StoreLog};
///
/// let log = StoreLog::new("change feed");
/// let error = StoreError::refused("no permission to listen");
/// log.fails(&error); // WARN the session store fails what="change feed" error=the store refused: no …
/// log.fails(&error);
/// log.works(); // INFO the session store works again what="change feed"
/// log.works();
/// ```
#[derive(Debug)]
pub struct StoreLog {
    what: &'static str,
    since: Instant,
    said: Mutex<Said>,
}

/// What was said, and when, counted from the start.
#[derive(Debug, Default)]
struct Said {
    failure: Option<Failure>,
    failures: OncePerMinute,
    corrupt: OncePerMinute,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failure {
    Refused,
    Other,
}

impl StoreLog {
    /// The log of one thing that a store does. `what` names it in each line, such as `change feed`.
    pub fn new(what: &'static str) -> Self {
        Self { what, since: Instant::now(), said: Mutex::default() }
    }

    /// It failed: a warning, or a line at `DEBUG` if that was said already.
    pub fn fails(&self, error: &StoreError) {
        let is_due = self.said.lock().fails(error.kind(), self.since.elapsed());
        self.say(is_due, error, "the session store fails");
    }

    /// It worked: a line at `INFO` if it was said that it fails.
    pub fn works(&self) {
        if self.said.lock().works() {
            tracing::info!(what = self.what, "the session store works again");
        }
    }

    /// How one of many calls ended: it works, or fails for a reason that is not the call's own. What
    /// [timed out](StoreErrorKind::TimedOut) says nothing of the others, and neither does a
    /// [record](StoreErrorKind::Corrupt) that cannot be read: of these there is a warning of its own, as a
    /// sealing key that is missing or wrong shows so.
    pub fn note<T>(&self, outcome: &Result<T, StoreError>) {
        match outcome {
            Ok(_) => self.works(),
            Err(error) => match error.kind() {
                StoreErrorKind::Unavailable | StoreErrorKind::Refused => self.fails(error),
                StoreErrorKind::Corrupt => self.meets_corrupt(error),
                StoreErrorKind::TimedOut => {}
            },
        }
    }

    fn meets_corrupt(&self, error: &StoreError) {
        let is_due = self.said.lock().corrupt.lets_through(self.since.elapsed());
        self.say(is_due, error, "the session store has a record that cannot be read");
    }

    fn say(&self, is_due: bool, error: &StoreError, line: &str) {
        let (what, error) = (self.what, Chain(error));
        if is_due {
            tracing::warn!(what, %error, "{line}");
        } else {
            tracing::debug!(what, %error, "{line}");
        }
    }
}

impl Said {
    /// Whether it is to be said.
    fn fails(&mut self, kind: StoreErrorKind, now: Duration) -> bool {
        let failure = match kind {
            StoreErrorKind::Refused => Failure::Refused,
            _ => Failure::Other,
        };
        if self.failure == Some(failure) || !self.failures.lets_through(now) {
            return false;
        }
        self.failure = Some(failure);
        true
    }

    /// Whether it is to be said.
    fn works(&mut self) -> bool {
        self.failure.take().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REFUSED: StoreErrorKind = StoreErrorKind::Refused;
    const AWAY: StoreErrorKind = StoreErrorKind::Unavailable;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_failure_and_its_end_are_said_once() {
        let mut said = Said::default();
        assert!(!said.works());
        assert!(said.fails(AWAY, at(0)));
        for second in 0..600 {
            assert!(!said.fails(AWAY, at(second)));
            assert!(!said.fails(StoreErrorKind::TimedOut, at(second)));
        }
        assert!(said.works());
        assert!(!said.works());
    }

    #[test]
    fn records_that_cannot_be_read_are_said_once_a_minute_and_end_nothing() {
        let mut said = Said::default();
        assert!(said.fails(REFUSED, at(0)));
        let lines = (0..600).filter(|second| said.corrupt.lets_through(at(*second)));
        assert_eq!(lines.count(), 10);
        assert!(said.works(), "what was said of the store still stands");
    }

    #[test]
    fn what_comes_and_goes_is_said_once_a_minute() {
        let mut said = Said::default();
        let mut lines = 0;
        for second in 0..600 {
            lines += usize::from(said.fails(REFUSED, at(second)));
            lines += usize::from(said.works());
        }
        assert_eq!(lines, 2 * 10);
        // One that stays is said at last.
        assert!(!said.fails(REFUSED, at(599)));
        assert!(said.fails(REFUSED, at(600)));
    }

    #[test]
    fn an_outage_that_becomes_a_refusal_is_said_again() {
        let mut said = Said::default();
        assert!(said.fails(AWAY, at(0)));
        assert!(said.fails(REFUSED, at(60)));
        assert!(!said.fails(REFUSED, at(120)));
        assert!(said.works());
    }
}
