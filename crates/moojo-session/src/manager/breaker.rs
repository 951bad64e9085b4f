//! Lets a store that does not answer rest, so that callers learn it at once and the store is not
//! buried under them when it comes back.

use std::time::Duration;

use crate::clock::nanos;
use crate::shown::Chain;
use crate::store::{StoreError, StoreErrorKind};
use crate::sync::Mutex;

/// A circuit breaker: after so many failures in a row, loads fail at once for a while; then one goes
/// through to see. All moments are nanoseconds of the steady clock.
pub(super) struct Breaker {
    settings: Settings,
    state: Mutex<State>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Settings {
    /// So many failures in a row open it.
    pub(super) failures: u32,
    /// It stays open for so long at first, then twice as long with each probe that fails.
    pub(super) pause: Duration,
    pub(super) max_pause: Duration,
}

#[derive(Default)]
struct State {
    failures: u32,
    open: Option<Open>,
}

struct Open {
    pause: Duration,
    /// When the next load may go through.
    until: u64,
    /// Whether one has, and nothing is known of it yet.
    probing: bool,
    /// Why it opened, or what came of the last that went through.
    cause: StoreError,
}

/// The store is left alone. Its source says why: whoever meets this may have met nothing else.
#[derive(Debug, thiserror::Error)]
#[error("the store failed several times in a row and is asked again in {left:?}")]
struct Resting {
    left: Duration,
    #[source]
    cause: StoreError,
}

impl Breaker {
    pub(super) fn new(settings: Settings) -> Self {
        Self { settings, state: Mutex::new(State::default()) }
    }

    /// Whether a load may go through. The one that does while it is open has `probe_time` to come to
    /// an end before another may.
    pub(super) fn admit(&self, now: u64, probe_time: Duration) -> Result<(), StoreError> {
        let mut state = self.state.lock();
        let Some(open) = &mut state.open else { return Ok(()) };
        if now < open.until {
            let left = Duration::from_nanos(open.until - now);
            return Err(StoreError::unavailable(Resting { left, cause: open.cause.clone() }));
        }
        open.until = after(now, probe_time);
        open.probing = true;
        Ok(())
    }

    /// Until when nobody need try, if it is open.
    pub(super) fn rests_until(&self, now: u64) -> Option<u64> {
        let state = self.state.lock();
        state.open.as_ref().map(|open| open.until).filter(|until| now < *until)
    }

    /// Notes how a call of the store ended. Says whether the store has come back.
    pub(super) fn note<T>(&self, outcome: &Result<T, StoreError>, now: u64) -> bool {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        let Some(error) = outcome.as_ref().err().filter(|error| is_outage(error)) else {
            state.failures = 0;
            let is_back = state.open.take().is_some();
            if is_back {
                tracing::info!("the session store is back");
            }
            return is_back;
        };
        state.failures = state.failures.saturating_add(1);
        let Settings { failures, pause, max_pause } = self.settings;
        match &mut state.open {
            Some(open) if open.probing => {
                let pause = open.pause.saturating_mul(2).min(max_pause);
                let cause = error.clone();
                *open = Open { pause, until: after(now, pause), probing: false, cause };
            }
            // One that was under way when it opened.
            Some(_) => {}
            None if state.failures >= failures => {
                let cause = error.clone();
                let error = Chain(error);
                tracing::warn!(%error, "the session store is down: loads fail at once for a while");
                state.open = Some(Open { pause, until: after(now, pause), probing: false, cause });
            }
            None => {}
        }
        false
    }

    /// The store may be back: the next load goes through to see.
    pub(super) fn try_now(&self, now: u64) {
        if let Some(open) = &mut self.state.lock().open {
            open.until = open.until.min(now);
        }
    }
}

/// Whether the store could not be asked at all: it may be later.
pub(super) fn is_outage(error: &StoreError) -> bool {
    matches!(error.kind(), StoreErrorKind::Unavailable | StoreErrorKind::TimedOut)
}

fn after(now: u64, time: Duration) -> u64 {
    now.saturating_add(nanos(time))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// A breaker, and a clock in seconds.
    fn breaker() -> Breaker {
        Breaker::new(Settings { failures: 3, pause: SECOND, max_pause: 4 * SECOND })
    }

    fn at(seconds: u64) -> u64 {
        seconds * 1_000_000_000
    }

    fn admits(breaker: &Breaker, seconds: u64) -> bool {
        breaker.admit(at(seconds), 5 * SECOND).is_ok()
    }

    fn fail(breaker: &Breaker, seconds: u64) {
        assert!(!breaker.note::<()>(&Err(StoreError::timed_out("late")), at(seconds)));
    }

    #[test]
    fn failures_in_a_row_open_it() {
        let breaker = breaker();
        for _ in 0..10 {
            fail(&breaker, 0);
            fail(&breaker, 0);
            // An answer, if not a pleasant one.
            assert!(!breaker.note::<()>(&Err(StoreError::refused("no space")), 0));
        }
        assert!(admits(&breaker, 0));
        (0..3).for_each(|_| fail(&breaker, 0));
        assert!(!admits(&breaker, 0));
        let error = breaker.admit(0, SECOND).unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    }

    #[test]
    fn one_goes_through_to_see_and_each_failure_doubles_the_pause() {
        let breaker = breaker();
        (0..3).for_each(|_| fail(&breaker, 0));
        // Others that were under way change nothing.
        (0..100).for_each(|_| fail(&breaker, 0));
        let mut now = 0;
        for pause in [1, 2, 4, 4] {
            assert!(breaker.admit(at(now + pause) - 1, SECOND).is_err());
            now += pause;
            assert!(admits(&breaker, now) && !admits(&breaker, now), "one");
            fail(&breaker, now);
        }
        assert!(admits(&breaker, now + 4));
        assert!(breaker.note(&Ok(()), at(now + 4)), "the store is back");
        assert!(!breaker.note(&Ok(()), at(now + 4)), "which is told once");
        assert!((0..10).all(|_| admits(&breaker, now + 4)));
    }

    #[test]
    fn who_is_turned_away_is_told_why_it_opened() {
        let breaker = breaker();
        let fail_by = |why: &'static str, now| {
            breaker.note::<()>(&Err(StoreError::unavailable(why)), at(now));
        };
        let told = |now| Chain(&breaker.admit(at(now), SECOND).unwrap_err()).to_string();
        (0..3).for_each(|_| fail_by("no route", 0));
        let says = "asked again in 1s: the store is unavailable: no route";
        assert!(told(0).ends_with(says), "{}", told(0));
        assert!(admits(&breaker, 1));
        fail_by("connection refused", 1);
        assert!(told(1).ends_with("connection refused"), "{}", told(1));
    }

    #[test]
    fn a_probe_of_which_nothing_is_heard_is_made_again() {
        let breaker = breaker();
        (0..3).for_each(|_| fail(&breaker, 0));
        assert!(admits(&breaker, 1));
        assert!(!admits(&breaker, 5));
        assert!(admits(&breaker, 6));
    }

    #[test]
    fn what_others_hear_of_the_store_shortens_the_pause() {
        let breaker = breaker();
        (0..3).for_each(|_| fail(&breaker, 0));
        breaker.try_now(0);
        assert!(admits(&breaker, 0) && !admits(&breaker, 0));
    }
}
