use std::error::Error;
use std::fmt;
use std::sync::Arc;

/// A store that could not do what it was asked. It never means that a user is logged out.
///
/// `Display` says which [kind](StoreErrorKind) of failure it is and leaves why to the sources, which
/// [`Chain`](crate::Chain) shows as well.
///
/// Whoever writes a store makes one with the function named after the kind. The source is logged, so
/// nothing secret may be in its text or in those of its own sources:
///
/// ```
/// use moojo_session::{StoreError, StoreErrorKind};
///
/// let error = StoreError::unavailable(std::io::Error::other("connection refused"));
/// assert_eq!(error.kind(), StoreErrorKind::Unavailable);
/// assert_eq!(error.to_string(), "the store is unavailable");
/// ```
#[derive(Debug, Clone)]
pub struct StoreError {
    kind: StoreErrorKind,
    // Shared, because all who waited for one load get its error.
    source: Arc<dyn Error + Send + Sync>,
}

/// What a caller can do about a [`StoreError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// The backend cannot be reached or does not work. It may later: try again.
    Unavailable,
    /// It did not answer in time. A change may have happened or not.
    TimedOut,
    /// The record is there and cannot be read. Trying again does not help; a new login replaces
    /// it.
    Corrupt,
    /// The backend works and does not want to: a login that it does not take, no permission, no space,
    /// a record too large. As a rule somebody has to see to how it is set up, so the log
    /// [says so](crate::StoreLog).
    Refused,
}

impl StoreError {
    /// An error of the kind [`StoreErrorKind::Unavailable`].
    pub fn unavailable(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::new(StoreErrorKind::Unavailable, source.into())
    }

    /// An error of the kind [`StoreErrorKind::TimedOut`].
    pub fn timed_out(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::new(StoreErrorKind::TimedOut, source.into())
    }

    /// An error of the kind [`StoreErrorKind::Corrupt`].
    pub fn corrupt(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::new(StoreErrorKind::Corrupt, source.into())
    }

    /// An error of the kind [`StoreErrorKind::Refused`].
    pub fn refused(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::new(StoreErrorKind::Refused, source.into())
    }

    /// What can be done about it.
    pub fn kind(&self) -> StoreErrorKind {
        self.kind
    }

    fn new(kind: StoreErrorKind, source: Box<dyn Error + Send + Sync>) -> Self {
        Self { kind, source: source.into() }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            StoreErrorKind::Unavailable => "the store is unavailable",
            StoreErrorKind::TimedOut => "the store did not answer in time",
            StoreErrorKind::Corrupt => "the store has a record that cannot be read",
            StoreErrorKind::Refused => "the store refused",
        })
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.source)
    }
}
