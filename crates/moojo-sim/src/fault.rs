use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};

mod registry;

use registry::Entry;
pub(crate) use registry::{Delay, Faults};

/// Something that goes wrong, on which requests and how often; given to
/// [`MoojoSim::inject`](crate::MoojoSim::inject).
///
/// Unless told otherwise it hits the next request of its route, once, with a status 500.
///
/// Of the faults that match one request, at most three take part: the oldest one that delays
/// ([`Latency`](FaultKind::Latency), [`SlowAnswer`](FaultKind::SlowAnswer),
/// [`Freeze`](FaultKind::Freeze)), the oldest [`WrongDate`](FaultKind::WrongDate), and the oldest
/// one that changes the answer (all others). Only those that take part are used up.
///
/// ```
/// use std::time::Duration;
/// use moojo_sim::{Fault, FaultKind, Malformed};
///
/// let slow = Fault::any().always().kind(FaultKind::Latency(Duration::from_millis(200)));
/// let broken = Fault::on("/user/authenticate")
///     .skip(1)
///     .times(2)
///     .kind(FaultKind::Malformed(Malformed::Html));
/// ```
#[derive(Debug, Clone)]
#[must_use = "a fault does nothing until it is injected"]
pub struct Fault {
    route: Option<String>,
    skip: u64,
    /// `None` is for ever.
    times: Option<u64>,
    kind: FaultKind,
}

impl Fault {
    /// A fault of the requests to one path, such as `/user/authenticate`, compared as a whole.
    pub fn on(path: impl Into<String>) -> Self {
        Self { route: Some(path.into()), ..Self::any() }
    }

    /// A fault of every request, whatever its path. The simulator's own pages (`/` and `/sim/…`)
    /// never fail.
    pub fn any() -> Self {
        Self { route: None, skip: 0, times: Some(1), kind: FaultKind::Status(500) }
    }

    /// What goes wrong.
    pub fn kind(mut self, kind: FaultKind) -> Self {
        self.kind = kind;
        self
    }

    /// How often it goes wrong; once if unset.
    pub fn times(mut self, times: u64) -> Self {
        self.times = Some(times);
        self
    }

    /// It goes wrong until the fault is removed.
    pub fn always(mut self) -> Self {
        self.times = None;
        self
    }

    /// Lets that many matching requests pass first, counted from the moment of the injection.
    pub fn skip(mut self, requests: u64) -> Self {
        self.skip = requests;
        self
    }
}

/// What goes wrong. "Work" is what the request asks for: an SMS sent, a code used up, a token made.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum FaultKind {
    /// The work begins this much later, by the simulator's clock; not at all if the caller has hung
    /// up by then.
    Latency(Duration),
    /// The work is done at once and the answer goes out this much later, by the simulator's clock.
    SlowAnswer(Duration),
    /// Nothing happens until the fault is removed; then the request is served as usual. It ends
    /// without an answer when the simulator is shut down.
    Freeze,
    /// The simulator's idea of the time is off by this much for this request: the `Date` header and
    /// `expiresAtIso8601` show it. The token ends on the simulator's own clock all the same.
    WrongDate(TimeDelta),
    /// No work; 429 with `Retry-After` in whole seconds, rounded up.
    RateLimited {
        /// The time until the next attempt.
        retry_after: Duration,
    },
    /// No work; 429 with `Retry-After` as an HTTP date.
    RateLimitedUntil(DateTime<Utc>),
    /// No work; this status with a JSON error body. What is no status from 200 to 999 becomes 500.
    Status(u16),
    /// No work; a redirect with an empty body. What is no 3xx becomes 307.
    Redirect {
        /// The status, such as 302 or 307.
        status: u16,
        /// The `Location` header.
        location: String,
    },
    /// No work; exactly this answer. What is no status from 200 to 999 becomes 500.
    Body {
        /// The status.
        status: u16,
        /// The `Content-Type` header; none if it is empty or no legal header value.
        content_type: String,
        /// The body.
        body: Bytes,
    },
    /// The work is done, and the answer to it is not as documented.
    Malformed(Malformed),
    /// No work; the request is read and the connection closed.
    CutBeforeAnswer,
    /// The work is done; the head and the first half of the body are sent and the connection is
    /// closed.
    CutDuringAnswer,
    /// The work is done and the answer sent whole; then the connection is closed, which no header
    /// has announced.
    CutAfterAnswer,
    /// The work is done and the connection closed with no byte of an answer.
    AnswerLost,
}

/// An answer that is not as documented, though the work was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Malformed {
    /// 200 with an HTML page, as a gateway in between might send.
    Html,
    /// The first half of the JSON, as if that were all.
    TruncatedJson,
    /// The right JSON as `text/plain`.
    WrongContentType,
    /// No `data` in the envelope.
    MissingData,
    /// 200, but `status` is `failure`. The `data` is there.
    StatusNotSuccess,
    /// 200 with no body.
    EmptyBody,
    /// A body that never ends: the beginning of an answer, then more and more of one string.
    EndlessBody,
    /// `data.token` has a line break and cannot be a header value. Only answers with a token.
    BadToken,
    /// `data.expiresAtIso8601` is an hour ago by the simulator's clock. Only answers with a token.
    ExpiryInThePast,
    /// `data.expiresAtIso8601` lacks its zone. Only answers with a token.
    ExpiryWithoutZone,
    /// `data.expiresAtIso8601` is missing. Only answers with a token.
    ExpiryAbsent,
}

/// A fault that is in force; what [`MoojoSim::inject`](crate::MoojoSim::inject) gives. Dropping it
/// changes nothing.
#[derive(Clone)]
pub struct InjectedFault(pub(crate) Arc<Entry>);

impl InjectedFault {
    /// How many requests it has hit.
    pub fn hits(&self) -> u64 {
        self.0.hits()
    }

    /// Ends it, and releases the requests that it has frozen.
    pub fn remove(&self) {
        self.0.remove();
    }
}

impl fmt::Debug for InjectedFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InjectedFault")
            .field("fault", self.0.fault())
            .field("hits", &self.hits())
            .finish_non_exhaustive()
    }
}
