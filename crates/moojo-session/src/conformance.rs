//! The rules of the store traits as test cases, for any store: ours and yours.
//!
//! ```
//! use moojo_session::{MemoryStore, conformance};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! conformance::session_store(async || MemoryStore::new()).await.assert_passed();
//! # }
//! ```
//!
//! A store that several test runs share need not be empty: every case works with users of its own.

use std::fmt;
use std::panic::Location;
use std::sync::Arc;

use crate::challenge::ChallengeStore;
use crate::lease::LeaseStore;
use crate::shown::Chain;
use crate::store::{SessionAdmin, SessionStore};

mod admin;
mod challenges;
mod feed;
mod leases;
mod sessions;

/// Runs every rule of [`SessionStore`] against stores made by `new_store`, one for each case.
///
/// It takes the system's time, so a store with a clock of its own must show that. It must be called
/// on a tokio runtime.
pub async fn session_store<S: SessionStore>(new_store: impl AsyncFn() -> S) -> Report {
    let mut outcomes = Vec::new();
    for case in sessions::CASES {
        let store: Arc<dyn SessionStore> = Arc::new(new_store().await);
        outcomes.push(Outcome { case: case.name, failure: (case.run)(store).await.err() });
    }
    Report { outcomes }
}

/// Runs every rule of [`ChallengeStore`] against stores made by `new_store`, one for each case.
pub async fn challenge_store<S: ChallengeStore>(new_store: impl AsyncFn() -> S) -> Report {
    let mut outcomes = Vec::new();
    for case in challenges::CASES {
        let store: Arc<dyn ChallengeStore> = Arc::new(new_store().await);
        outcomes.push(Outcome { case: case.name, failure: (case.run)(store).await.err() });
    }
    Report { outcomes }
}

/// Runs every rule of [`LeaseStore`] against stores made by `new_store`, one for each case.
pub async fn lease_store<S: LeaseStore>(new_store: impl AsyncFn() -> S) -> Report {
    let mut outcomes = Vec::new();
    for case in leases::CASES {
        let store: Arc<dyn LeaseStore> = Arc::new(new_store().await);
        outcomes.push(Outcome { case: case.name, failure: (case.run)(store).await.err() });
    }
    Report { outcomes }
}

/// Runs every rule of [`SessionAdmin`] against stores made by `new_store`, one for each case, which
/// have to be **empty**.
pub async fn session_admin<S: SessionAdmin>(new_store: impl AsyncFn() -> S) -> Report {
    let mut outcomes = Vec::new();
    for case in admin::CASES {
        let store: Arc<dyn SessionAdmin> = Arc::new(new_store().await);
        outcomes.push(Outcome { case: case.name, failure: (case.run)(store).await.err() });
    }
    Report { outcomes }
}

/// Runs every rule of a [change feed](SessionStore::changes) against pairs of stores made by
/// `new_pair`, one for each case: two clients of one backend, as two processes have them.
pub async fn change_feed<S: SessionStore>(new_pair: impl AsyncFn() -> (S, S)) -> Report {
    let mut outcomes = Vec::new();
    for case in feed::CASES {
        let (here, there) = new_pair().await;
        let pair = Arc::new(feed::Pair { here: Arc::new(here), there: Arc::new(there) });
        outcomes.push(Outcome { case: case.name, failure: (case.run)(pair).await.err() });
    }
    Report { outcomes }
}

/// What came of each case.
#[derive(Debug)]
#[must_use = "a report that nobody reads proves nothing"]
pub struct Report {
    outcomes: Vec<Outcome>,
}

/// What came of one case.
#[derive(Debug)]
pub struct Outcome {
    case: &'static str,
    failure: Option<Failure>,
}

/// What was wrong, and the line of the case that found it.
#[derive(Debug)]
pub struct Failure {
    what: String,
    at: &'static Location<'static>,
}

impl Report {
    /// What came of each case, in the order in which they ran.
    pub fn outcomes(&self) -> &[Outcome] {
        &self.outcomes
    }

    /// Ends the test if any case failed.
    ///
    /// # Panics
    /// With the list of the cases that failed.
    pub fn assert_passed(&self) {
        assert!(self.outcomes.iter().all(Outcome::passed), "the store breaks rules:\n{self}");
    }
}

impl Outcome {
    /// The name of the case.
    pub fn case(&self) -> &'static str {
        self.case
    }

    /// What was wrong, if anything.
    pub fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref()
    }

    /// Whether the store kept the rule.
    pub fn passed(&self) -> bool {
        self.failure.is_none()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.what, self.at)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Outcome { case, failure } in &self.outcomes {
            match failure {
                None => writeln!(f, "ok      {case}")?,
                Some(failure) => writeln!(f, "FAILED  {case}: {failure}")?,
            }
        }
        Ok(())
    }
}

type Verdict = Result<(), Failure>;
type Run<S> = fn(Arc<S>) -> std::pin::Pin<Box<dyn std::future::Future<Output = Verdict> + Send>>;

struct Case<S: ?Sized + 'static> {
    name: &'static str,
    run: Run<S>,
}

/// A case named after its function.
macro_rules! cases {
    ($store:ty: $($name:ident),+ $(,)?) => {
        pub(super) const CASES: &[$crate::conformance::Case<$store>] = &[
            $($crate::conformance::Case {
                name: stringify!($name),
                run: |store| Box::pin($name(store)),
            }),+
        ];
    };
}
use cases;

#[track_caller]
fn ensure(holds: bool, otherwise: &str) -> Verdict {
    if holds {
        return Ok(());
    }
    Err(Failure { what: otherwise.to_owned(), at: Location::caller() })
}

/// The answer of a store that works.
trait Answered<T> {
    #[track_caller]
    fn answered(self) -> Result<T, Failure>;
}

impl<T, E: std::error::Error + 'static> Answered<T> for Result<T, E> {
    #[track_caller]
    fn answered(self) -> Result<T, Failure> {
        let at = Location::caller();
        self.map_err(|error| Failure { what: format!("unexpected error: {}", Chain(&error)), at })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::StoreError;

    #[test]
    fn an_unexpected_error_is_shown_with_its_cause() {
        let failed: Result<(), _> = Err(StoreError::refused("no permission"));
        let failure = failed.answered().unwrap_err();
        assert_eq!(failure.what, "unexpected error: the store refused: no permission");
    }
}
